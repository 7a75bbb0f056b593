{{/* A server or its sentinel; both run a script of the ConfigMap. */}}
{{- define "holdgate.redisContainer" -}}
{{- $ := .root -}}
- name: {{ .name }}
  image: {{ $.Values.redis.image }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  command: [sh, /etc/holdgate/{{ .name }}.sh]
  env:
    - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: TLS, value: {{ ternary "--tls --cacert /run/secrets/tls/ca.crt --cert /run/secrets/tls/tls.crt --key /run/secrets/tls/tls.key" "" (ne $.Values.redis.tlsSecret "") | quote }}}
  securityContext:
    {{- include "holdgate.containerSecurity" . | nindent 4 }}
  resources:
    {{- toYaml .resources | nindent 4 }}
  ports:
    - {name: {{ .name }}, containerPort: {{ .port }}}
  # It reads its log before it listens, and the larger the log the longer.
  startupProbe:
    tcpSocket: {port: {{ .name }}}
    periodSeconds: 2
    failureThreshold: 300
  livenessProbe:
    tcpSocket: {port: {{ .name }}}
    periodSeconds: 10
    failureThreshold: 6
  readinessProbe:
    tcpSocket: {port: {{ .name }}}
    periodSeconds: 3
  volumeMounts:
    - {name: tmp, mountPath: /tmp, subPath: {{ .name }}}
    - {name: data, mountPath: /data}
    - {name: config, mountPath: /etc/holdgate, readOnly: true}
    - {name: secret, mountPath: /run/secrets/redis, readOnly: true}
    {{- with $.Values.redis.tlsSecret }}
    - {name: tls, mountPath: /run/secrets/tls, readOnly: true}
    {{- end }}
{{- end }}
