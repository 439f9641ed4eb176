"""clients.py GATEWAY: the official clients of CloudEvents and Standard Webhooks in Python send to a gateway.

Prints "ok NAME" or "not ok NAME: WHY" for each, then how many events the gateway has taken for the first time.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.conversion import to_binary, to_structured
from cloudevents.v1.http import CloudEvent as OlderEvent
from standardwebhooks.webhooks import Webhook

GATEWAY = sys.argv[1]
BEARER = {"authorization": f"Bearer {os.environ['TOKEN']}"}
KEYS = [os.environ["SIGNING_KEY"], os.environ["NEXT_SIGNING_KEY"]]
NOW = datetime.now(timezone.utc)
taken = 0


def post(path, headers, body):
    request = urllib.request.Request(GATEWAY + path, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        assert error.headers["content-type"] == "application/problem+json", error.headers
        return error.code, json.load(error)


def is_taken(answer, duplicate=False):
    global taken
    status, body = answer
    assert status == 202, answer
    for one in body if isinstance(body, list) else [body]:
        assert len(one["id"]) == 32 and one["duplicate"] is duplicate, one
        taken += not duplicate


def is_refused(answer, status):
    assert answer[0] == status, answer


def event(number, data, **more):
    attributes = {"id": f"py-{number}", "source": "/clients/py", "type": "client.test", "specversion": "1.0", "time": NOW}
    return CloudEvent(attributes | more, data)


def send(message):
    return post("/v1/events/app", message.headers | BEARER, message.body)


def cloudevents_binary():
    is_taken(send(http.to_binary_event(event(1, {"a": 1}, datacontenttype="application/json", subject="Café 😀 100%"))))


def cloudevents_structured():
    message = http.to_structured_event(event(2, {"a": [1, None, "ü"]}, team="x"))
    is_taken(send(message))
    is_taken(send(message), duplicate=True)


def cloudevents_text_and_bytes():
    is_taken(send(http.to_binary_event(event(3, "hello", datacontenttype="text/plain"))))
    is_taken(send(http.to_structured_event(event(4, b"\x89PNG", datacontenttype="image/png"))))


def cloudevents_list():
    events = [json.loads(http.to_structured_event(event(number, number)).body) for number in (5, 6)]
    headers = {"content-type": "application/cloudevents-batch+json"} | BEARER
    is_taken(post("/v1/events/app", headers, json.dumps(events).encode()))


def cloudevents_of_version_1():
    for number, write in ((7, to_binary), (8, to_structured)):
        attributes = {"id": f"py-{number}", "source": "/clients/py", "type": "client.test", "datacontenttype": "application/json"}
        headers, body = write(OlderEvent(attributes, {"a": 1}))
        is_taken(post("/v1/events/app", dict(headers) | BEARER, body))


def cloudevents_with_another_token():
    message = http.to_structured_event(event(9, 1))
    is_refused(post("/v1/events/app", message.headers | {"authorization": "Bearer another"}, message.body), 401)


def signed(key, id_, at, body):
    stamp = str(int(at.timestamp()))
    signature = Webhook(key).sign(id_, at, body.decode())
    kind = {"content-type": "application/json"}
    return kind | {"webhook-id": id_, "webhook-timestamp": stamp, "webhook-signature": signature}


def standardwebhooks_signs():
    body = json.dumps({"type": "invoice.paid", "text": "ümläut 😀"}, ensure_ascii=False).encode()
    for number, key in enumerate(KEYS):
        headers = signed(key, f"msg_py_{number}", NOW, body)
        Webhook(key).verify(body, headers)
        is_taken(post("/v1/webhooks/hooks", headers, body))
        is_refused(post("/v1/webhooks/hooks", headers, body.replace(b"paid", b"sent")), 401)
        is_refused(post("/v1/webhooks/hooks", headers | {"webhook-id": "msg_other"}, body), 401)
    both = signed(KEYS[0], "msg_py_2", NOW, body)
    both["webhook-signature"] = f"v1a,AAAA {signed('whsec_' + 'B' * 43 + '=', 'msg_py_2', NOW, body)['webhook-signature']} {both['webhook-signature']}"
    is_taken(post("/v1/webhooks/hooks", both, body))


def standardwebhooks_of_another_time():
    for minutes in (-6, 6):
        is_refused(post("/v1/webhooks/hooks", signed(KEYS[0], "msg_py_3", NOW + timedelta(minutes=minutes), b"{}"), b"{}"), 401)


CLIENTS = [
    cloudevents_binary,
    cloudevents_structured,
    cloudevents_text_and_bytes,
    cloudevents_list,
    cloudevents_of_version_1,
    cloudevents_with_another_token,
    standardwebhooks_signs,
    standardwebhooks_of_another_time,
]

for client in CLIENTS:
    name = client.__name__.replace("_", " ")
    try:
        client()
        print(f"ok py {name}")
    except Exception as error:  # whatever it is, the others are still asked
        print(f"not ok py {name}: {type(error).__name__}: {error}")
print(f"taken {taken}")
