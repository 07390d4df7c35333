{{/* What the containers are told: -Dkey=value in variables of the ConfigMap, and secrets in files of Secrets. */}}

{{/* (list MAP...): a new map with all of them; the later win. Any may be missing. */}}
{{- define "alluxio.merged" -}}
{{- $all := dict -}}
{{- range . }}{{ $all = mergeOverwrite $all (deepCopy (. | default dict)) }}{{ end -}}
{{ toJson $all }}
{{- end }}

{{/* `yes` for the name of a property whose value nobody may see. */}}
{{- define "alluxio.isSecret" -}}
{{- if regexMatch "(?i)((access|account|api|auth|encryption|master|private|session|shared|signing|storage)[._-]?key|secret|passw|passphrase|pwd|token|credential|(\\b|_)([as]k|sas|pass)\\b)" . }}yes{{ end }}
{{- end }}

{{/* (list NAME VALUE): `yes` for a property that is a secret: by its name, or because its value is a URI with a password. */}}
{{- define "alluxio.isSecretPair" -}}
{{- if or (include "alluxio.isSecret" (first .)) (regexMatch "://[^/\\s:@]*:[^/\\s@]+@" (include "alluxio.text" (last .))) }}yes{{ end }}
{{- end }}

{{/* (list NAME VALUE): the same for a variable of the environment, whose value may hold properties. */}}
{{- define "alluxio.isSecretVariable" -}}
{{- $holds := false -}}
{{- range regexFindAll "[\\w.-]+\\s*=" (include "alluxio.text" (last .)) -1 }}{{ if include "alluxio.isSecret" . }}{{ $holds = true }}{{ end }}{{ end -}}
{{- if or $holds (include "alluxio.isSecretPair" .) }}yes{{ end }}
{{- end }}

{{/* The last words of the names that Secrets of ours may have. */}}
{{- define "alluxio.secretNames" -}}
site fuse-site master-env job-master-env worker-env job-worker-env fuse-env
{{- end }}

{{/* (list ROOT NAME): what the Secret of that name holds; nothing: there is none. */}}
{{- define "alluxio.secretData" -}}
{{- $root := first . -}}{{- $name := last . -}}{{- $data := dict -}}
{{- if hasSuffix "site" $name -}}
{{- $component := eq $name "site" | ternary "master" "fuse" -}}
{{- if eq (include "alluxio.siteSecret" (list $root $component)) (printf "%s-%s" (include "alluxio.fullname" $root) $name) -}}
{{- $_ := set $data "alluxio-site.properties" (include "alluxio.siteFile" (list $root $component) | trim | printf "%s\n") -}}
{{- end -}}
{{- else -}}
{{- range $key, $value := (get $root.Values (trimSuffix "-env" $name | camelcase | untitle)).env -}}
{{- if include "alluxio.isSecretVariable" (list $key $value) }}{{ $_ := set $data $key (include "alluxio.text" $value) }}{{ end -}}
{{- end -}}
{{- end -}}
{{ toJson $data }}
{{- end }}

{{/*
(list ROOT NAME): how often the contents of that Secret have changed, by which pods know that they are to be replaced. A
hash would let whoever sees a pod try what the secrets are. Where the cluster is not asked (helm template) it is 1.
*/}}
{{- define "alluxio.generation" -}}
{{- $root := first . -}}
{{- with include "alluxio.secretData" . | fromJson -}}
{{- $live := lookup "v1" "Secret" $root.Release.Namespace (printf "%s-%s" (include "alluxio.fullname" $root) (last $)) -}}
{{- $old := dig "metadata" "annotations" "alluxio/generation" "0" $live | int -}}
{{- $coded := dict -}}
{{- range $key, $value := . }}{{ $_ := set $coded $key (b64enc $value) }}{{ end -}}
{{- eq (toJson $coded) (get $live "data" | default dict | toJson) | ternary $old (add1 $old) -}}
{{- end -}}
{{- end }}

{{/* A map of properties as words -Dkey=value: neither secrets nor what has no value. */}}
{{- define "alluxio.definitions" -}}
{{- range $key, $value := . }}
{{- if not (or (kindIs "invalid" $value) (include "alluxio.isSecretPair" (list $key $value))) }} -D{{ $key }}={{ include "alluxio.text" $value }}{{ end }}
{{- end }}
{{- end }}

