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
        # Makes the streams, reads results; cannot write any.
        publish: [
          {{- range list "BATCH_READY" "RESULTS" "DLQ" "KV_payloads" "KV_matches" }}
          "$JS.API.STREAM.INFO.{{ . }}", "$JS.API.STREAM.CREATE.{{ . }}", "$JS.API.STREAM.UPDATE.{{ . }}"
          {{- end }}
          "$JS.API.CONSUMER.CREATE.RESULTS", "$JS.API.CONSUMER.CREATE.RESULTS.>", "$JS.API.CONSUMER.INFO.RESULTS.>", "$JS.API.CONSUMER.DELETE.RESULTS.>"
          "$JS.API.CONSUMER.MSG.NEXT.RESULTS.>", "$JS.API.DIRECT.GET.RESULTS", "$JS.API.DIRECT.GET.RESULTS.>"
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
          "$KV.matches.>", "$JS.API.STREAM.MSG.GET.KV_matches", "$JS.API.DIRECT.GET.KV_matches.>"
          "DLQ.BATCH_READY.>"
        ]
        subscribe: ["_INBOX_collector.>"]
      }
    }
    {{- range include "trackway.namespaces" . | fromJsonArray }}
    {
      user: {{ printf "worker-%s" .name | quote }}
      password: {{ index $passwords (printf "worker-%s" .name) | quote }}
      permissions: {
        # Publishes results of its namespace and reads none; keeps its namespace's payloads.
        publish: ["RESULTS.{{ .name }}.>", "$KV.payloads.{{ .name }}.>", "$JS.API.DIRECT.GET.KV_payloads.$KV.payloads.{{ .name }}.>"]
        subscribe: ["_INBOX_worker-{{ .name }}.>"]
      }
    }
    {
      user: {{ printf "client-%s" .name | quote }}
      password: {{ index $passwords (printf "client-%s" .name) | quote }}
      permissions: {
        # Submits batches, reads payloads.
        publish: ["BATCH_READY.>", "$KV.payloads.{{ .name }}.batches.>", "$JS.API.DIRECT.GET.KV_payloads.$KV.payloads.{{ .name }}.>"]
        subscribe: ["_INBOX_client-{{ .name }}.>"]
      }
    }
    {{- end }}
  ]
}
{{- end -}}
