{{- define "holdgate.workerEnv" -}}
{{ include "holdgate.env" (list "HOLDGATE_POOL" .Values.worker.pool) }}
{{ include "holdgate.env" (list "HOLDGATE_KERNEL_KEYS_FILE" "/run/secrets/holdgate/worker-keys.json") }}
{{- end }}
