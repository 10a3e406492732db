{{/* A NetworkPolicy of these processes. Takes root, name, components (none: all pods of the product). Its rules follow. */}}
{{- define "mlflow-ops.policy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "mlflow-ops.fullname" .root }}-{{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "mlflow-ops.labels" .root | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- if eq (len .components) 1 }}
      app.kubernetes.io/component: {{ index .components 0 }}
      {{- end }}
      {{- include "mlflow-ops.partOf" .root | nindent 6 }}
    {{- if gt (len .components) 1 }}
    matchExpressions:
      - {key: app.kubernetes.io/component, operator: In, values: {{ .components | toJson }}}
    {{- end }}
{{- end -}}

{{/* Pods with these labels, in MLflow's namespace. Takes root, labels. */}}
{{- define "mlflow-ops.peer" -}}
{{- $namespace := (include "mlflow-ops.mlflow" .root | fromYaml).namespace -}}
- podSelector:
    matchLabels:
      {{- toYaml .labels | nindent 6 }}
  {{- if ne $namespace .root.Release.Namespace }}
  namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ $namespace }}}
  {{- end }}
{{- end -}}

{{- define "mlflow-ops.namespacePeer" -}}
- namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ . }}}
{{- end -}}
