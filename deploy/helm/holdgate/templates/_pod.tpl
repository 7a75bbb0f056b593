{{/* What every container may not do. */}}
{{- define "holdgate.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* One setting: (list "HOLDGATE_NAME" value) */}}
{{- define "holdgate.env" -}}
- name: {{ index . 0 }}
  value: {{ index . 1 | toString | quote }}
{{- end }}

{{/* How a component comes to NATS: (list $ "user") */}}
{{- define "holdgate.natsEnv" -}}
{{- $ := index . 0 -}}
{{ include "holdgate.env" (list "HOLDGATE_NATS_URL" (include "holdgate.natsUrl" $)) }}
{{ include "holdgate.env" (list "HOLDGATE_NATS_USER" (index . 1)) }}
{{ include "holdgate.env" (list (ternary "HOLDGATE_NATS_NKEY_FILE" "HOLDGATE_NATS_PASSWORD_FILE" (eq $.Values.nats.auth "nkey")) "/run/secrets/holdgate/nats") }}
{{- with $.Values.nats.clientTlsSecret }}
{{ include "holdgate.env" (list "HOLDGATE_NATS_CERT_FILE" "/run/secrets/nats-client/tls.crt") }}
{{ include "holdgate.env" (list "HOLDGATE_NATS_CERT_KEY_FILE" "/run/secrets/nats-client/tls.key") }}
{{- end }}
{{- end }}

{{- define "holdgate.trustEnv" -}}
{{ include "holdgate.env" (list "HOLDGATE_ROOT_FILE" "/run/holdgate/root/root.json") }}
{{ include "holdgate.env" (list "HOLDGATE_ROOT_PINS" (required "root.pins: HOLDGATE_PINS in what `holdgate provision` wrote to compose.env" .Values.root.pins)) }}
{{- end }}

{{/* How a component comes to Redis: (list $ "user") */}}
{{- define "holdgate.redisEnv" -}}
{{- $ := index . 0 -}}
{{ include "holdgate.env" (list "HOLDGATE_REDIS_URL" (include "holdgate.redisUrl" $)) }}
{{- if $.Values.redis.users }}
{{ include "holdgate.env" (list "HOLDGATE_REDIS_USER" (index . 1)) }}
{{- end }}
{{ include "holdgate.env" (list "HOLDGATE_REDIS_PASSWORD_FILE" "/run/secrets/holdgate/redis") }}
{{- if or $.Values.redis.bundled $.Values.redis.sentinelPassword }}
{{ include "holdgate.env" (list "HOLDGATE_REDIS_SENTINEL_PASSWORD_FILE" "/run/secrets/holdgate/sentinel") }}
{{- end }}
{{- with $.Values.redis.tlsSecret }}
{{ include "holdgate.env" (list "HOLDGATE_REDIS_CA_FILE" "/run/secrets/redis-ca/ca.crt") }}
{{- end }}
{{- with $.Values.redis.clientTlsSecret }}
{{ include "holdgate.env" (list "HOLDGATE_REDIS_CERT_FILE" "/run/secrets/redis-client/tls.crt") }}
{{ include "holdgate.env" (list "HOLDGATE_REDIS_KEY_FILE" "/run/secrets/redis-client/tls.key") }}
{{- end }}
{{- with $.Values.redis.replicas | toString | default (ternary "2" "" $.Values.redis.bundled) }}
{{ include "holdgate.env" (list "HOLDGATE_REDIS_REPLICAS" .) }}
{{- end }}
{{- with include "holdgate.natsMonitorUrl" $ }}
{{ include "holdgate.env" (list "HOLDGATE_NATS_MONITOR_URL" .) }}
{{- end }}
{{ include "holdgate.env" (list "HOLDGATE_DURABILITY" $.Values.durability) }}
{{- end }}

{{/*
A pod of Holdgate, from `spec:` on. A dict:
  root: $; component; values: its part of the values; args; env: further variables, as text;
  nats: its user there, or ""; trust, redis: whether it has them; key: whether it signs;
  secret: name of its Secret; listens: whether it answers probes;
  mounts, volumes: further ones, as text; once: whether it is a Job's
*/}}
{{- define "holdgate.pod" -}}
{{- $ := .root -}}
{{- $component := .component -}}
{{- $stop := default $.Values.stopSeconds .values.stopSeconds -}}
serviceAccountName: {{ $.Values.serviceAccountName }}
automountServiceAccountToken: false
# Kubernetes would set HOLDGATE_API_PORT and the like for its Services, and an unknown setting stops a process.
enableServiceLinks: false
{{- if .once }}
restartPolicy: OnFailure
{{- else }}
terminationGracePeriodSeconds: {{ add $stop (ternary $.Values.drainSeconds 0 .listens) 5 }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "holdgate.selector" (list $ $component) | nindent 8 }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml $.Values.podSecurityContext | nindent 2 }}
{{- with $.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ default (include "holdgate.image" $) .values.image }}
    imagePullPolicy: {{ $.Values.image.pullPolicy }}
    args: {{ toJson .args }}
    env:
      {{- include "holdgate.env" (list "HOLDGATE_PLAINTEXT" (include "holdgate.plaintext" $)) | nindent 6 }}
      {{- with .nats }}
      {{- include "holdgate.natsEnv" (list $ .) | nindent 6 }}
      {{- end }}
      {{- if and (or .nats .redis) $.Values.nats.tlsSecret }}
      {{- include "holdgate.env" (list "HOLDGATE_NATS_CA_FILE" "/run/secrets/nats-ca/ca.crt") | nindent 6 }}
      {{- end }}
      {{- if .trust }}
      {{- include "holdgate.trustEnv" $ | nindent 6 }}
      {{- end }}
      {{- if .key }}
      {{- include "holdgate.env" (list "HOLDGATE_KEY_FILE" "/run/secrets/holdgate-key/key") | nindent 6 }}
      {{- end }}
      {{- if .redis }}
      {{- include "holdgate.redisEnv" (list $ .component) | nindent 6 }}
      {{- end }}
      {{- if not .once }}
      {{- include "holdgate.env" (list "HOLDGATE_LOG_LEVEL" $.Values.logLevel) | nindent 6 }}
      {{- include "holdgate.env" (list "HOLDGATE_LOG_FORMAT" "json") | nindent 6 }}
      {{- include "holdgate.env" (list "HOLDGATE_METRICS_LISTEN" "0.0.0.0:9090") | nindent 6 }}
      {{- include "holdgate.env" (list "HOLDGATE_STOP_TIMEOUT_S" $stop) | nindent 6 }}
      {{- with $.Values.tracing.endpoint }}
      {{- include "holdgate.env" (list "HOLDGATE_OTLP_ENDPOINT" .) | nindent 6 }}
      {{- include "holdgate.env" (list "HOLDGATE_TRACE_RATIO" $.Values.tracing.ratio) | nindent 6 }}
      {{- end }}
      {{- if ne .component "worker" }}
      {{- include "holdgate.env" (list "HOLDGATE_DRAIN_S" $.Values.drainSeconds) | nindent 6 }}
      {{- end }}
      {{- end }}
      {{- with .env }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- range $name, $value := merge (dict) (default (dict) .values.env) (ternary (dict) $.Values.env (default false .once)) }}
      {{- include "holdgate.env" (list $name $value) | nindent 6 }}
      {{- end }}
    securityContext:
      {{- include "holdgate.containerSecurity" . | nindent 6 }}
    resources:
      {{- toYaml .values.resources | nindent 6 }}
    {{- if .listens }}
    ports:
      - {name: metrics, containerPort: 9090}
      {{- with .port }}
      - {name: http, containerPort: {{ . }}}
      {{- end }}
    # A start may wait 30 seconds for servers that start at the same time, and a kernel reads its disk.
    startupProbe:
      httpGet: {path: /healthz, port: {{ ternary "http" "metrics" (hasKey . "port") }}}
      periodSeconds: 2
      failureThreshold: 45
    livenessProbe:
      httpGet: {path: /healthz, port: {{ ternary "http" "metrics" (hasKey . "port") }}}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    # Not ready while a part that it needs is away. That ends no process: they all go on when the part is back.
    readinessProbe:
      httpGet: {path: /readyz, port: {{ ternary "http" "metrics" (hasKey . "port") }}}
      periodSeconds: 3
      timeoutSeconds: 3
      failureThreshold: 2
    {{- end }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- if .secret }}
      - {name: secret, mountPath: /run/secrets/holdgate, readOnly: true}
      {{- end }}
      {{- if .key }}
      # A key file may not be a link, as what a mounted Secret shows are; one that is mounted by itself is none.
      - {name: secret, mountPath: /run/secrets/holdgate-key/key, subPath: key, readOnly: true}
      {{- end }}
      {{- if .trust }}
      - {name: root, mountPath: /run/holdgate/root, readOnly: true}
      {{- end }}
      {{- include "holdgate.tlsMounts" . | nindent 6 }}
      {{- with .mounts }}
      {{- . | nindent 6 }}
      {{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 256Mi}
  {{- with .secret }}
  - name: secret
    secret: {secretName: {{ . }}, defaultMode: 0400}
  {{- end }}
  {{- if .trust }}
  - name: root
    configMap: {name: {{ $.Values.root.configMap }}}
  {{- end }}
  {{- include "holdgate.tlsVolumes" . | nindent 2 }}
  {{- with .volumes }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Only what is public of a server's Secret is mounted by its clients. */}}
{{- define "holdgate.tlsMounts" -}}
{{- $ := .root -}}
{{- if and (or .nats .redis) $.Values.nats.tlsSecret }}
- {name: nats-ca, mountPath: /run/secrets/nats-ca, readOnly: true}
{{- end }}
{{- if and .nats $.Values.nats.clientTlsSecret }}
- {name: nats-client, mountPath: /run/secrets/nats-client, readOnly: true}
{{- end }}
{{- if and .redis $.Values.redis.tlsSecret }}
- {name: redis-ca, mountPath: /run/secrets/redis-ca, readOnly: true}
{{- end }}
{{- if and .redis $.Values.redis.clientTlsSecret }}
- {name: redis-client, mountPath: /run/secrets/redis-client, readOnly: true}
{{- end }}
{{- end }}

{{- define "holdgate.tlsVolumes" -}}
{{- $ := .root -}}
{{- if and (or .nats .redis) $.Values.nats.tlsSecret }}
- name: nats-ca
  secret: {secretName: {{ $.Values.nats.tlsSecret }}, defaultMode: 0400, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- if and .nats $.Values.nats.clientTlsSecret }}
- name: nats-client
  secret: {secretName: {{ $.Values.nats.clientTlsSecret }}, defaultMode: 0400}
{{- end }}
{{- if and .redis $.Values.redis.tlsSecret }}
- name: redis-ca
  secret: {secretName: {{ $.Values.redis.tlsSecret }}, defaultMode: 0400, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- if and .redis $.Values.redis.clientTlsSecret }}
- name: redis-client
  secret: {secretName: {{ $.Values.redis.clientTlsSecret }}, defaultMode: 0400}
{{- end }}
{{- end }}

{{/* Name, labels and annotations of a pod: (list $ "api" values) */}}
{{- define "holdgate.podMetadata" -}}
labels:
  {{- include "holdgate.labels" . | nindent 2 }}
{{- with (index . 2).podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
