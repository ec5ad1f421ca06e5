{{/* The dashboard of an instance, as Grafana's JSON: three panels a row. */}}
{{- define "tenantry.dashboard" -}}
{{- $id := .context.id -}}
{{- $is := printf "namespace=\"%s\"" $id -}}
{{- $source := dict "type" "prometheus" "uid" "${datasource}" -}}
{{- $all := .root.Files.Get "files/dashboard.yaml" | fromYaml -}}
{{- $wanted := list -}}
{{- range $name := list "producer" "consumer" -}}
{{-   if get $.context $name }}{{ $wanted = concat $wanted (get $all $name) }}{{ end -}}
{{- end -}}
{{- $panels := list -}}
{{- range $n, $panel := $wanted -}}
{{-   $targets := list -}}
{{-   range $m, $query := $panel.queries -}}
{{-     $targets = append $targets (dict "refId" (printf "%c" (add 65 $m)) "datasource" $source "expr" ($query.expr | replace "$is" $is) "legendFormat" $query.legend) -}}
{{-   end -}}
{{-   $panels = append $panels (dict
        "id" (add 1 $n)
        "type" "timeseries"
        "title" $panel.title
        "description" $panel.description
        "datasource" $source
        "gridPos" (dict "w" 8 "h" 8 "x" (mul 8 (mod $n 3)) "y" (mul 8 (div $n 3)))
        "fieldConfig" (dict "defaults" (dict "unit" $panel.unit "min" 0) "overrides" list)
        "targets" $targets) -}}
{{- end -}}
{{- dict
      "uid" (printf "tenantry-%s" $id)
      "title" (printf "Tenantry %s" $id)
      "tags" (list "tenantry" .context.tier)
      "editable" false
      "schemaVersion" 39
      "time" (dict "from" "now-6h" "to" "now")
      "refresh" "1m"
      "templating" (dict "list" (list (dict "name" "datasource" "type" "datasource" "query" "prometheus" "hide" 2)))
      "panels" $panels
    | toJson -}}
{{- end -}}
