{{/* Of both tests' pods. Takes root, context, name; the test's own environment follows it. */}}
{{- define "tenantry.testMetadata" -}}
name: test-{{ .name }}
namespace: {{ .context.id | quote }}
labels:
  {{- include "tenantry.labels" (dict "root" .root "context" .context "component" "test" "phase" .context.consumer.phase) | nindent 2 }}
annotations:
  helm.sh/hook: test
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "tenantry.testContainer" -}}
name: probe
image: {{ .context.consumer.image | quote }}
imagePullPolicy: IfNotPresent
command: [python3, -c]
args:
  - |
    {{- .root.Files.Get "files/probe.py" | nindent 4 }}
  - {{ .name }}
resources:
  requests: {cpu: 100m, memory: 128Mi, ephemeral-storage: 64Mi}
  limits: {memory: 128Mi, ephemeral-storage: 64Mi}
securityContext:
  {{- include "tenantry.containerSecurity" . | nindent 2 }}
volumeMounts:
  {{- if eq .name "isolation" }}
  {{- include "tenantry.mounts" . | nindent 2 }}
  {{- else }}
  - {name: tmp, mountPath: /tmp}
  {{- end }}
{{- end -}}