{{/* (list ROOT COMPONENT): the secrets among the properties as lines of alluxio-site.properties. */}}
{{- define "alluxio.siteFile" -}}
{{- $values := (first .).Values -}}
{{- $maps := list $values.fuse.properties -}}
{{- if ne (last .) "fuse" }}{{ $maps = list $values.properties $values.master.properties $values.jobMaster.properties $values.worker.properties $values.jobWorker.properties }}{{ end -}}
{{- range $key, $value := include "alluxio.merged" $maps | fromJson }}
{{- if and (not (kindIs "invalid" $value)) (include "alluxio.isSecretPair" (list $key $value)) }}
{{ $key }}={{ include "alluxio.text" $value | replace "\\" "\\\\" }}
{{- end }}
{{- end }}
{{- end }}

{{/* (list ROOT COMPONENT): the name of the Secret with that file, if there is one. */}}
{{- define "alluxio.siteSecret" -}}
{{- $root := first . -}}{{- $fuse := eq (last .) "fuse" -}}
{{- if and $root.Values.existingSecret (not $fuse) }}{{ $root.Values.existingSecret }}
{{- else if include "alluxio.siteFile" . }}{{ include "alluxio.fullname" $root }}-{{ $fuse | ternary "fuse-site" "site" }}
{{- end }}
{{- end }}

{{/* (list ROOT ROLE PORT): HOST:PORT of every master; ROLE is master or jobMaster, PORT the name of one of its ports. */}}
{{- define "alluxio.masters" -}}
{{- $root := index . 0 -}}
{{- $port := get (get $root.Values (index . 1)).ports (index . 2) -}}
{{- range $i := until (include "alluxio.masterCount" $root | int) }}{{ if $i }},{{ end }}{{ include "alluxio.fullname" $root }}-master-{{ $i }}:{{ $port }}{{ end }}
{{- end }}

{{- define "alluxio.masterCount" -}}
{{ .Values.master.replicaCount | default .Values.master.count | int }}
{{- end }}

{{/* local, uuid, or nothing: short-circuit is off. */}}
{{- define "alluxio.shortCircuit" -}}
{{- $default := "local" -}}
{{- range .Values.tieredstore.levels }}{{ if ne .type "hostPath" }}{{ $default = "uuid" }}{{ end }}{{ end -}}
{{- if .Values.shortCircuit.enabled -}}
{{ .Values.fuse.shortCircuitPolicy | default .Values.shortCircuit.policy | default $default }}
{{- end }}
{{- end }}

{{/* Of the two ends of a short circuit. */}}
{{- define "alluxio.shortCircuitOptions" -}}
{{- $policy := include "alluxio.shortCircuit" . -}}
{{- if not $policy }} -Dalluxio.user.short.circuit.enabled=false
{{- else if eq $policy "uuid" }} -Dalluxio.worker.data.server.domain.socket.address=/opt/domain -Dalluxio.worker.data.server.domain.socket.as.uuid=true
{{- end }}
{{- end }}

{{- define "alluxio.tierOptions" -}}
-Dalluxio.worker.tieredstore.levels={{ len .Values.tieredstore.levels }}
{{- range .Values.tieredstore.levels }}
{{- $level := include "alluxio.text" .level | printf "-Dalluxio.worker.tieredstore.level%s" }}
{{- with .alias }} {{ $level }}.alias={{ . }}{{ end }}
{{- with .mediumtype | default .alias }} {{ $level }}.dirs.mediumtype={{ . }}{{ end }}
{{- with .path }} {{ $level }}.dirs.path={{ . }}{{ end }}
{{- with .quota }} {{ $level }}.dirs.quota={{ regexReplaceAll "i[Bb]?" (include "alluxio.text" .) "B" }}{{ end }}
{{- with .high }} {{ $level }}.watermark.high.ratio={{ . }}{{ end }}
{{- with .low }} {{ $level }}.watermark.low.ratio={{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* `yes` if mounts have a client cache in memory. */}}
{{- define "alluxio.cacheInMemory" -}}
{{- $properties := include "alluxio.merged" (list .Values.properties .Values.fuse.properties) | fromJson -}}
{{- $type := get $properties "alluxio.user.client.cache.store.type" | toString | upper -}}
{{- if and (get $properties "alluxio.user.client.cache.enabled" | toString | eq "true") (or (has $type (list "MEM" "MEMORY")) (not (or $type (get $properties "alluxio.user.client.cache.dir") (get $properties "alluxio.user.client.cache.dirs")))) }}yes{{ end }}
{{- end }}

