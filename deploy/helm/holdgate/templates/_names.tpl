{{- define "holdgate.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{/* What a pod of a component is chosen by: (list $ "api") */}}
{{- define "holdgate.selector" -}}
app.kubernetes.io/name: holdgate
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "holdgate.labels" -}}
{{ include "holdgate.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end }}

{{/* Name and labels of an object of a component: (list $ "api") */}}
{{- define "holdgate.metadata" -}}
name: {{ include "holdgate.name" (index . 0) }}-{{ index . 1 }}
labels:
  {{- include "holdgate.labels" . | nindent 2 }}
{{- end }}

{{- define "holdgate.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* Where the servers are. Members are named one by one: a client that lost one must find another at once. */}}
{{- define "holdgate.natsUrl" -}}
{{- if .Values.nats.bundled -}}
{{- $name := include "holdgate.name" . -}}
{{- $scheme := ternary "tls" "nats" (ne .Values.nats.tlsSecret "") -}}
{{- range $i := until 3 }}{{ if $i }},{{ end }}{{ $scheme }}://{{ $name }}-nats-{{ $i }}.{{ $name }}-nats:4222{{ end -}}
{{- else -}}
{{ required "nats.url: where NATS is, since it is not bundled" .Values.nats.url }}
{{- end -}}
{{- end }}

{{- define "holdgate.natsMonitorUrl" -}}
{{- if .Values.nats.bundled -}}
{{- $name := include "holdgate.name" . -}}
{{- $scheme := ternary "https" "http" (ne .Values.nats.tlsSecret "") -}}
{{- range $i := until 3 }}{{ if $i }},{{ end }}{{ $scheme }}://{{ $name }}-nats-{{ $i }}.{{ $name }}-nats:8222{{ end -}}
{{- else }}{{ .Values.nats.monitorUrl }}{{ end -}}
{{- end }}

{{- define "holdgate.redisUrl" -}}
{{- if .Values.redis.bundled -}}
{{- $name := include "holdgate.name" . -}}
{{ ternary "rediss" "redis" (ne .Values.redis.tlsSecret "") }}+sentinel://
{{- range $i := until 3 }}{{ if $i }},{{ end }}{{ $name }}-redis-{{ $i }}.{{ $name }}-redis:26379{{ end -}}
/holdgate/0
{{- else -}}
{{ required "redis.url: where Redis is, since it is not bundled" .Values.redis.url }}
{{- end -}}
{{- end }}

{{/* Said when the chart is rendered, and not by pods that do not start. */}}
{{- define "holdgate.plaintext" -}}
{{- $open := list -}}
{{- range $url := splitList "," (include "holdgate.natsUrl" .) }}{{ if not (hasPrefix "tls://" $url) }}{{ $open = append $open "NATS" }}{{ end }}{{ end -}}
{{- if not (hasPrefix "rediss" (include "holdgate.redisUrl" .)) }}{{ $open = append $open "Redis" }}{{ end -}}
{{- if hasPrefix "http://" .Values.tracing.endpoint }}{{ $open = append $open "the collector of spans" }}{{ end -}}
{{- if and $open (ne .Values.plaintext "allow") -}}
{{- fail (printf "no TLS to %s: name a tlsSecret and addresses of tls://, rediss:// and https://, or say `plaintext: allow` where nobody else is on the network" (uniq $open | join " and ")) -}}
{{- end -}}
{{ .Values.plaintext }}
{{- end }}
