{{/* Short enough that a Job's name, with what a CronJob appends, has 63 characters. */}}
{{- define "pipeline.fullname" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "pipeline.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "pipeline.labels" -}}
{{ include "pipeline.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "pipeline.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}
{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create -}}
{{ include "pipeline.fullname" . }}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "pipeline.registryClaim" -}}
{{ .Values.registry.existingClaim | default (printf "%s-registry" (include "pipeline.fullname" .)) }}
{{- end -}}

{{/* Takes `root`, and `gpu`: whether it must be the image with CUDA. */}}
{{- define "pipeline.image" -}}
{{- $image := .root.Values.image -}}
{{- $repository := required "image.repository: expected where you pushed the image that deploy/Dockerfile builds" $image.repository -}}
{{- if .gpu -}}
{{ $repository }}:{{ required "gpu.tag: expected the tag of an image built with CUDA (docker build --build-arg TORCH_INDEX= ...)" .root.Values.gpu.tag }}
{{- else if $image.digest -}}
{{ $repository }}@{{ $image.digest }}
{{- else -}}
{{ $repository }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What all our containers may do. */}}
{{- define "pipeline.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What all our pods have in common. Takes `root` and `gpu`. */}}
{{- define "pipeline.pod" -}}
serviceAccountName: {{ include "pipeline.serviceAccount" .root | quote }}
automountServiceAccountToken: false
# A variable for each Service, such as PIPELINE_..., would be taken for a setting.
enableServiceLinks: false
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- if and .gpu .root.Values.gpu.runtimeClassName }}
runtimeClassName: {{ .root.Values.gpu.runtimeClassName | quote }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Takes `resources`, `root`, `gpu`, and `memory`: the limit where that is left empty. */}}
{{- define "pipeline.resources" -}}
{{- $resources := deepCopy (.resources | default dict) -}}
{{- $limits := $resources.limits | default dict -}}
{{- if and (hasKey $limits "memory") (not $limits.memory) -}}
{{- $_ := set $limits "memory" .memory -}}
{{- end -}}
{{- if .gpu -}}
{{- $_ := set $limits .root.Values.gpu.resource (int64 .root.Values.gpu.count) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* 1 GiB for what is remembered of units, and 1 for each detector in each process. */}}
{{- define "pipeline.workerMemory" -}}
{{- $detectors := empty .Values.shadow | ternary 1 2 -}}
{{- add 1 (mul $detectors .Values.processes) -}}Gi
{{- end -}}

