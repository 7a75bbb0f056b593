{{/* A peer of pods of a component: (list $ "api") */}}
{{- define "holdgate.peer" -}}
podSelector:
  matchLabels:
    {{- include "holdgate.selector" . | nindent 4 }}
{{- end }}

{{/* A way out to a server: (list $ "nats" ports) where it is bundled, or else wherever the values say. */}}
{{- define "holdgate.egress" -}}
{{- $ := index . 0 }}{{ $server := index . 1 }}{{ $values := index $.Values $server -}}
{{- $ports := ternary (index . 2) $values.ports $values.bundled -}}
- ports:
    {{- range $ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- if $values.bundled }}
  to:
    - {{- include "holdgate.peer" (list $ $server) | nindent 6 }}
  {{- else if $values.to }}
  to: {{- toYaml $values.to | nindent 4 }}
  {{- end }}
{{- end }}

{{/* A way in from the pods of components: (list $ (list "api" …) (list port …)) */}}
{{- define "holdgate.ingress" -}}
{{- $ := index . 0 -}}
- ports:
    {{- range index . 2 }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  from:
    {{- range index . 1 }}
    - {{- include "holdgate.peer" (list $ .) | nindent 6 }}
    {{- end }}
{{- end }}

{{/* Who may read a port of our pods: the peers of the values, or all pods of the namespace: (list peers port) */}}
{{- define "holdgate.from" -}}
- ports:
    - {protocol: TCP, port: {{ index . 1 }}}
  from:
    {{- with index . 0 }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    - podSelector: {}
    {{- end }}
{{- end }}
