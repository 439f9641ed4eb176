# Sending webhooks to the gateway as their senders do. Sourced by the demo; needs $gateway (its URL) and $sent (a folder).
# shellcheck shell=bash

# secret_of KEY: a secret of the demo's senders.
secret_of() { "$kubectl" -n "$namespace" get secret webhooks -o "go-template={{index .data \"$1\" | base64decode}}"; }

# signature SECRET FILE: as GitHub makes it.
signature() { printf 'sha256=%s' "$(openssl dgst -sha256 -hmac "$1" -r <"$2" | cut -d' ' -f1)"; }

# post PATH FILE HEADER...: sends the file; prints status and answer.
post() {
    local path=$1 file=$2 headers=() header status
    shift 2
    for header in "$@"; do headers+=(-H "$header"); done
    status=$(curl --silent --show-error --max-time 20 --output "$sent/answer" --write-out '%{http_code}' "$gateway$path" \
        -H 'content-type: application/json' "${headers[@]}" --data-binary "@$file")
    echo "$status $(cat "$sent/answer")"
}

# accepted WHAT ANSWER: notes the id of an event that was taken, or ends the demo.
accepted() {
    [[ $2 == '202 '* ]] || die "the gateway did not take $1: $2"
    grep -oE '"id":"[0-9a-f]+"' <<<"$2" | cut -d'"' -f4 >>"$sent/accepted"
}

# hub SECRET DELIVERY FILE: a webhook of GitHub. The event's name is in the file's: 01-issues.opened.json.
hub() {
    local event
    event=$(basename "$3")
    event=${event#*-}
    post /v1/webhooks/github "$3" "x-github-event: ${event%%.*}" "x-github-delivery: $2" "x-hub-signature-256: $(signature "$1" "$3")"
}

# hub_all ORGANISATION FOLDER: all of them, in order.
hub_all() {
    local secret file
    secret=$(secret_of "github-$1")
    for file in "$2"/*.json; do
        accepted "$file" "$(hub "$secret" "$1-$started-$(basename "$file" .json)" "$file")"
    done
}

# ticket TOKEN NUMBER CUSTOMER TEXT: a request to tailspin's help desk, plain JSON.
ticket() {
    local file=$sent/ticket.json
    printf '{"id": "%s-%s", "type": "ticket.opened", "source": "help-desk", "customer": "%s", "subject": "ticket %s", "text": "%s"}' \
        "$started" "$2" "$3" "$2" "$4" >"$file"
    accepted "ticket $2" "$(post /v1/webhooks/desk "$file" "authorization: Bearer $1")"
}