{{/* A map of settings as variables. A whole number is a float here, and large ones would be
written with an exponent, which no setting takes. */}}
{{- define "pipeline.variables" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  {{- if and (kindIs "float64" $value) (eq $value (floor $value)) }}
  value: {{ printf "%.0f" $value | quote }}
  {{- else }}
  value: {{ $value | toString | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "pipeline.protocol" -}}
{{- if .Values.kafka.securityProtocol -}}
{{ .Values.kafka.securityProtocol }}
{{- else if .Values.kafka.sasl.existingSecret -}}
SASL_SSL
{{- else if .Values.kafka.tls.existingSecret -}}
SSL
{{- else -}}
PLAINTEXT
{{- end -}}
{{- end -}}

{{/* What the worker is told, less `settings`. Names as in its table of settings. */}}
{{- define "pipeline.environment" -}}
{{- $kafka := .Values.kafka -}}
PIPELINE_DETECTOR: /detectors/current
PIPELINE_DEVICE: {{ .Values.gpu.enabled | ternary "cuda" "cpu" }}
PIPELINE_PROCESSES: {{ .Values.processes }}
PIPELINE_KAFKA__BOOTSTRAP_SERVERS: {{ required "kafka.bootstrapServers: expected host:port, separated by commas" $kafka.bootstrapServers | quote }}
PIPELINE_KAFKA__GROUP_ID: {{ $kafka.groupId | default .Release.Name | quote }}
PIPELINE_KAFKA__READINGS_TOPIC: {{ $kafka.readingsTopic | quote }}
PIPELINE_KAFKA__ALERTS_TOPIC: {{ $kafka.alertsTopic | quote }}
PIPELINE_KAFKA__DEAD_LETTERS_TOPIC: {{ $kafka.deadLettersTopic | quote }}
PIPELINE_KAFKA__DELIVERY: {{ $kafka.delivery }}
PIPELINE_KAFKA__SECURITY_PROTOCOL: {{ include "pipeline.protocol" . }}
PIPELINE_HTTP__PORT: 9100
{{- if $kafka.sasl.existingSecret }}
PIPELINE_KAFKA__SASL__MECHANISM: {{ $kafka.sasl.mechanism }}
{{- end }}
{{- with $kafka.tls }}
{{- if .existingSecret }}
{{- if .caKey }}
PIPELINE_KAFKA__TLS__CA_FILE: /etc/pipeline/tls/{{ .caKey }}
{{- end }}
{{- if .certificateKey }}
PIPELINE_KAFKA__TLS__CERTIFICATE_FILE: /etc/pipeline/tls/{{ .certificateKey }}
{{- end }}
{{- if .keyKey }}
PIPELINE_KAFKA__TLS__KEY_FILE: /etc/pipeline/tls/{{ .keyKey }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.shadow }}
PIPELINE_SHADOW: /detectors/{{ .Values.shadow }}
{{- end }}
{{- end -}}

{{/* Secrets that the worker reads by `--secrets-dir`: a list, empty without any. */}}
{{- define "pipeline.secretSources" -}}
{{- $kafka := .Values.kafka -}}
{{- if $kafka.sasl.existingSecret }}
- secret:
    name: {{ $kafka.sasl.existingSecret | quote }}
    items:
      - {key: {{ $kafka.sasl.usernameKey | quote }}, path: PIPELINE_KAFKA__SASL__USERNAME}
      - {key: {{ $kafka.sasl.passwordKey | quote }}, path: PIPELINE_KAFKA__SASL__PASSWORD}
{{- end }}
{{- if and $kafka.tls.existingSecret $kafka.tls.keyPasswordKey }}
- secret:
    name: {{ $kafka.tls.existingSecret | quote }}
    items:
      - {key: {{ $kafka.tls.keyPasswordKey | quote }}, path: PIPELINE_KAFKA__TLS__KEY_PASSWORD}
{{- end }}
{{- end -}}

{{/* Most workers that can have a partition each. */}}
{{- define "pipeline.maxReplicas" -}}
{{- div .Values.kafka.partitions .Values.processes -}}
{{- end -}}

{{- define "pipeline.runbook" -}}
{{- required "runbook: expected a URL at which deploy/RUNBOOK.md is read, which alert rules and dashboards link to" .Values.runbook -}}
{{- end -}}

{{/* Refuses values that do not go together. */}}
{{- define "pipeline.validate" -}}
{{- $values := .Values -}}
{{- $kafka := $values.kafka -}}
{{- $most := int (include "pipeline.maxReplicas" .) -}}
{{- if lt $most 1 -}}
{{- fail (printf "processes: expected at most kafka.partitions (%v), got %v; a process without a partition is never ready" (int64 $kafka.partitions) (int64 $values.processes)) -}}
{{- end -}}
{{- if and (not $values.keda.enabled) (gt (int $values.replicas) $most) -}}
{{- fail (printf "replicas: expected at most %d, kafka.partitions (%v) by processes (%v), got %v; a worker without a partition is never ready" $most (int64 $kafka.partitions) (int64 $values.processes) (int64 $values.replicas)) -}}
{{- end -}}
{{- if and $values.keda.enabled (gt (int $values.keda.minReplicas) $most) -}}
{{- fail (printf "keda.minReplicas: expected at most %d, kafka.partitions (%v) by processes (%v), got %v" $most (int64 $kafka.partitions) (int64 $values.processes) (int64 $values.keda.minReplicas)) -}}
{{- end -}}
{{- $protocol := include "pipeline.protocol" . -}}
{{- if and (hasPrefix "SASL" $protocol) (not $kafka.sasl.existingSecret) -}}
{{- fail (printf "kafka.sasl.existingSecret: expected the name of a Secret, for kafka.securityProtocol is %s" $protocol) -}}
{{- end -}}
{{- if and $kafka.sasl.existingSecret (not (hasPrefix "SASL" $protocol)) -}}
{{- fail (printf "kafka.securityProtocol: expected SASL_SSL or SASL_PLAINTEXT with kafka.sasl.existingSecret, got %s" $protocol) -}}
{{- end -}}
{{- if and $kafka.tls.existingSecret (not (hasSuffix "SSL" $protocol)) -}}
{{- fail (printf "kafka.securityProtocol: expected SSL or SASL_SSL with kafka.tls.existingSecret, got %s" $protocol) -}}
{{- end -}}
{{- $set := fromYaml (include "pipeline.environment" .) -}}
{{- $elsewhere := "^PIPELINE_(SHADOW|HTTP__HOST|KAFKA__GROUP_INSTANCE_ID|KAFKA__SASL__.*|KAFKA__TLS__.*)$" -}}
{{- range $name, $_ := $values.settings -}}
{{- if not (regexMatch "^PIPELINE_[A-Z0-9_]+$" $name) -}}
{{- fail (printf "settings: expected names such as PIPELINE_POLL__MAX_RECORDS, got %s" $name) -}}
{{- end -}}
{{- if or (hasKey $set $name) (regexMatch $elsewhere $name) -}}
{{- fail (printf "settings: %s is decided by another value of this chart; passwords come from kafka.sasl.existingSecret and kafka.tls.existingSecret" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := $values.retraining.settings -}}
{{- if not (regexMatch "^TRAINER_[A-Z0-9_]+$" $name) -}}
{{- fail (printf "retraining.settings: expected names such as TRAINER_WINDOW, got %s" $name) -}}
{{- end -}}
{{- end -}}
{{- if and $values.retraining.enabled (not $values.retraining.history.existingClaim) -}}
{{- fail "retraining.history.existingClaim: expected the name of the PersistentVolumeClaim that holds the history" -}}
{{- end -}}
{{- end -}}
