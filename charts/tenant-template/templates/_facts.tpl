{{/*
Facts that follow from others where the environment does not say otherwise. Names of queues and
tables are tenantry.names': with the bounds of the schema none is long enough to be cut.
*/}}
{{- define "tenantry.queueName" -}}
{{ .Values.facts.environment }}-{{ .Values.instance.id }}-messages
{{- end -}}

{{- define "tenantry.tableName" -}}
{{ .Values.facts.environment }}-{{ .Values.instance.id }}-messages
{{- end -}}

{{- define "tenantry.queueUrlPrefix" -}}
{{- with .Values.facts -}}
{{ .queueUrlPrefix | default (printf "https://sqs.%s.amazonaws.com/%s" .region .account) | trimSuffix "/" }}
{{- end -}}
{{- end -}}

{{- define "tenantry.queueUrl" -}}
{{ include "tenantry.queueUrlPrefix" . }}/{{ include "tenantry.queueName" . }}
{{- end -}}

{{- define "tenantry.registryTable" -}}
{{ .Values.facts.registryTable | default (printf "%s-tenants" .Values.facts.environment) }}
{{- end -}}

{{- define "tenantry.registry" -}}
{{- with .Values.facts -}}
{{ .registry | default (printf "%s.dkr.ecr.%s.amazonaws.com" .account .region) | trimSuffix "/" }}
{{- end -}}
{{- end -}}

{{- define "tenantry.cluster" -}}
{{ .Values.facts.cluster | default .Values.facts.environment }}
{{- end -}}

{{/* The environment's roles for workloads, by the names that the Terraform module takes, as JSON. */}}
{{- define "tenantry.roles" -}}
{{- $facts := .Values.facts -}}
{{- $given := $facts.roles | default dict -}}
{{- $roles := dict -}}
{{- range $key, $name := dict "producer" "producer" "consumer" "consumer" "poolProducer" "pool-producer" "poolConsumer" "pool-consumer" "tenantReader" "tenant-reader" -}}
{{-   $_ := set $roles $key (get $given $key | default (printf "arn:aws:iam::%s:role/%s-tenantry-%s" $facts.account $facts.environment $name)) -}}
{{- end -}}
{{- $roles | toJson -}}
{{- end -}}

{{/* The port of an http(s) address. */}}
{{- define "tenantry.portOf" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) -}}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{/* The host of an address, with a scheme or without, as DNS compares it; empty for none. */}}
{{- define "tenantry.hostOf" -}}
{{- $address := . | default "" | toString | lower -}}
{{- $authority := regexReplaceAll "^[a-z][a-z0-9+.-]*://" $address "" | regexFind "^[^/?#]*" -}}
{{- regexReplaceAll "^.*@" $authority "" | regexFind "^[^:]*" | trimSuffix "." -}}
{{- end -}}
