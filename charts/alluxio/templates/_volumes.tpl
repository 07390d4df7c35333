{{/* (list ROOT COMPONENT OWN): the volumes that any pod may have. */}}
{{- define "alluxio.volumes" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $own := index . 2 -}}
{{- with include "alluxio.siteSecret" (list $root $component) }}
- {name: site, secret: {secretName: {{ . }}}}
{{- end }}
{{- range $name, $path := get ($root.Values.secrets | default dict) $component | default dict }}
- {name: secret-{{ $name }}, secret: {secretName: {{ $name }}}}
{{- end }}
{{- range $root.Values.mounts }}
- {name: mount-{{ .name }}, persistentVolumeClaim: {claimName: {{ .name }}}}
{{- end }}
{{- with $own.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* (list ROOT COMPONENT OWN): where they are. */}}
{{- define "alluxio.volumeMounts" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $own := index . 2 -}}
{{- if include "alluxio.siteSecret" (list $root $component) }}
- {name: site, mountPath: /etc/alluxio, readOnly: true}
{{- end }}
{{- range $name, $path := get ($root.Values.secrets | default dict) $component | default dict }}
- {name: secret-{{ $name }}, mountPath: /secrets/{{ $path }}, readOnly: true}
{{- end }}
{{- range $root.Values.mounts }}
- {name: mount-{{ .name }}, mountPath: {{ .path }}}
{{- end }}
{{- with $own.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The master's own directories by name: those with a volume. */}}
{{- define "alluxio.stores" -}}
{{- $stores := dict -}}
{{- if hasPrefix "/" .Values.journal.folder }}{{ $_ := set $stores "journal" (merge (dict "mountPath" .Values.journal.folder) .Values.journal) }}{{ end -}}
{{- with .Values.metastore }}{{ $_ := set $stores "metastore" (merge (dict) . (dict "mountPath" "/metastore" "volumeType" "persistentVolumeClaim")) }}{{ end -}}
{{ toJson $stores }}
{{- end }}

{{- define "alluxio.storeMounts" -}}
{{- range $name, $store := include "alluxio.stores" . | fromJson }}
- {name: alluxio-{{ $name }}, mountPath: {{ $store.mountPath }}}
{{- end }}
{{- end }}

{{- define "alluxio.storeVolumes" -}}
{{- range $name, $store := include "alluxio.stores" . | fromJson }}
{{- if eq $store.volumeType "emptyDir" }}
- {name: alluxio-{{ $name }}, emptyDir: {{ $store.medium | empty | ternary dict (dict "medium" $store.medium) | toJson }}}
{{- else if eq $store.volumeType "hostPath" }}
- {name: alluxio-{{ $name }}, hostPath: {path: {{ $store.path }}, type: DirectoryOrCreate}}
{{- end }}
{{- end }}
{{- end }}

{{- define "alluxio.storeClaims" -}}
{{- range $name, $store := include "alluxio.stores" . | fromJson }}
{{- if eq $store.volumeType "persistentVolumeClaim" }}
- metadata:
    name: alluxio-{{ $name }}
  spec:
    {{- include "alluxio.claim" $store | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}

{{/* The spec of a claim of the given size, storageClass and accessModes. */}}
{{- define "alluxio.claim" -}}
accessModes: {{ .accessModes | default (list "ReadWriteOnce") | toJson }}
{{- with .storageClass }}
storageClassName: {{ . }}
{{- end }}
resources: {requests: {storage: {{ .size | default "1Gi" }}}}
{{- end }}

{{/* (list ROOT ALL): every directory of every tier as a volume; those on the host only unless ALL. */}}
{{- define "alluxio.tierVolumes" -}}
{{- $all := last . -}}
{{- range $level := (first .).Values.tieredstore.levels }}
{{- range $i, $path := splitList "," $level.path }}
{{- $name := printf "tier-%s-%d" (include "alluxio.text" $level.level) $i }}
{{- if eq $level.type "hostPath" }}
- {name: {{ $name }}, hostPath: {path: {{ $path }}, type: DirectoryOrCreate}}
{{- else if and $all (eq $level.type "persistentVolumeClaim") }}
- {name: {{ $name }}, persistentVolumeClaim: {claimName: {{ index (splitList "," $level.name) $i }}}}
{{- else if $all }}
- {name: {{ $name }}, emptyDir: {{ $level.mediumtype | default $level.alias | eq "MEM" | ternary (dict "medium" "Memory") dict | toJson }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* (list ROOT ALL): where they are: at the same path everywhere, which is how block files are found. */}}
{{- define "alluxio.tierMounts" -}}
{{- $all := last . -}}
{{- range $level := (first .).Values.tieredstore.levels }}
{{- if or $all (eq $level.type "hostPath") }}
{{- range $i, $path := splitList "," $level.path }}
- {name: tier-{{ include "alluxio.text" $level.level }}-{{ $i }}, mountPath: {{ $path }}, mountPropagation: HostToContainer}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The directory of the workers' sockets. */}}
{{- define "alluxio.domainVolume" -}}
{{- if eq (include "alluxio.shortCircuit" .) "uuid" }}
{{- if eq .Values.shortCircuit.volumeType "persistentVolumeClaim" }}
- {name: domain, persistentVolumeClaim: {claimName: {{ .Values.shortCircuit.pvcName }}}}
{{- else }}
- {name: domain, hostPath: {path: {{ .Values.domainHostPath | default .Values.shortCircuit.hostPath }}, type: DirectoryOrCreate}}
{{- end }}
{{- end }}
{{- end }}

{{- define "alluxio.domainMount" -}}
{{- if eq (include "alluxio.shortCircuit" .) "uuid" }}
- {name: domain, mountPath: /opt/domain}
{{- end }}
{{- end }}
