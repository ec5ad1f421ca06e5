{{/* Of every pod: restricted, with no token of the API server, on its tier's nodes. */}}
{{- define "tenantry.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
priorityClassName: {{ .priorityClass }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
nodeSelector:
  tenantry.dev/node-pool: {{ .nodePool | quote }}
tolerations:
  - {key: tenantry.dev/node-pool, operator: Equal, value: {{ .nodePool | quote }}, effect: NoSchedule}
{{- end -}}

{{/*
Volumes of a pod that calls AWS. EKS gives the token to pods that are made after their association
only: an instance's first are made before it, while Terraform runs. So all ask for it themselves, by
the names that EKS would use, and have credentials as soon as the association is there.
*/}}
{{- define "tenantry.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
- name: eks-pod-identity-token
  projected:
    sources:
      - serviceAccountToken: {audience: pods.eks.amazonaws.com, expirationSeconds: 86400, path: eks-pod-identity-token}
{{- end -}}

{{- define "tenantry.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: eks-pod-identity-token, mountPath: /var/run/secrets/pods.eks.amazonaws.com/serviceaccount, readOnly: true}
{{- end -}}

{{/* Where the token is, and who gives credentials for it: the agent, on every node. */}}
{{- define "tenantry.podIdentity" -}}
- {name: AWS_CONTAINER_CREDENTIALS_FULL_URI, value: "http://169.254.170.23/v1/credentials"}
- name: AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
  value: /var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token
{{- end -}}

{{/* Of every container. */}}
{{- define "tenantry.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Replicas keep apart as far as there is room; each revision counts for itself. */}}
{{- define "tenantry.spread" -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "tenantry.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}

{{/* All on the private port, which no route reaches. A dependency that is down fails none. */}}
{{- define "tenantry.probes" -}}
startupProbe:
  httpGet: {path: /readyz, port: private}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: private}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: private}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{- define "tenantry.resources" -}}
requests: {cpu: {{ int .cpu }}m, memory: {{ int .memory }}Mi, ephemeral-storage: 64Mi}
limits: {memory: {{ int .memoryLimit }}Mi, ephemeral-storage: 512Mi}
{{- end -}}

{{/*
Settings of both services (docs/settings.md). Takes root, context and workload.
Empty is not set, so what is optional is left out.
*/}}
{{- define "tenantry.env" -}}
{{- $facts := .root.Values.facts -}}
{{- $identity := $facts.identity -}}
- {name: TENANTRY_ENVIRONMENT, value: {{ $facts.environment | quote }}}
- {name: TENANTRY_INSTANCE, value: {{ .context.id | quote }}}
- {name: TENANTRY_TIER, value: {{ .workload.tier | quote }}}
- {name: TENANTRY_VERSION, value: {{ .root.Chart.AppVersion | quote }}}
- {name: TENANTRY_PORT, value: "8080"}
- {name: TENANTRY_PRIVATE_PORT, value: "9090"}
- {name: TENANTRY_REGISTRY_TABLE, value: {{ include "tenantry.registryTable" .root | quote }}}
- {name: TENANTRY_IDENTITY, value: {{ $identity.mode | quote }}}
{{- if eq $identity.mode "jwt" }}
- {name: TENANTRY_JWKS, value: {{ $identity.jwks | quote }}}
- {name: TENANTRY_JWT_ISSUER, value: {{ $identity.issuer | quote }}}
- {name: TENANTRY_JWT_AUDIENCE, value: {{ $identity.audience | quote }}}
- {name: TENANTRY_JWT_ALGORITHMS, value: {{ $identity.algorithms | join "," | quote }}}
- {name: TENANTRY_TENANT_CLAIM, value: {{ $identity.claim | quote }}}
{{- end }}
{{- range $key, $value := .workload.settings }}
- {name: {{ $key | snakecase | upper | printf "TENANTRY_%s" | quote }}, value: {{ include "tenantry.number" $value | quote }}}
{{- end }}
{{ include "tenantry.podIdentity" . }}
- {name: AWS_REGION, value: {{ $facts.region | quote }}}
- {name: AWS_DEFAULT_REGION, value: {{ $facts.region | quote }}}
{{- /* DynamoDB by the name that leads to its endpoint in the VPC, and not by the account's own. */}}
- {name: AWS_ACCOUNT_ID_ENDPOINT_MODE, value: disabled}
{{- with $facts.local.awsEndpointUrl }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
{{- with $facts.telemetry.endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
- {name: OTEL_TRACES_SAMPLER, value: parentbased_traceidratio}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ $facts.telemetry.sampleRatio | quote }}}
- {name: OTEL_RESOURCE_ATTRIBUTES, value: {{ printf "k8s.namespace.name=%s,tenantry.tier=%s" $.context.id $.workload.tier | quote }}}
{{- end }}
{{- end -}}

{{/* Helm reads every number as a float, and would print 16777216 as 1.6777216e+07. */}}
{{- define "tenantry.number" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}
