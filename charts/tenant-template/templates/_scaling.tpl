{{/* Up at once, by half as many again; down by one pod a minute, after five quiet minutes. */}}
{{- define "tenantry.scaling" -}}
scaleUp:
  policies:
    - {type: Percent, value: 50, periodSeconds: 60}
    - {type: Pods, value: 2, periodSeconds: 60}
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
    - {type: Pods, value: 1, periodSeconds: 60}
{{- end -}}
