{{/*
Everything that templates ask more than once, as JSON: `include "tenantry.context" . | fromJson`.

  id, kind            of the instance
  tier, pool          where it is now: while a tenant moves, the place it leaves until it switched
  records             true where a basic tenant's record is rendered
  producer, consumer  absent, or size, settings, image, grace period and phase of the workload
  groups              the load balancers' groups with a route to this instance
  namespace           absent, or the phase of the instance's own namespace
  infra               absent, or the phase of queue and table
  phase               of what stays; what only the place has that is left is `offboarding` earlier
  union               true while both places of a move are kept up
*/}}
{{- define "tenantry.context" -}}
{{- $instance := .Values.instance -}}
{{- $facts := .Values.facts -}}
{{- $isPool := eq $instance.kind "pool" -}}
{{- $target := dict "tier" (ternary "basic" $instance.tier $isPool) "pool" (ternary $instance.id $instance.pool $isPool) -}}
{{- $from := dict -}}
{{- $now := $target -}}
{{- $places := list $target -}}
{{- $draining := false -}}
{{- $removing := false -}}
{{- with $instance.transition -}}
{{-   $from = .from -}}
{{-   if has .phase (list "provisioning" "copying") }}{{ $now = .from }}{{ end -}}
{{-   $draining = eq .phase "draining" -}}
{{-   $removing = eq .phase "removing" -}}
{{-   if not $removing }}{{ $places = append $places .from }}{{ end -}}
{{- end -}}

{{- /* Which tiers, of the places that are kept up, have what. */ -}}
{{- $producers := list -}}
{{- $consumers := list -}}
{{- $records := false -}}
{{- range $places -}}
{{-   if or $isPool (eq .tier "premium") }}{{ $producers = append $producers .tier }}{{ end -}}
{{-   if or $isPool (ne .tier "basic") }}{{ $consumers = append $consumers .tier }}{{ end -}}
{{-   if and (not $isPool) (eq .tier "basic") }}{{ $records = true }}{{ end -}}
{{- end -}}
{{- $targetHasProducer := or $isPool (eq $target.tier "premium") -}}
{{- $targetHasConsumer := or $isPool (ne $target.tier "basic") -}}
{{- $offboarding := eq $instance.phase "offboarding" -}}

{{- $context := dict
      "id" $instance.id
      "kind" $instance.kind
      "tier" $now.tier
      "pool" ($now.pool | default "")
      "records" $records
      "union" (gt (len $places) 1)
      "phase" (ternary "offboarding" "active" $offboarding)
      "recordPhase" (ternary "offboarding" "active" (or $offboarding (and $draining (ne $target.tier "basic")))) -}}

{{- /* A workload of both places is sized for where the tenant is now; all pods share its nodes. */ -}}
{{- $table := .Files.Get "tiers.yaml" | fromYaml -}}
{{- $space := $now.tier -}}
{{- if $consumers }}{{ $space = ternary $now.tier (first $consumers) (has $now.tier $consumers) }}{{ end -}}
{{- if $producers -}}
{{-   $leaving := or $offboarding (and $draining (not $targetHasProducer)) -}}
{{-   $tier := ternary $now.tier (first $producers) (has $now.tier $producers) -}}
{{-   $_ := set $context "producer" (include "tenantry.workload" (dict "root" . "table" $table "name" "producer" "tier" $tier "space" $space "leaving" $leaving) | fromJson) -}}
{{- end -}}
{{- if $consumers -}}
{{-   $leaving := or $offboarding (and $draining (not $targetHasConsumer)) -}}
{{-   $_ := set $context "consumer" (include "tenantry.workload" (dict "root" . "table" $table "name" "consumer" "tier" $space "space" $space "leaving" $leaving) | fromJson) -}}
{{-   $_ := set $context "namespace" (dict "phase" (ternary "offboarding" "active" $leaving)) -}}
{{-   $_ := set $context "infra" (dict "phase" (ternary "offboarding" "active" $offboarding)) -}}
{{- else if and $removing (ne $from.tier "basic") -}}
{{- /* The module removes queue and table while the object is there to say so. */ -}}
{{-   $_ := set $context "infra" (dict "phase" "offboarding") -}}
{{- end -}}