{{/* Of all containers: ALLUXIO_JAVA_OPTS. What the user gives comes last, and so wins. */}}
{{- define "alluxio.options" -}}
{{- $values := .Values -}}
{{- if gt (include "alluxio.masterCount" . | int) 1 -}}
-Dalluxio.master.rpc.addresses={{ include "alluxio.masters" (list . "master" "rpc") }}
-Dalluxio.master.embedded.journal.addresses={{ include "alluxio.masters" (list . "master" "embedded") }}
-Dalluxio.job.master.rpc.addresses={{ include "alluxio.masters" (list . "jobMaster" "rpc") }}
-Dalluxio.job.master.embedded.journal.addresses={{ include "alluxio.masters" (list . "jobMaster" "embedded") }}
{{- else -}}
-Dalluxio.master.hostname={{ include "alluxio.fullname" . }}-master-0
{{- end }}
-Dalluxio.master.rpc.port={{ $values.master.ports.rpc }}
-Dalluxio.job.master.rpc.port={{ $values.jobMaster.ports.rpc }}
-Dalluxio.master.journal.type={{ $values.journal.type }}
-Dalluxio.master.journal.folder={{ $values.journal.folder }}
-Dalluxio.user.hostname=${ALLUXIO_CLIENT_HOSTNAME}
-Dalluxio.locality.node=${ALLUXIO_NODE_NAME}
{{ include "alluxio.words" $values.jvmOptions }}
{{ include "alluxio.definitions" $values.properties }}
{{- end }}

{{/* (list ROOT ROLE): of one container, after those of all; ROLE is the key of its values. */}}
{{- define "alluxio.roleOptions" -}}
{{- $root := first . -}}{{- $role := last . -}}{{- $own := get $root.Values $role -}}
{{- if eq $role "master" -}}
-Dalluxio.master.hostname=${ALLUXIO_MASTER_HOSTNAME}
-Dalluxio.master.web.port={{ $own.ports.web }}
-Dalluxio.master.embedded.journal.port={{ $own.ports.embedded }}
{{- else if eq $role "jobMaster" -}}
-Dalluxio.job.master.hostname=${ALLUXIO_MASTER_HOSTNAME}
-Dalluxio.job.master.web.port={{ $own.ports.web }}
-Dalluxio.job.master.embedded.journal.port={{ $own.ports.embedded }}
{{- else if eq $role "worker" -}}
-Dalluxio.worker.hostname=${ALLUXIO_WORKER_HOSTNAME}
-Dalluxio.worker.rpc.port={{ $own.ports.rpc }}
-Dalluxio.worker.web.port={{ $own.ports.web }}
{{ include "alluxio.tierOptions" $root }}
{{ include "alluxio.shortCircuitOptions" $root }}
{{- else if eq $role "jobWorker" -}}
-Dalluxio.job.worker.hostname=${ALLUXIO_WORKER_HOSTNAME}
-Dalluxio.job.worker.rpc.port={{ $own.ports.rpc }}
-Dalluxio.job.worker.data.port={{ $own.ports.data }}
-Dalluxio.job.worker.web.port={{ $own.ports.web }}
{{ include "alluxio.shortCircuitOptions" $root }}
{{- else -}}
{{ range $root.Values.tieredstore.levels }}{{ $level := include "alluxio.text" .level }}
{{- with .path }}-Dalluxio.worker.tieredstore.level{{ $level }}.dirs.path={{ . }} {{ end }}
{{- end }}
{{ include "alluxio.shortCircuitOptions" $root }}
{{- end }}
{{ include "alluxio.words" $own.jvmOptions }}
{{ include "alluxio.definitions" $own.properties }}
{{- end }}
