{{/*
Scales a Deployment on jobs that wait: (list $ "worker" autoscaling pool). The metric holdgate_backlog_jobs must be given to
Kubernetes as an external metric: docs/how-to/deploy.md.
*/}}
{{- define "holdgate.autoscaler" -}}
{{- $ := index . 0 }}{{ $component := index . 1 }}{{ $v := index . 2 }}{{ $pool := index . 3 }}
{{- if $v.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "holdgate.metadata" (list $ $component) | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "holdgate.name" $ }}-{{ $component }}}
  minReplicas: {{ $v.minReplicas }}
  maxReplicas: {{ $v.maxReplicas }}
  metrics:
    - type: External
      external:
        metric:
          name: holdgate_backlog_jobs
          {{- with $pool }}
          selector: {matchLabels: {pool: {{ . | quote }}}}
          {{- end }}
        target: {type: AverageValue, averageValue: {{ $v.jobsPerReplica | toString | quote }}}
  behavior:
    scaleUp:
      policies: [{type: Percent, value: 100, periodSeconds: 30}]
    # Who goes away hands its work back; so not at once, and not many.
    scaleDown:
      stabilizationWindowSeconds: 300
      policies: [{type: Pods, value: 1, periodSeconds: 60}]
{{- end }}
{{- end }}