{{- /* Groups of load balancers: the pool's own, its advanced tenants beside it, premium's. */ -}}
{{- $groups := list -}}
{{- range $place := $places -}}
{{-   $name := "" -}}
{{-   if $isPool }}{{ $name = $instance.id -}}
{{-   else if eq .tier "advanced" }}{{ $name = .pool -}}
{{-   else if eq .tier "premium" }}{{ $name = $instance.group | default $facts.routes.premiumGroup -}}
{{-   end -}}
{{-   if $name -}}
{{-     $isNow := and (eq .tier $now.tier) (eq (.pool | default "") ($now.pool | default "")) -}}
{{-     $left := not (and (eq .tier $target.tier) (eq (.pool | default "") ($target.pool | default ""))) -}}
{{-     $groups = append $groups (dict
          "name" $name
          "sends" (or $isPool (eq .tier "premium"))
          "now" $isNow
          "phase" (ternary "offboarding" "active" (or $offboarding (and $draining $left)))) -}}
{{-   end -}}
{{- end -}}
{{- $_ := set $context "groups" $groups -}}
{{- $context | toJson -}}
{{- end -}}

{{/*
One workload: what its tier says, then what the instance overrides.
Takes root, the table of tiers, name, tier, the tier whose nodes the namespace has (space), and
leaving; gives the size, settings, image, grace period (seconds) and phase.
*/}}
{{- define "tenantry.workload" -}}
{{- $values := .root.Values -}}
{{- $table := .table -}}
{{- $tier := get $table.tiers .tier -}}
{{- $overrides := get ($values.instance.overrides | default dict) .name | default dict -}}
{{- $size := get $tier .name -}}
{{- range $key := list "minReplicas" "maxReplicas" "cpu" "memoryLimit" "queueLength" -}}
{{-   with get $overrides $key }}{{ $_ := set $size $key . }}{{ end -}}
{{- end -}}
{{- /* Who asks for a limit gets it reserved, too: it is a tenant known to need it. */ -}}
{{- with $overrides.memoryLimit }}{{ $_ := set $size "memory" . }}{{ end -}}
{{- $settings := get $table.settings .name -}}
{{- /* Not by `merge`, which takes a 0 for nothing. */ -}}
{{- range $key, $value := $overrides.settings }}{{ $_ := set $settings $key $value }}{{ end -}}
{{- $image := get $values.images .name -}}
{{- $digest := $overrides.digest | default $image.digest -}}
{{- dict
      "tier" .tier
      "priorityClass" (get $table.tiers .space).priorityClass
      "nodePool" (get $values.facts.nodePools .space)
      "size" $size
      "settings" $settings
      "image" (include "tenantry.image" (dict "root" .root "repository" $image.repository "digest" $digest))
      "grace" (include "tenantry.graceSeconds" $settings | int)
      "phase" (ternary "offboarding" "active" .leaving)
    | toJson -}}
{{- end -}}

{{/*
terminationGracePeriodSeconds, as tenantry.settings.grace_seconds computes it; a test compares
them. Requests are taken during the load balancer's lag while a consumer drains, then finished;
5 s for the last spans, 5 s of margin.
*/}}
{{- define "tenantry.graceSeconds" -}}
{{- $work := 0 -}}
{{- if or .waitSeconds .drainSeconds -}}
{{-   $work = add (int .waitSeconds) 2 (int .drainSeconds) -}}
{{- end -}}
{{- add (max (int .shutdownDelaySeconds) $work) (int .requestSeconds) 5 5 -}}
{{- end -}}

{{/* An image by digest; by the chart's appVersion as long as no digest was written. */}}
{{- define "tenantry.image" -}}
{{- $registry := include "tenantry.registry" .root -}}
{{- if .digest -}}
{{ $registry }}/{{ .repository }}@{{ .digest }}
{{- else -}}
{{ $registry }}/{{ .repository }}:{{ .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}
