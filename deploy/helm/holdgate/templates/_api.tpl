{{- define "holdgate.apiEnv" -}}
{{ include "holdgate.env" (list "HOLDGATE_API_LISTEN" "0.0.0.0:8081") }}
{{ include "holdgate.env" (list "HOLDGATE_API_KEYS_FILE" "/run/secrets/holdgate/api-keys.json") }}
{{- if .Values.api.knownSecrets }}
{{ include "holdgate.env" (list "HOLDGATE_KNOWN_SECRETS_FILE" "/run/secrets/holdgate/known") }}
{{- end }}
{{- if .Values.api.quarantineKey }}
{{ include "holdgate.env" (list "HOLDGATE_QUARANTINE_KEY_FILE" "/run/secrets/holdgate-quarantine/key") }}
{{- end }}
{{- if .Values.ingress.enabled }}
{{ include "holdgate.env" (list "HOLDGATE_PUBLIC_URL" (printf "https://%s" .Values.ingress.host)) }}
{{- end }}
{{- end }}
