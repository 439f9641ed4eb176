// clients.mjs GATEWAY: the official clients of CloudEvents, GitHub and Standard Webhooks in JavaScript send to a gateway.
// Prints "ok NAME" or "not ok NAME: WHY" for each, then how many events the gateway has taken for the first time.
import { CloudEvent, HTTP, emitterFor, httpTransport, Mode } from "cloudevents";
import { Webhooks } from "@octokit/webhooks";
import { Webhook } from "standardwebhooks";
import assert from "node:assert/strict";

const [gateway] = process.argv.slice(2);
const { TOKEN: token, HUB_SECRET: hubSecret, SIGNING_KEY: signingKey } = process.env;
const bearer = { authorization: `Bearer ${token}` };
let taken = 0;

const post = async (path, headers, body) => {
  const response = await fetch(gateway + path, { method: "POST", headers, body });
  return { status: response.status, type: response.headers.get("content-type"), body: await response.json() };
};
const isTaken = ({ status, body }, duplicate = false) => {
  assert.equal(status, 202, JSON.stringify(body));
  for (const one of [body].flat()) {
    assert.match(one.id, /^[0-9a-f]{32}$/);
    assert.equal(one.duplicate, duplicate);
    if (!duplicate) taken += 1;
  }
};
const isRefused = ({ status, type, body }, expected) => {
  assert.equal(status, expected, JSON.stringify(body));
  assert.equal(type, "application/problem+json");
};
const event = (id, more) => new CloudEvent({ id: `js-${id}`, source: "/clients/js", type: "client.test", ...more });
const send = (message) => post("/v1/events/app", { ...message.headers, ...bearer }, message.body);
const github = new Webhooks({ secret: hubSecret });
const hook = async (body, signature, delivery) =>
  post("/v1/webhooks/github", {
    "content-type": "application/json", "x-github-event": "push", "x-github-delivery": delivery, "x-hub-signature-256": signature,
  }, body);
const signed = (id, at, body, key = signingKey) => ({
  "content-type": "application/json", "webhook-id": id, "webhook-timestamp": `${Math.floor(at / 1000)}`,
  "webhook-signature": new Webhook(key).sign(id, new Date(at), body),
});

const clients = {
  "cloudevents: binary": async () => isTaken(await send(HTTP.binary(event(1, { data: { a: 1 } })))),
  "cloudevents: structured": async () => isTaken(await send(HTTP.structured(event(2, { data: { a: 1 }, team: "x" })))),
  "cloudevents: text": async () => isTaken(await send(HTTP.binary(event(3, { datacontenttype: "text/plain", data: "hello" })))),
  "cloudevents: bytes": async () => isTaken(await send(HTTP.structured(event(4, { datacontenttype: "image/png", data: new Uint8Array([137, 80]) })))),
  "cloudevents: no data": async () => isTaken(await send(HTTP.binary(event(5, {})))),
  "cloudevents: a subject that is not ASCII": async () => isTaken(await send(HTTP.binary(event(6, { subject: "Café", data: 1 })))),
  "cloudevents: a list": async () => {
    const headers = { "content-type": "application/cloudevents-batch+json", ...bearer };
    const list = JSON.stringify([event(7, { data: 1 }), event(8, { data: [2] })]);
    isTaken(await post("/v1/events/app", headers, list));
    isTaken(await post("/v1/events/app", headers, list), true);
  },
  "cloudevents: its own transport": async () => {
    const emit = emitterFor(httpTransport(`${gateway}/v1/events/app`), { mode: Mode.STRUCTURED });
    const answer = await emit(event(9, { data: {} }), { headers: bearer });
    isTaken({ status: 202, body: JSON.parse(answer.body) });
  },
  "cloudevents: without a token": async () => {
    const message = HTTP.structured(event(10, { data: 1 }));
    isRefused(await post("/v1/events/app", message.headers, message.body), 401);
  },
  "@octokit/webhooks: signs": async () => {
    for (const [n, text] of ["plain", "ümläut 😀", "\\u2028 \n"].entries()) {
      const body = JSON.stringify({ ref: text, sender: { login: "hubot" }, n });
      const signature = await github.sign(body);
      assert.ok(await github.verify(body, signature));
      isTaken(await hook(body, signature, `js-${n}`));
      isTaken(await hook(body, signature, `js-${n}`), true);
      isRefused(await hook(body.replace("hubot", "hubos"), signature, `js-${n}`), 401);
      isRefused(await hook(body, await new Webhooks({ secret: "another" }).sign(body), `js-${n}`), 401);
    }
  },
  "standardwebhooks: signs": async () => {
    const body = JSON.stringify({ type: "invoice.paid", text: "ümläut 😀" });
    isTaken(await post("/v1/webhooks/hooks", signed("msg_js_1", Date.now(), body), body));
    isTaken(await post("/v1/webhooks/hooks", signed("msg_js_1", Date.now() + 1000, body), body), true);
    isRefused(await post("/v1/webhooks/hooks", signed("msg_js_2", Date.now() - 360_000, body), body), 401);
    isRefused(await post("/v1/webhooks/hooks", signed("msg_js_3", Date.now(), body), `${body} `), 401);
    const other = `whsec_${Buffer.alloc(32).toString("base64")}`;
    isRefused(await post("/v1/webhooks/hooks", signed("msg_js_4", Date.now(), body, other), body), 401);
  },
};

for (const [name, client] of Object.entries(clients)) {
  try {
    await client();
    console.log(`ok js ${name}`);
  } catch (error) {
    console.log(`not ok js ${name}: ${error.message}`);
  }
}
console.log(`taken ${taken}`);
