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
{{- if has (dir $mount) (list "/bin" "/dev" "/etc" "/lib" "/lib64" "/opt" "/opt/alluxio" "/proc" "/run" "/sbin" "/sys" "/tmp" "/usr" "/usr/bin" "/usr/local") }}
{{- fail (printf "fuse.mountPoint %s: %s of the host would hide that of the container; choose a directory of its own, as /mnt/alluxio-fuse" $mount (dir $mount)) }}
{{- end }}

{{- if and (gt (include "alluxio.masterCount" . | int) 1) (ne $values.journal.type "EMBEDDED") }}
{{- fail "several masters (master.count) need journal.type EMBEDDED" }}
{{- end }}

{{- range list
  (list "master" "alluxio.master.journal.folder" "journal.folder" $values.journal.folder)
  (list "master" "alluxio.master.journal.type" "journal.type" $values.journal.type)
  (list "master" "alluxio.master.rpc.port" "master.ports.rpc" $values.master.ports.rpc)
  (list "master" "alluxio.master.web.port" "master.ports.web" $values.master.ports.web)
  (list "jobMaster" "alluxio.job.master.rpc.port" "jobMaster.ports.rpc" $values.jobMaster.ports.rpc)
  (list "worker" "alluxio.worker.rpc.port" "worker.ports.rpc" $values.worker.ports.rpc)
  (list "worker" "alluxio.worker.web.port" "worker.ports.web" $values.worker.ports.web)
  (list "jobWorker" "alluxio.job.worker.rpc.port" "jobWorker.ports.rpc" $values.jobWorker.ports.rpc)
}}
{{- $component := get $values (index . 0) }}
{{- $given := get (include "alluxio.merged" (list $values.properties $component.properties) | fromJson) (index . 1) }}
{{- if and $given (ne (toString $given) (index . 3 | toString)) }}
{{- fail (printf "properties: %s is %v, and %s %v: they must be the same" (index . 1) $given (index . 2) (index . 3)) }}
{{- end }}
{{- end }}
{{- if and (not (hasPrefix "/" $values.journal.folder)) (or $values.journal.runFormat (dig "format" "runFormat" false $values.journal)) }}
{{- fail (printf "journal.folder %s: this chart formats directories only; format it once (alluxio formatJournal) and leave runFormat out" $values.journal.folder) }}
{{- end }}
{{- if and (eq $values.journal.volumeType "hostPath") (not $values.journal.path) }}
{{- fail "journal.volumeType hostPath needs journal.path, the directory of the node" }}
{{- end }}

{{- range $name := list "MOUNT_POINT" "FUSE_ALLUXIO_PATH" }}
{{- if hasKey ($fuse.env | default dict) $name }}
{{- fail (printf "fuse.env: %s is what fuse.%s says: give it there" $name (eq $name "MOUNT_POINT" | ternary "mountPoint" "alluxioPath")) }}
{{- end }}
{{- end }}

{{- range $i, $level := $values.tieredstore.levels }}
{{- if ne (int .level) $i }}
{{- fail (printf "tieredstore.levels: number %d has level %v; they are 0, 1, ... in this order" $i .level) }}
{{- end }}
{{- if not (or .mediumtype .alias) }}
{{- fail (printf "tieredstore level %v has neither mediumtype nor alias: MEM, SSD or HDD" .level) }}
{{- end }}
{{- if and (ne .type "hostPath") (eq (include "alluxio.shortCircuit" $) "local") }}
{{- fail (printf "short-circuit with policy local reads the tiers on the host, but tieredstore level %v is of type %s: use policy uuid, or type hostPath" .level .type) }}
{{- end }}
{{- end }}

{{- range $owner := list "all" "master" "jobMaster" "worker" "jobWorker" "fuse" }}
{{- if regexMatch "(?i)-D[^\\s=]*((access|account|api|auth|encryption|master|private|session|shared|signing|storage)[._-]?key|secret|passw|passphrase|pwd|token|credential|(\\b|_)([as]k|sas|pass)\\b)[^\\s=]*=" (include "alluxio.words" (get $values $owner | default $values).jvmOptions) }}
{{- fail (printf "jvmOptions (%s) hold credentials, which everybody would see in the ConfigMap: give them as properties" $owner) }}
{{- end }}
{{- end }}

{{- range $owner := list "master" "jobMaster" "worker" "jobWorker" "fuse" }}
{{- $own := get $values $owner }}
{{- range $name := list "args" "mountOptions" }}
{{- if include "alluxio.isSecretVariable" (list "" (include "alluxio.words" (get $own $name))) }}
{{- fail (printf "%s.%s hold credentials, which everybody would see in the pod: give them as properties" $owner $name) }}
{{- end }}
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
