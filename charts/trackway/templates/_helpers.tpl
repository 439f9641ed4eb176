{{/* Prefix of the names of everything in the release's namespace. */}}
{{- define "trackway.fullname" -}}
{{- if contains "trackway" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-trackway" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end -}}

{{/* Labels of an object. Takes (dict "root" $ "component" "operator"). */}}
{{- define "trackway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: trackway
{{ include "trackway.selector" . }}
{{- end -}}

{{/* Labels that find the pods of a component. */}}
{{- define "trackway.selector" -}}
app.kubernetes.io/name: trackway
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Full name of one of our images. Takes (dict "root" $ "name" "trackway-operator"). */}}
{{- define "trackway.image" -}}
{{- with .root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{/* The bound namespaces as JSON: the release's own with all tenants unless values say otherwise. */}}
{{- define "trackway.namespaces" -}}
{{- $bound := list -}}
{{- range .Values.namespaces -}}
{{- $bound = append $bound (dict "name" .name "tenants" (.tenants | default (list "*"))) -}}
{{- end -}}
{{- $bound | default (list (dict "name" .Release.Namespace "tenants" (list "*"))) | toJson -}}
{{- end -}}

{{/* Their names, separated by commas. */}}
{{- define "trackway.namespaceNames" -}}
{{- $names := list -}}
{{- range include "trackway.namespaces" . | fromJsonArray }}{{ $names = append $names .name }}{{ end -}}
{{- join "," $names -}}
{{- end -}}

{{/* Namespaces with a trackway-client: the bound ones and the release's own, whose client looks after what was set aside. */}}
{{- define "trackway.clientNamespaces" -}}
{{- append (splitList "," (include "trackway.namespaceNames" .)) .Release.Namespace | uniq | join "," -}}
{{- end -}}

{{/* Our components that are Deployments, separated by commas; each has its own service account and NATS user. */}}
{{- define "trackway.components" -}}
operator,collector
{{- if .Values.ingest.enabled }},gateway,lake,batcher{{ if include "trackway.vectorizer.enabled" . }},vectorizer{{ end }}{{ end }}
{{- end -}}

{{/* Not empty when something makes vectors. */}}
{{- define "trackway.vectorizer.enabled" -}}
{{- if and .Values.ingest.enabled .Values.vectorizer.endpoint.baseURL .Values.vectorizer.endpoint.model }}true{{ end -}}
{{- end -}}

{{/* What gateway, batcher and vectorizer read: sources, tenants, batching and the bound namespaces. */}}
{{- define "trackway.ingest.config" -}}
{{- $ingest := .Values.ingest -}}
{{- dict "sources" $ingest.sources "tenants" $ingest.tenants "batching" $ingest.batching "namespaces" (include "trackway.namespaces" . | fromJsonArray) | toYaml -}}
{{- end -}}

{{/* Where components reach NATS. */}}
{{- define "trackway.nats.url" -}}
{{- if .Values.nats.enabled }}nats://{{ include "trackway.fullname" . }}-nats.{{ .Release.Namespace }}.svc:4222{{ else }}{{ .Values.nats.external.url }}{{ end -}}
{{- end -}}

{{/*
Passwords of the NATS users by name, as JSON: one call makes them, the others of the same rendering read what it left, because
each must appear in several objects. Those of an earlier rendering are kept.
*/}}
{{- define "trackway.passwords" -}}
{{- if not (hasKey .Values "passwordsOfThisRendering") -}}
{{- $root := . -}}
{{- $known := (lookup "v1" "Secret" .Release.Namespace (printf "%s-nats-users" (include "trackway.fullname" .))).data | default dict -}}
{{- $users := splitList "," (include "trackway.components" .) -}}
{{- range include "trackway.namespaces" . | fromJsonArray -}}
{{- $users = append $users (printf "worker-%s" .name) -}}
{{- end -}}
{{- range splitList "," (include "trackway.clientNamespaces" .) -}}
{{- $users = append $users (printf "client-%s" .) -}}
{{- end -}}
{{- $passwords := dict -}}
{{- range $user := $users -}}
{{- if $root.Values.credentials.seed -}}
{{- $_ := set $passwords $user (printf "%s/%s" $root.Values.credentials.seed $user | sha256sum | trunc 40) -}}
{{- else if hasKey $known $user -}}
{{- $_ := set $passwords $user (index $known $user | b64dec) -}}
{{- else -}}
{{- $_ := set $passwords $user (randAlphaNum 40) -}}
{{- end -}}
{{- end -}}
{{- $_ := set .Values "passwordsOfThisRendering" $passwords -}}
{{- end -}}
{{- .Values.passwordsOfThisRendering | toJson -}}
{{- end -}}

{{/* Credentials of one NATS user as a Secret's stringData. Takes (dict "root" $ "user" "operator"). */}}
{{- define "trackway.credentials" -}}
nats-user: {{ .user | quote }}
nats-password: {{ index (include "trackway.passwords" .root | fromJson) .user | quote }}
nats-inbox-prefix: {{ printf "_INBOX_%s" .user | quote }}
{{- end -}}

{{/* NATS variables of a component. Takes (dict "root" $ "component" "operator"). */}}
{{- define "trackway.nats.env" -}}
- name: TRACKWAY_NATS_URL
  value: {{ include "trackway.nats.url" .root | quote }}
{{- $root := .root }}
{{- $secret := .root.Values.credentials.create | ternary (printf "%s-%s" (include "trackway.fullname" .root) .component) (printf "trackway-%s" .component) }}
{{- range $name, $key := dict "TRACKWAY_NATS_USER" "nats-user" "TRACKWAY_NATS_PASSWORD" "nats-password" "TRACKWAY_NATS_INBOX_PREFIX" "nats-inbox-prefix" }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: {name: {{ $secret }}, key: {{ $key }}{{ if not $root.Values.credentials.create }}, optional: true{{ end }}}
{{- end }}
{{- end -}}

{{/* What restricted pod security asks of a pod … */}}
{{- define "trackway.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* … and of a container. */}}
{{- define "trackway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where a component's pods may run, and that no Service's address ends up among our TRACKWAY_ variables. Takes (dict "root" $ "component" "operator" "values" .Values.operator). */}}
{{- define "trackway.scheduling" -}}
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .values.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if or (gt (int (.values.replicas | default 1)) 1) (dig "autoscaling" "enabled" false .values) }}
topologySpreadConstraints:
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "trackway.selector" . | nindent 6 }}
{{- end }}
{{- end -}}

{{/* Probes of a component. Takes (dict "port" "http"). */}}
{{- define "trackway.probes" -}}
startupProbe: {httpGet: {path: /healthz, port: {{ .port }}}, periodSeconds: 1, failureThreshold: 60}
livenessProbe: {httpGet: {path: /healthz, port: {{ .port }}}, periodSeconds: 10, timeoutSeconds: 5}
readinessProbe: {httpGet: {path: /readyz, port: {{ .port }}}, periodSeconds: 5, timeoutSeconds: 5}
{{- end -}}

{{/* Keys of a bucket, by the names the S3 client reads. Takes (dict "s3" .Values.store.s3). */}}
{{- define "trackway.s3" -}}
{{- with .s3.accessKeyID }}
AWS_ACCESS_KEY_ID: {{ . | quote }}
{{- end }}
{{- with .s3.secretAccessKey }}
AWS_SECRET_ACCESS_KEY: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Seconds of a Go duration. */}}
{{- define "trackway.seconds" -}}
{{- toDate "2006-01-02" "2020-01-01" | mustDateModify (printf "+%s" .) | unixEpoch | int64 | add -1577836800 -}}
{{- end -}}
