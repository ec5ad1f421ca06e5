{{/*
Labels of every object. Takes root, context, component and phase.
tenantry.dev/tenant is who it is for, tier and pool where that tenant is now, and phase what may
become of the object: admission lets go what is `offboarding`, and nothing else.
*/}}
{{- define "tenantry.labels" -}}
{{ include "tenantry.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
tenantry.dev/environment: {{ .root.Values.facts.environment | quote }}
tenantry.dev/ring: {{ .root.Values.instance.ring | quote }}
tenantry.dev/phase: {{ .phase | quote }}
{{- end -}}

{{/* What pods are labelled with: nothing here changes with a release, which would restart them. */}}
{{- define "tenantry.podLabels" -}}
{{ include "tenantry.selector" . }}
app.kubernetes.io/part-of: tenantry
{{ include "tenantry.whose" .context }}
{{- end -}}

{{/* Tenant, tier and pool: whom to ask, and whom to charge. A pool's have no tenant. */}}
{{- define "tenantry.whose" -}}
tenantry.dev/tier: {{ .tier | quote }}
{{- if eq .kind "tenant" }}
tenantry.dev/tenant: {{ .id | quote }}
{{- end }}
{{- with .pool }}
tenantry.dev/pool: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Never changes in the life of an instance: a Deployment's selector cannot. */}}
{{- define "tenantry.selector" -}}
app.kubernetes.io/name: tenantry
app.kubernetes.io/instance: {{ .context.id | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* How far a move is, on what says where the tenant is: the next values are held against it. */}}
{{- define "tenantry.transition" -}}
{{- with .Values.instance.transition -}}
tenantry.dev/transition: {{ .phase | quote }}
{{- end -}}
{{- end -}}

{{/*
What must outlive a release that is uninstalled by mistake: Helm leaves it until the instance is
offboarding, or the place that has it is left.
*/}}
{{- define "tenantry.keep" -}}
{{- if ne . "offboarding" -}}
annotations:
  helm.sh/resource-policy: keep
{{- end -}}
{{- end -}}
