{{- define "easeml.labels" -}}
app.kubernetes.io/name: easeml
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "easeml.selector" -}}
app.kubernetes.io/name: easeml
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "easeml.claim" -}}
{{ .Values.home.existingClaim | default (printf "%s-home" .Release.Name) }}
{{- end }}

{{- /* The Kafka account of a process: (root, name of the account of its own). */ -}}
{{- define "easeml.account" -}}
{{ ternary .own .root.Values.kafka.username .root.Values.kafka.accountPerService }}
{{- end }}

{{- /* Environment of a process: (root, account, healthPort). No secret stands in it, only where the files are. */ -}}
{{- define "easeml.env" -}}
{{- $v := .root.Values -}}
- {name: EASEML_BOOTSTRAP_SERVERS, value: {{ required "kafka.bootstrapServers is required" $v.kafka.bootstrapServers | quote }}}
- {name: EASEML_PARTITIONS, value: {{ $v.kafka.partitions | quote }}}
- {name: EASEML_REPLICATION_FACTOR, value: {{ $v.kafka.replicationFactor | quote }}}
- {name: EASEML_SECURITY_PROTOCOL, value: {{ $v.kafka.securityProtocol | quote }}}
{{- if hasPrefix "SASL" $v.kafka.securityProtocol }}
- {name: EASEML_SASL_MECHANISM, value: {{ $v.kafka.saslMechanism | quote }}}
- {name: EASEML_SASL_USERNAME, value: {{ include "easeml.account" . | quote }}}
- {name: EASEML_SASL_PASSWORD_FILE, value: /run/secrets/easeml/sasl_password}
{{- end }}
{{- if $v.kafka.caSecret }}
- {name: EASEML_SSL_CA_FILE, value: /run/secrets/kafka/ca.crt}
{{- end }}
- {name: EASEML_HOME, value: /var/lib/easeml}
- {name: EASEML_HOST, value: 0.0.0.0}
- {name: EASEML_HEALTH_PORT, value: {{ .healthPort | quote }}}
- {name: EASEML_LOG_FORMAT, value: json}
{{- range $name, $value := $v.settings }}
- {name: {{ $name }}, value: {{ $value | int64 | quote }}}
{{- end }}
- {name: EASEML_TOKEN_FILE, value: /run/secrets/easeml/token}
- {name: EASEML_EPOCH_SEED_FILE, value: /run/secrets/easeml/epoch_seed}
{{- if $v.tls.secret }}
- {name: EASEML_TLS_CERTIFICATE, value: /run/secrets/tls/tls.crt}
- {name: EASEML_TLS_KEY, value: /run/secrets/tls/tls.key}
{{- if $v.tls.askCallers }}
- {name: EASEML_TLS_CA, value: /run/secrets/tls/ca.crt}
{{- end }}
{{- end }}
{{- if $v.artifacts.uri }}
- {name: EASEML_ARTIFACTS_URI, value: {{ $v.artifacts.uri | quote }}}
- {name: AWS_SHARED_CREDENTIALS_FILE, value: /run/secrets/easeml/aws}
{{- with $v.artifacts.endpoint }}
- {name: AWS_ENDPOINT_URL_S3, value: {{ . | quote }}}
{{- end }}
{{- with $v.artifacts.region }}
- {name: AWS_DEFAULT_REGION, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- if $v.tracing.endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ $v.tracing.endpoint | quote }}}
- {name: OTEL_TRACES_SAMPLER, value: {{ $v.tracing.sampler | quote }}}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ $v.tracing.ratio | quote }}}
{{- end }}
{{- end }}

{{- define "easeml.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Mounts of a process: (root, name). The run files are of one pod; the rest of the home is common property. */ -}}
{{- define "easeml.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: home, mountPath: /var/lib/easeml}
- {name: run, mountPath: /var/lib/easeml/run}
- {name: secrets-{{ .name }}, mountPath: /run/secrets/easeml, readOnly: true}
{{- if .root.Values.kafka.caSecret }}
- {name: kafka-ca, mountPath: /run/secrets/kafka, readOnly: true}
{{- end }}
{{- if .root.Values.tls.secret }}
- {name: tls, mountPath: /run/secrets/tls, readOnly: true}
{{- end }}
{{- end }}

{{- /* The secrets of one process: (root, name, own). */ -}}
{{- define "easeml.secrets" -}}
- name: secrets-{{ .name }}
  secret:
    secretName: {{ .root.Values.secret }}
    defaultMode: 0440
    items:
      - {key: token, path: token}
      - {key: epoch_seed, path: epoch_seed}
      {{- if hasPrefix "SASL" .root.Values.kafka.securityProtocol }}
      - {key: {{ ternary .own "sasl_password" .root.Values.kafka.accountPerService }}, path: sasl_password}
      {{- end }}
      {{- if .root.Values.artifacts.uri }}
      - {key: aws, path: aws}
      {{- end }}
{{- end }}

{{- /* What a pod is beside its containers. */ -}}
{{- define "easeml.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "easeml.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 2Gi}}
- {name: run, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
{{- if .Values.kafka.caSecret }}
- {name: kafka-ca, secret: {secretName: {{ .Values.kafka.caSecret }}, items: [{key: ca.crt, path: ca.crt}]}}
{{- end }}
{{- if .Values.tls.secret }}
- {name: tls, secret: {secretName: {{ .Values.tls.secret }}, defaultMode: 0440}}
{{- end }}
{{- end }}

{{- /* Port of a URL. */ -}}
{{- define "easeml.port" -}}
{{- $place := regexReplaceAll "^[a-z]+://([^/]*).*$" . "${1}" -}}
{{ regexFind ":[0-9]+$" $place | trimPrefix ":" | default (ternary "80" "443" (hasPrefix "http://" .)) }}
{{- end }}

{{- define "easeml.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
