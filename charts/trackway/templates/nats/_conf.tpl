{{/*
The server's configuration. Each component has its own user, workers and clients one per namespace; each may do what it does
and nothing else, and hears only its own replies: with a shared _INBOX.> everybody would read everybody's.
*/}}
{{- define "trackway.nats.conf" -}}
{{- $passwords := include "trackway.passwords" . | fromJson -}}
port: 4222
http_port: 8222
server_name: $POD_NAME
max_payload: {{ int64 .Values.nats.maxPayload }}
jetstream {
  store_dir: /data
  sync_interval: {{ .Values.nats.syncInterval }}
}
authorization {
  users: [
    {
      user: operator
      password: {{ index $passwords "operator" | quote }}
      permissions: {
        # Makes the streams, reads results and cannot write any; asks tenants and learns that they have answered.
        publish: [
          {{- range list "EVENTS" "BATCH_READY" "RESULTS" "DLQ" "KV_payloads" "KV_matches" "KV_batches" "KV_lake" "KV_lake-files" "KV_vectors" "KV_members" "KV_questionnaires" "KV_context" }}
          "$JS.API.STREAM.INFO.{{ . }}", "$JS.API.STREAM.CREATE.{{ . }}", "$JS.API.STREAM.UPDATE.{{ . }}"
          {{- end }}
          {{- include "trackway.nats.reads" "RESULTS" }}
          "$JS.API.CONSUMER.CREATE.RESULTS.>", "$JS.API.CONSUMER.DELETE.RESULTS.>", "$JS.API.DIRECT.GET.RESULTS", "$JS.API.DIRECT.GET.RESULTS.>"
          {{- include "trackway.nats.bucket" "questionnaires" }}
          {{- include "trackway.nats.reads" "KV_questionnaires" }}
        ]
        subscribe: ["_INBOX_operator.>"]
      }
    }
    {
      user: collector
      password: {{ index $passwords "collector" | quote }}
      permissions: {
        # Takes sealed batches, records what they matched, sets aside what nobody can handle.
        publish: [
          "$JS.API.CONSUMER.CREATE.BATCH_READY.>", "$JS.API.CONSUMER.INFO.BATCH_READY.>", "$JS.API.CONSUMER.MSG.NEXT.BATCH_READY.>"
          "$JS.ACK.BATCH_READY.>"
          {{- include "trackway.nats.bucket" "matches" }}
          "DLQ.BATCH_READY.>"
        ]
        subscribe: ["_INBOX_collector.>"]
      }
    }
    {{- if .Values.ingest.enabled }}
    {
      user: gateway
      password: {{ index $passwords "gateway" | quote }}
      permissions: {
        # Writes events, each once, and looks up the one it has met again; takes answers to questionnaires.
        publish: [
          "EVENTS.>", "$JS.API.STREAM.MSG.GET.EVENTS"
          {{- include "trackway.nats.bucket" "questionnaires" }}
          {{- include "trackway.nats.bucket" "context" }}
        ]
        subscribe: ["_INBOX_gateway.>"]
      }
    }
    {
      user: lake
      password: {{ index $passwords "lake" | quote }}
      permissions: {
        # Reads events, keeps how far it is and, with a lake of nats://, its files.
        publish: [
          {{- include "trackway.nats.reader" "lake" }}
          {{- include "trackway.nats.bucket" "lake" }}
          {{- include "trackway.nats.files" . }}
        ]
        subscribe: ["_INBOX_lake.>"]
      }
    }
    {
      user: batcher
      password: {{ index $passwords "batcher" | quote }}
      permissions: {
        # Reads events, keeps open batches, stores the documents of sealed ones and announces them.
        publish: [
          {{- include "trackway.nats.reader" "batcher" }}
          {{- include "trackway.nats.bucket" "batches" }}
          {{- include "trackway.nats.reads" "KV_batches" }}
          "BATCH_READY.>"
          {{- range include "trackway.namespaces" . | fromJsonArray }}
          "$KV.payloads.{{ .name }}.batches.>", "$JS.API.DIRECT.GET.KV_payloads.$KV.payloads.{{ .name }}.batches.>"
          {{- end }}
        ]
        subscribe: ["_INBOX_batcher.>"]
      }
    }
    {{- if include "trackway.vectorizer.enabled" . }}
    {
      user: vectorizer
      password: {{ index $passwords "vectorizer" | quote }}
      permissions: {
        # Reads events, keeps how far it is and, with a lake of nats://, its segments; answers workers, and nobody who did not ask.
        publish: [
          {{- include "trackway.nats.reader" "vectorizer" }}
          {{- include "trackway.nats.bucket" "vectors" }}
          {{- include "trackway.nats.files" . }}
        ]
        subscribe: ["_INBOX_vectorizer.>", "RETRIEVE.*"]
        allow_responses: {max: 1, expires: "2m"}
      }
    }
    {{- end }}
    {{- end }}
    {{- range include "trackway.namespaces" . | fromJsonArray }}
    {
      user: {{ printf "worker-%s" .name | quote }}
      password: {{ index $passwords (printf "worker-%s" .name) | quote }}
      permissions: {
        # Publishes results of its namespace and reads none; keeps its namespace's payloads; reads what its tenants have answered and
        # asks what they did before.
        publish: [
          "RESULTS.{{ .name }}.>", "$KV.payloads.{{ .name }}.>", "$JS.API.DIRECT.GET.KV_payloads.$KV.payloads.{{ .name }}.>"
          "$JS.API.DIRECT.GET.KV_context.$KV.context.{{ .name }}.>", "RETRIEVE.{{ .name }}"
        ]
        subscribe: ["_INBOX_worker-{{ .name }}.>"]
      }
    }
    {{- end }}
    {{- range $name := splitList "," (include "trackway.clientNamespaces" .) }}
    {
      user: {{ printf "client-%s" $name | quote }}
      password: {{ index $passwords (printf "client-%s" $name) | quote }}
      permissions: {
        publish: [
          {{- if has $name (splitList "," (include "trackway.namespaceNames" $)) }}
          # Submits batches, reads payloads.
          "BATCH_READY.>", "$KV.payloads.{{ $name }}.batches.>", "$JS.API.DIRECT.GET.KV_payloads.$KV.payloads.{{ $name }}.>"
          {{- end }}
          {{- if eq $name $.Release.Namespace }}
          # Reads what was set aside, of all tenants, and sends it again; the dead message makes room first.
          {{- range list "DLQ" "EVENTS" "BATCH_READY" }}
          "$JS.API.STREAM.MSG.GET.{{ . }}", "$JS.API.STREAM.MSG.DELETE.{{ . }}"
          {{- end }}
          "EVENTS.>", "BATCH_READY.>"
          {{- end }}
        ]
        subscribe: ["_INBOX_client-{{ $name }}.>"]
      }
    }
    {{- end }}
  ]
}
{{- end -}}

