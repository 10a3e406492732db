{{/*
A Deployment of one process. Takes root, component, image, args, account, token, grace, own (its values), env and envFrom (lists),
tmp (its volume), scaled (whether KEDA says how many), and probes (whether the kubelet may ask over HTTP).
*/}}
{{- define "mlflow-ops.process" -}}
{{- $root := .root -}}
{{- $all := $root.Values.pods -}}
{{- $own := .own -}}
{{- $pod := mergeOverwrite (deepCopy $all) (omit (deepCopy $own) "extraEnv" "extraEnvFrom" "extraVolumes" "extraVolumeMounts") -}}
{{- $extra := dict -}}
{{- range tuple "extraEnv" "extraEnvFrom" "extraVolumes" "extraVolumeMounts" -}}
{{- $_ := set $extra . (concat (index $all . | default list) (index $own . | default list)) -}}
{{- end -}}
{{- $name := printf "%s-%s" (include "mlflow-ops.fullname" $root) .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    app.kubernetes.io/component: {{ .component }}
    {{- include "mlflow-ops.labels" $root | nindent 4 }}
spec:
  {{- if not .scaled }}
  replicas: {{ $own.replicas }}
  {{- end }}
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels:
      app.kubernetes.io/component: {{ .component }}
      {{- include "mlflow-ops.partOf" $root | nindent 6 }}
  template:
    metadata:
      labels:
        app.kubernetes.io/component: {{ .component }}
        app.kubernetes.io/name: mlflow-ops
        {{- include "mlflow-ops.partOf" $root | nindent 8 }}
        {{- with $pod.labels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        {{- if not $root.Values.existingConfigMap }}
        checksum/ops: {{ include "mlflow-ops.ops" $root | sha256sum }}
        {{- end }}
        {{- with $pod.annotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ .account }}
      automountServiceAccountToken: {{ .token }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .grace }}
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $pod.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- range $key := tuple "nodeSelector" "tolerations" "affinity" }}
      {{- with index $pod $key }}
      {{ $key }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- if $pod.spread }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              app.kubernetes.io/name: mlflow-ops
              app.kubernetes.io/instance: {{ $root.Release.Name }}
          matchLabelKeys: [pod-template-hash]
      {{- end }}
      {{- include "mlflow-ops.podSecurity" 10001 | nindent 6 }}
      containers:
        - name: mlflow-ops
          image: {{ .image }}
          {{- with $root.Values.image.pullPolicy }}
          imagePullPolicy: {{ . }}
          {{- end }}
          args: {{ .args | toJson }}
          env:
            {{- include "mlflow-ops.env" $root | nindent 12 }}
            - {name: MLFLOW_OPS_METRICS_PORT, value: "9095"}
            {{- range concat .env $extra.extraEnv }}
            - {{ toJson . }}
            {{- end }}
          {{- with concat .envFrom $extra.extraEnvFrom }}
          envFrom:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- if .probes }}
          ports:
            - {name: metrics, containerPort: 9095}
          readinessProbe:
            httpGet: {path: /readyz, port: metrics}
            periodSeconds: 5
            timeoutSeconds: 3
          livenessProbe:
            httpGet: {path: /healthz, port: metrics}
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 6
          startupProbe:
            httpGet: {path: /healthz, port: metrics}
            periodSeconds: 2
            timeoutSeconds: 3
            failureThreshold: 60
          {{- else }}
          readinessProbe:
            exec: {command: [test, -e, /tmp/mlflow-ops-ready]}
            periodSeconds: 5
          {{- end }}
          resources:
            {{- toYaml $own.resources | nindent 12 }}
          {{- include "mlflow-ops.containerSecurity" . | nindent 10 }}
          volumeMounts:
            - {name: config, mountPath: /etc/mlflow-ops, readOnly: true}
            - {name: tmp, mountPath: /tmp}
            {{- with $extra.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: config
          configMap: {name: {{ include "mlflow-ops.configMap" $root }}}
        - name: tmp
          emptyDir: {{ .tmp | toJson }}
        {{- with $extra.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}

{{/* The variables of every process, and of the pod that helm test runs. */}}
{{- define "mlflow-ops.env" -}}
- {name: MLFLOW_OPS_CONFIG, value: /etc/mlflow-ops/ops.yaml}
{{- if ne .Values.target "mlflow" }}
- {name: MLFLOW_OPS_TARGET, value: {{ .Values.target | quote }}}
{{- end }}
- name: REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.secrets.redis }}, key: REDIS_URL}}
{{- end -}}

{{/* Kubernetes' "restricted" level, with a read-only root besides. Takes the user's id. */}}
{{- define "mlflow-ops.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "mlflow-ops.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}
