{{/* ---- names and labels; a COMPONENT is master, worker, fuse or fuse-client */}}

{{- define "alluxio.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "alluxio.fullname" -}}
{{- $name := include "alluxio.name" . -}}
{{- $default := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{/* Room for what is put behind it: -fuse-client-XXXXXXXXXX-YYYYY. */}}
{{- .Values.fullnameOverride | default $default | trunc 35 | trimSuffix "-" }}
{{- end }}

{{/* (list ROOT COMPONENT) */}}
{{- define "alluxio.selector" -}}
{{- $root := first . -}}
app: {{ include "alluxio.name" $root }}
release: {{ $root.Release.Name }}
role: alluxio-{{ last . }}
{{- end }}

{{/* (list ROOT COMPONENT) */}}
{{- define "alluxio.metadata" -}}
{{- $root := first . -}}
name: {{ include "alluxio.fullname" $root }}-{{ last . }}
labels:
  {{- include "alluxio.selector" . | nindent 2 }}
  chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
  heritage: {{ $root.Release.Service }}
{{- end }}

{{/* ---- values of users */}}

{{/* A scalar as text: YAML's integers arrive as floats, and those print as 1e+06. */}}
{{- define "alluxio.text" -}}
{{- if kindIs "float64" . | ternary (eq (toString .) (floor . | toString)) false }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* A string, or a list of strings, as words. */}}
{{- define "alluxio.words" -}}
{{- if kindIs "slice" . }}{{ join " " . }}{{ else }}{{ . | default "" | trim }}{{ end }}
{{- end }}

{{/* Text of several lines in one. */}}
{{- define "alluxio.oneLine" -}}
{{ regexReplaceAll "\\s+" . " " | trim }}
{{- end }}

{{/* (list ROOT NAME ENV): a map as a list of environment variables; secrets among them lie in the Secret NAME. */}}
{{- define "alluxio.env" -}}
{{- $secret := printf "%s-%s" (include "alluxio.fullname" (index . 0)) (index . 1) -}}
{{- range $name, $value := index . 2 }}
{{- if include "alluxio.isSecretVariable" (list $name $value) }}
- {name: {{ $name }}, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ $name }}}}}
{{- else }}
- {name: {{ $name }}, value: {{ include "alluxio.text" $value | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{/* A quantity of Kubernetes (1Gi, 500M) or a size of Alluxio (1800MB: binary) in whole MiB. */}}
{{- define "alluxio.mebibytes" -}}
{{- $text := include "alluxio.text" . -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- if regexMatch "(?i)b$" $unit }}{{ $unit = regexReplaceAll "(?i)i?b$" $unit "" | upper | printf "%si" }}{{ end -}}
{{- $bytes := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- divf (mulf (regexFind "^[0-9.]+" $text | float64) (get $bytes $unit)) 1048576.0 | floor }}
{{- end }}

{{- define "alluxio.image" -}}
{{ .Values.image }}:{{ include "alluxio.text" .Values.imageTag }}
{{- end }}

{{- define "alluxio.fuseImage" -}}
{{ .Values.fuse.image }}:{{ .Values.fuse.imageTag | default .Chart.AppVersion | include "alluxio.text" }}
{{- end }}

{{- define "alluxio.mountPoint" -}}
{{ clean (.Values.fuse.mountPath | default .Values.fuse.mountPoint) }}
{{- end }}

{{/* ---- parts of pods; OWN are the values of the component */}}

{{/* (list ROOT OWN): `yes` if the pod has the network of the host. */}}
{{- define "alluxio.hostNetwork" -}}
{{- $all := (first .).Values.useHostNetwork -}}
{{- if kindIs "bool" $all | ternary $all (last .).hostNetwork }}yes{{ end }}
{{- end }}

{{/* (list ROOT OWN): `yes` if it sees the processes of the host. */}}
{{- define "alluxio.hostPID" -}}
{{- $all := (first .).Values.useHostPID -}}
{{- if kindIs "bool" $all | ternary $all (last .).hostPID }}yes{{ end }}
{{- end }}

{{/* (list ROOT COMPONENT OWN ...): annotations for Prometheus, as JSON, if its mounts show their counters to other machines. */}}
{{- define "alluxio.scrape" -}}
{{- $annotations := dict -}}
{{- if eq (index . 1) "fuse" }}
{{- $set := include "alluxio.merged" (list (first .).Values.properties (index . 2).properties) | fromJson -}}
{{- if and (eq (get $set "alluxio.fuse.web.enabled" | toString) "true") (get $set "alluxio.fuse.web.bind.host") }}
{{- $port := get $set "alluxio.fuse.web.port" | default "49999" | toString -}}
{{- $annotations = dict "prometheus.io/scrape" "true" "prometheus.io/port" $port "prometheus.io/path" "/metrics/prometheus" -}}
{{- end }}
{{- end -}}
{{- toJson $annotations -}}
{{- end }}

{{/* (list ROOT COMPONENT OWN ROLE...): what stands above the spec of a pod; it changes when the options of the ROLEs do. */}}
{{- define "alluxio.podMetadata" -}}
{{- $root := index . 0 -}}{{- $own := index . 2 -}}
{{- $options := list (include "alluxio.options" $root) -}}
{{- $secrets := list (eq (index . 1) "fuse" | ternary "fuse-site" "site") -}}
{{- range slice . 3 }}
{{- $options = append $options (include "alluxio.roleOptions" (list $root .)) -}}
{{- $secrets = append $secrets (printf "%s-env" (kebabcase .)) -}}
{{- end -}}
{{- range $secrets }}{{ $options = append $options (include "alluxio.generation" (list $root .) | printf "%s %s" .) }}{{ end -}}
labels:
  {{- include "alluxio.selector" (list $root (index . 1)) | nindent 2 }}
annotations:
  checksum/config: {{ include "alluxio.oneLine" (join " " $options) | sha256sum }}
  {{- with mergeOverwrite (include "alluxio.scrape" . | fromJson) (deepCopy ($root.Values.podAnnotations | default dict)) ($own.podAnnotations | default dict) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* (list ROOT OWN): the keys of a pod's spec that are alike for all. */}}
{{- define "alluxio.podSpec" -}}
{{- $root := first . -}}{{- $own := last . -}}
{{- $user := hasKey $own "user" | ternary $own $root.Values -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $own.serviceAccount | default $root.Values.serviceAccount }}
serviceAccountName: {{ . }}
{{- end }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ if kindIs "map" . }}{{ .name }}{{ else }}{{ . }}{{ end }}
  {{- end }}
{{- end }}
{{- if include "alluxio.hostPID" . }}
hostPID: true
{{- end }}
{{- if $own.shareProcessNamespace }}
shareProcessNamespace: true
{{- end }}
{{- $host := include "alluxio.hostNetwork" . }}
{{- if $host }}
hostNetwork: true
{{- end }}
dnsPolicy: {{ $own.dnsPolicy | default (empty $host | ternary "ClusterFirst" "ClusterFirstWithHostNet") }}
{{- with $root.Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsUser: {{ $user.user }}
  runAsGroup: {{ $user.group }}
  fsGroup: {{ $user.fsGroup }}
{{- with $own.nodeSelector | default $root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat ($root.Values.tolerations | default list) ($own.tolerations | default list) }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* (list ROOT OWN CHECK): the three probes, all by CHECK. */}}
{{- define "alluxio.probes" -}}
{{- $root := index . 0 -}}{{- $own := index . 1 -}}{{- $check := index . 2 -}}
{{- range $kind := list "startup" "readiness" "liveness" }}
{{- $enabled := get $own (printf "%sProbeEnabled" $kind) }}
{{- if kindIs "bool" $enabled | ternary $enabled true }}
{{- $numbers := get $own (printf "%sProbe" $kind) | default dict }}
{{ $kind }}Probe:
  {{- mergeOverwrite (deepCopy $check) (get $root.Values.probes $kind) $numbers | toYaml | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where the pod is: the client there, and the worker of that node, know each other by it. */}}
{{- define "alluxio.place" -}}
- {name: ALLUXIO_CLIENT_HOSTNAME, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
- {name: ALLUXIO_NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
{{- end }}

{{/* (dict "root" "name" "own" "env" "mounts"): a container of the cluster; env and mounts are YAML, what is its alone. */}}
{{- define "alluxio.server" -}}
{{- $values := .root.Values -}}
- name: alluxio-{{ .name }}
  image: {{ include "alluxio.image" .root }}
  imagePullPolicy: {{ $values.imagePullPolicy }}
  args: {{ .own.args | toJson }}
  securityContext:
    allowPrivilegeEscalation: false
    capabilities: {drop: [ALL]}
  envFrom:
    - configMapRef: {name: {{ include "alluxio.fullname" .root }}-config}
  env:
    {{- include "alluxio.place" . | nindent 4 }}
    {{- .env | nindent 4 }}
    {{- include "alluxio.env" (list .root (printf "%s-env" .name) .own.env) | nindent 4 }}
  ports:
    {{- $prefix := hasPrefix "job-" .name | ternary "job-" "" }}
    {{- range $name, $port := .own.ports }}
    - {name: {{ $prefix }}{{ $name }}, containerPort: {{ $port }}}
    {{- end }}
  {{- include "alluxio.probes" (list .root .own (dict "tcpSocket" (dict "port" (printf "%srpc" $prefix)))) | nindent 2 }}
  {{- with .own.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    {{- .mounts | nindent 4 }}
{{- end }}
