{{/* Binds a Role to the workers' account, in MLflow's namespace. Takes root, name. */}}
{{- define "mlflow-ops.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ (include "mlflow-ops.mlflow" .root | fromYaml).namespace }}
  labels:
    {{- include "mlflow-ops.labels" .root | nindent 4 }}
subjects:
  - kind: ServiceAccount
    name: {{ include "mlflow-ops.workerAccount" .root }}
    namespace: {{ .root.Release.Namespace }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
{{- end -}}
