{{/* What no schema can say. */}}
{{- define "alluxio.check" -}}
{{- $values := .Values -}}{{- $fuse := .Values.fuse -}}

{{- if and $fuse.mountPath (ne $fuse.mountPoint "/mnt/alluxio-fuse") (ne (clean $fuse.mountPath) (clean $fuse.mountPoint)) }}
{{- fail (printf "fuse.mountPath (%s) and fuse.mountPoint (%s) are the same setting: give one of them" $fuse.mountPath $fuse.mountPoint) }}
{{- end }}
{{- $mount := include "alluxio.mountPoint" . }}
{{- if or (not (hasPrefix "/" $mount)) (eq (dir $mount) "/") }}
{{- fail (printf "fuse.mountPoint %s: its directory is shared with the host, so it must be an absolute path with at least two names, as /mnt/alluxio-fuse" $mount) }}
{{- end }}

{{- if and (gt (include "alluxio.masterCount" . | int) 1) (ne $values.journal.type "EMBEDDED") }}
{{- fail "several masters (master.count) need journal.type EMBEDDED" }}
{{- end }}

{{- range $key := list "folder" "type" }}
{{- $own := get ($values.properties | default dict) (printf "alluxio.master.journal.%s" $key) }}
{{- if and $own (ne $own (get $values.journal $key)) }}
{{- fail (printf "properties: alluxio.master.journal.%s is %s, and journal.%s %s: they must be the same" $key $own $key (get $values.journal $key)) }}
{{- end }}
{{- end }}

{{- range $level := $values.tieredstore.levels }}
{{- if not (or .mediumtype .alias) }}
{{- fail (printf "tieredstore level %v has neither mediumtype nor alias: MEM, SSD or HDD" .level) }}
{{- end }}
{{- if and (ne .type "hostPath") (eq (include "alluxio.shortCircuit" $) "local") }}
{{- fail (printf "short-circuit with policy local reads the tiers on the host, but tieredstore level %v is of type %s: use policy uuid, or type hostPath" .level .type) }}
{{- end }}
{{- end }}

{{- range $owner := list "all" "master" "jobMaster" "worker" "jobWorker" "fuse" }}
{{- range $key, $value := (get $values $owner | default $values).properties }}
{{- if and (regexMatch "[\\s\"'`\\\\]" (toString $value)) (not (include "alluxio.isSecret" $key)) }}
{{- fail (printf "properties: %s has white space, a quote or a backslash in its value, which a Java option cannot have" $key) }}
{{- end }}
{{- if and (include "alluxio.isSecret" $key) $value $values.existingSecret (ne $owner "fuse") }}
{{- fail (printf "properties: %s, and existingSecret %s: give credentials in one place" $key $values.existingSecret) }}
{{- end }}
{{- end }}
{{- end }}

{{- $size := get (include "alluxio.merged" (list $values.properties $fuse.properties) | fromJson) "alluxio.user.client.cache.size" }}
{{- $limit := dig "limits" "memory" "" ($fuse.resources | default dict) }}
{{- if and $size $limit (include "alluxio.cacheInMemory" .) }}
{{- if ge (include "alluxio.mebibytes" $size | float64) (include "alluxio.mebibytes" $limit | float64) }}
{{- fail (printf "alluxio.user.client.cache.size is %v, and fuse.resources.limits.memory %v: the pod would be killed. Raise the limit, or leave the size out: the cache fits itself into the limit then" $size $limit) }}
{{- end }}
{{- end }}

{{- range $name := list "csi" "logserver" "proxy" "hub" }}
{{- if dig "enabled" false (get $values $name | default dict) }}
{{- fail (printf "%s.enabled: this chart has no %s" $name $name) }}
{{- end }}
{{- end }}
{{- if $values.worker.fuseEnabled }}
{{- fail "worker.fuseEnabled: there is no mount inside the worker; fuse.enabled gives every node its own" }}
{{- end }}
{{- end }}