{{/* What it takes to read a stream in its order, from anywhere, without acknowledging. Takes the stream's name. */}}
{{- define "trackway.nats.reads" }}
          "$JS.API.CONSUMER.CREATE.{{ . }}", "$JS.API.CONSUMER.INFO.{{ . }}.>", "$JS.API.CONSUMER.MSG.NEXT.{{ . }}.>"
{{- end -}}

{{/* What it takes to read any key of a bucket and to change it by comparing. Takes the bucket's name. */}}
{{- define "trackway.nats.bucket" }}
          "$KV.{{ . }}.>", "$JS.API.STREAM.MSG.GET.KV_{{ . }}"
{{- end -}}

{{/* What it takes to keep files in NATS, each written once, and to list them. */}}
{{- define "trackway.nats.files" }}
          {{- if hasPrefix "nats://" .Values.lake.url }}
          "$KV.lake-files.>", "$JS.API.DIRECT.GET.KV_lake-files.>"
          {{- include "trackway.nats.reads" "KV_lake-files" }}
          {{- end }}
{{- end -}}

{{/* What every reader of events may: read them, know who else of its kind does, set aside what it cannot handle. Takes its name. */}}
{{- define "trackway.nats.reader" }}
          "$JS.API.STREAM.INFO.EVENTS", "$JS.API.DIRECT.GET.EVENTS", "$JS.API.STREAM.MSG.GET.EVENTS"
          {{- include "trackway.nats.reads" "EVENTS" }}
          "$KV.members.{{ . }}.*"
          {{- include "trackway.nats.reads" "KV_members" }}
          "DLQ.EVENTS.>"
{{- end -}}
