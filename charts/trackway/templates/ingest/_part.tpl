{{/*
One part of ingest: its Deployment and service account. Takes (dict "root" $ "component" "lake" "values" .Values.lake "grace" 30),
and, each where it is needed: "config" true for the file of sources, "s3" (dict "secret" NAME "optional" false) for the keys of a
bucket, "metrics" the port of probes and metrics if it is another than 8080, and "env", "lifecycle", "strategy", "mounts", "volumes" as YAML.
*/}}
{{- define "trackway.ingest.part" -}}
{{- $name := printf "%s-%s" (include "trackway.fullname" .root) .component -}}
# Talks to NATS and a bucket, never to the Kubernetes API.
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "trackway.labels" . | nindent 4 }}
  {{- with .values.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "trackway.labels" . | nindent 4 }}
spec:
  {{- if not (dig "autoscaling" "enabled" false .values) }}
  replicas: {{ .values.replicas }}
  {{- end }}
  {{- with .strategy }}
  strategy: {{- . | nindent 4 }}
  {{- end }}
  selector:
    matchLabels: {{- include "trackway.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "trackway.labels" . | nindent 8 }}
      annotations:
        {{- if .config }}
        checksum/config: {{ include "trackway.ingest.config" .root | sha256sum }}
        {{- end }}
        {{- if .root.Values.credentials.create }}
        checksum/credentials: {{ include "trackway.credentials" (dict "root" .root "user" .component) | sha256sum }}
        {{- end }}
        {{- with .values.podAnnotations }}{{ toYaml . | nindent 8 }}{{ end }}
    spec:
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: false
      securityContext: {{- include "trackway.podSecurity" .root | nindent 8 }}
      {{- include "trackway.scheduling" . | nindent 6 }}
      terminationGracePeriodSeconds: {{ .grace }}
      containers:
      - name: {{ .component }}
        image: {{ include "trackway.image" (dict "root" .root "name" "trackway-ingest") }}
        imagePullPolicy: {{ .root.Values.image.pullPolicy }}
        args: [{{ .component }}]
        securityContext: {{- include "trackway.containerSecurity" .root | nindent 10 }}
        env:
        - {name: RUST_LOG, value: {{ .values.logLevel | quote }}}
        - {name: TRACKWAY_LISTEN, value: "0.0.0.0:8080"}
        {{- if .config }}
        - {name: TRACKWAY_INGEST_CONFIG, value: /etc/trackway/config/ingest.yaml}
        {{- end }}
        {{- include "trackway.nats.env" . | nindent 8 }}
        {{- with .s3 }}
        {{- $s3 := . }}
        {{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
        - name: {{ . }}
          valueFrom:
            secretKeyRef: {name: {{ $s3.secret }}, key: {{ . }}, optional: {{ $s3.optional }}}
        {{- end }}
        {{- end }}
        {{- with .env }}{{ . | nindent 8 }}{{ end }}
        ports:
        - {name: http, containerPort: 8080}
        {{- with .metrics }}
        - {name: metrics, containerPort: {{ . }}}
        {{- end }}
        {{- include "trackway.probes" (dict "port" (ternary "metrics" "http" (hasKey . "metrics"))) | nindent 8 }}
        {{- with .lifecycle }}
        lifecycle: {{- . | nindent 10 }}
        {{- end }}
        resources: {{- toYaml .values.resources | nindent 10 }}
        {{- if or .config .mounts }}
        volumeMounts:
        {{- if .config }}
        - {name: config, mountPath: /etc/trackway/config, readOnly: true}
        {{- end }}
        {{- with .mounts }}{{ . | nindent 8 }}{{ end }}
        {{- end }}
      {{- if or .config .volumes }}
      volumes:
      {{- if .config }}
      - name: config
        configMap: {name: {{ include "trackway.fullname" .root }}-ingest}
      {{- end }}
      {{- with .volumes }}{{ . | nindent 6 }}{{ end }}
      {{- end }}
{{- end -}}

{{/* Name of the Secret of a component. Takes (dict "root" $ "component" "lake"). */}}
{{- define "trackway.secretName" -}}
{{- .root.Values.credentials.create | ternary (printf "%s-%s" (include "trackway.fullname" .root) .component) (printf "trackway-%s" .component) -}}
{{- end -}}

{{/* Where a part finds the keys of the lake's bucket, as JSON for "s3" of trackway.ingest.part; empty when it needs none. Takes (dict "root" $ "component" "lake"). */}}
{{- define "trackway.lake.s3" -}}
{{- if hasPrefix "s3://" .root.Values.lake.url -}}
{{- with .root.Values.lake.s3.existingSecret.name -}}
{{- dict "secret" . "optional" false | toJson -}}
{{- else -}}
{{- dict "secret" (include "trackway.secretName" .) "optional" true | toJson -}}
{{- end -}}
{{- else -}}
null
{{- end -}}
{{- end -}}

{{/* Where a file:// lake is mounted. */}}
{{- define "trackway.lake.mounts" -}}
{{- if hasPrefix "file://" .Values.lake.url -}}
- {name: lake, mountPath: {{ trimPrefix "file://" .Values.lake.url | quote }}}
{{- end -}}
{{- end -}}

{{/* The volume of a file:// lake. */}}
{{- define "trackway.lake.volumes" -}}
{{- $storage := .Values.lake.storage -}}
{{- if hasPrefix "file://" .Values.lake.url -}}
- name: lake
  {{- if eq $storage.type "emptyDir" }}
  emptyDir: {sizeLimit: {{ $storage.size }}}
  {{- else if eq $storage.type "hostPath" }}
  hostPath: {path: {{ $storage.path | quote }}, type: Directory}
  {{- else }}
  persistentVolumeClaim: {claimName: {{ $storage.existingClaim | default (printf "%s-lake" (include "trackway.fullname" .)) }}}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* The Secrets that sources name, as the sources of one projected volume: the file of a key is NAME/KEY. */}}
{{- define "trackway.ingest.secrets" -}}
{{- $keys := dict -}}
{{- range .Values.ingest.sources }}{{ range .credentials }}{{ with .secretRef -}}
{{- $_ := set $keys .name (append (get $keys .name | default list) .key | uniq) -}}
{{- end }}{{ end }}{{ end -}}
{{- range $name, $files := $keys }}
- secret:
    name: {{ $name }}
    # A tenant whose Secret is missing is asked to come again; the others are served.
    optional: true
    items:
    {{- range sortAlpha $files }}
    - {key: {{ . | quote }}, path: {{ printf "%s/%s" $name . | quote }}}
    {{- end }}
{{- end }}
{{- end -}}
