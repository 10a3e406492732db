{{/* What the objects are called. */}}

{{- define "mlflow-ops.fullname" -}}
{{- $name := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-mlflow-ops" .Release.Name) (contains "mlflow-ops" .Release.Name)) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "mlflow-ops.workerAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (printf "%s-worker" (include "mlflow-ops.fullname" .)) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "mlflow-ops.configMap" -}}
{{- .Values.existingConfigMap | default (include "mlflow-ops.fullname" .) -}}
{{- end -}}

{{/* What has no namespace of its own has the release's in its name: two releases would fight for it. */}}
{{- define "mlflow-ops.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "mlflow-ops.fullname" .) -}}
{{- end -}}

{{- define "mlflow-ops.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "mlflow-ops.botImage" -}}
{{- if .Values.botImage.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.botImage.digest -}}
{{- else if .Values.botImage.tag -}}
{{- printf "%s:%s" .Values.image.repository .Values.botImage.tag -}}
{{- else -}}
{{- include "mlflow-ops.image" . -}}
{{- end -}}
{{- end -}}

{{/* ops.yaml's kubernetes, with the product's defaults, and the release's namespace. As YAML. */}}
{{- define "mlflow-ops.mlflow" -}}
{{- $defaults := dict "namespace" .Release.Namespace "deployment" "mlflow" "container" "mlflow" "service" "mlflow" "ingress" "mlflow-ingress" "configmap" "mlflow-config" "secret" "mlflow-backend-secret" "tls_secret" "mlflow-tls" -}}
{{- mergeOverwrite $defaults (deepCopy ((.Values.ops).kubernetes | default dict)) | toYaml -}}
{{- end -}}

{{- define "mlflow-ops.ops" -}}
{{- $ops := deepCopy (.Values.ops | default dict) -}}
{{- $kubernetes := mergeOverwrite (dict "namespace" .Release.Namespace) ($ops.kubernetes | default dict) -}}
{{- mergeOverwrite $ops (dict "kubernetes" $kubernetes) | toYaml -}}
{{- end -}}

{{- define "mlflow-ops.partOf" -}}
app.kubernetes.io/part-of: mlflow-ops
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of an object that is not Redis'. */}}
{{- define "mlflow-ops.labels" -}}
{{ include "mlflow-ops.commonLabels" . }}
app.kubernetes.io/name: mlflow-ops
{{- end -}}

{{- define "mlflow-ops.commonLabels" -}}
{{ include "mlflow-ops.partOf" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}
