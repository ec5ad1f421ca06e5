{{/*
Fails where text is not of the shape that values.schema.json says: for who skips the schema, since
names, access, images and routes are made of it. files/shapes.json has the keys. Of a path, `[]` is
each value of a list or map and `{}` each key of a map; what follows `@` is the kind it is for.
*/}}
{{- define "tenantry.shapes" -}}
{{- range $key, $shape := .Files.Get "files/shapes.json" | fromJson -}}
{{-   $path := splitList "@" $key | first -}}
{{-   if has $key (list $path (printf "%s@%v" $path $.Values.instance.kind)) -}}
{{-     $found := list $.Values -}}
{{-     $steps := splitList "." $path -}}
{{-     range $step := $steps -}}
{{-       $inside := list -}}
{{-       range $found -}}
{{-         if and (eq $step "{}") (kindIs "map" .) }}{{ $inside = concat $inside (keys .) -}}
{{-         else if and (eq $step "[]") (kindIs "map" .) }}{{ $inside = concat $inside (values .) -}}
{{-         else if and (eq $step "[]") (kindIs "slice" .) }}{{ $inside = concat $inside . -}}
{{-         else if not (kindIs "map" .) }}{{ $inside = append $inside . -}}
{{-         else if hasKey . $step }}{{ $inside = append $inside (get . $step) -}}
{{-         else if and $shape.required (eq $step (last $steps)) }}{{ $inside = append $inside nil -}}
{{-         end -}}
{{-       end -}}
{{-       $found = $inside -}}
{{-     end -}}
{{-     range $found -}}
{{-       $name := $path | replace ".[]" "" | replace ".{}" "" -}}
{{-       $shown := toJson . | trunc 80 -}}
{{-       if not (kindIs "string" .) -}}
{{-         fail (printf "%s is %s, and is to be text" $name $shown) -}}
{{-       else if not (regexMatch $shape.pattern .) -}}
{{-         fail (printf "%s is %s, and is to match %s" $name $shown $shape.pattern) -}}
{{-       else if or (lt (len .) (int $shape.min)) (gt (len .) ($shape.max | default (len .) | int)) -}}
{{-         fail (printf "%s is %s, and is to have %d to %d characters" $name $shown (int $shape.min) (int $shape.max)) -}}
{{-       else if and $shape.reserved (regexMatch $shape.reserved .) -}}
{{-         fail (printf "%s is %s, which is reserved: %s" $name $shown $shape.reserved) -}}
{{-       end -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{- end -}}
