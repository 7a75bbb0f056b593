{{- define "holdgate.outputGateEnv" -}}
{{ include "holdgate.env" (list "HOLDGATE_FINGERPRINT_KEY_FILE" "/run/secrets/holdgate/fingerprint") }}
{{- if .Values.outputGate.knownSecrets }}
{{ include "holdgate.env" (list "HOLDGATE_KNOWN_SECRETS_FILE" "/run/secrets/holdgate/known") }}
{{- end }}
{{- end }}
