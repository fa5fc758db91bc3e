{{- define "tidegate.name" -}}
{{- if contains "tidegate" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-tidegate" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- /* Ports by component: `ops` is for probes and metrics; `doors` are what others reach; of `guarded` ones only when there are tokens. */}}
{{- define "tidegate.ports" -}}
collector: {ops: 7403, doors: {}, guarded: {}}
receiver: {ops: 7404, doors: {}, guarded: {http: 7401}}
aggregator: {ops: 7405, doors: {}, guarded: {}}
pusher: {ops: 7406, doors: {http: 7400}, guarded: {}}
console: {ops: 7408, doors: {http: 7413}, guarded: {}}
cti: {ops: 7407, doors: {agi: 4573}, guarded: {http: 7412}}
simulator: {ops: 7409, doors: {ami: 7411}, guarded: {}}
{{- end }}

{{- define "tidegate.labels" -}}
app.kubernetes.io/name: tidegate
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "tidegate.labels.all" -}}
{{ include "tidegate.labels" . }}
app.kubernetes.io/part-of: tidegate
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "tidegate.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "tidegate.secret" -}}
{{ .Values.secrets.existing | default (printf "%s-secrets" (include "tidegate.name" .)) }}
{{- end }}

{{- define "tidegate.file" -}}
{{- $own := index .root.Values.config .component }}
{{- $own | default (.root.Files.Get (printf "config/%s.toml" .component)) }}
{{- end }}

{{- /* Tokens as the configuration reads them from a variable: an array of TOML. */}}
{{- define "tidegate.tokens" -}}
{{- $all := list }}
{{- range . }}
{{- $all = append $all (printf "{name=%s,role=%s,tenant=%s,sha256=%s}" (toJson .name) (toJson .role) (toJson .tenant) (toJson .sha256)) }}
{{- end -}}
[{{ join "," $all }}]
{{- end }}

{{- define "tidegate.pod.security" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tidegate.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* What a site says of engines, as keys of one component. */}}
{{- define "tidegate.env" -}}
{{- $values := .root.Values }}
{{- $prefix := printf "TIDEGATE_%s__" (upper .component) }}
- name: TIDEGATE_PROCESS__INSTANCE
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- if ne .component "simulator" }}
- name: {{ $prefix }}JOURNAL__KAFKA__BROKERS
  value: {{ toJson $values.kafka.brokers | quote }}
{{- end }}
{{- if has .component (list "aggregator" "pusher" "console") }}
- name: {{ $prefix }}STORE__URL
  value: {{ $values.postgresql.url | quote }}
{{- end }}
{{- if has .component (list "pusher" "cti") }}
- name: {{ $prefix }}LIVE__URL
  value: {{ $values.redis.url | quote }}
{{- end }}
{{- with .tokens }}
- name: {{ $prefix }}AUTH__TOKENS
  value: {{ include "tidegate.tokens" . | quote }}
{{- range $door, $port := $.guarded }}
- name: {{ $prefix }}LISTEN
  value: {{ printf "{address=\"0.0.0.0:%v\",i_know_this_is_open=true}" $port | quote }}
{{- end }}
{{- end }}
{{- if and (eq .component "collector") $values.components.simulator.enabled }}
- name: TIDEGATE_COLLECTOR__SOURCES__PBX1__CONFIG__HOST
  value: {{ include "tidegate.name" .root }}-simulator
{{- end }}
{{- range $name, $value := merge (dict) (.own.env | default dict) $values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
