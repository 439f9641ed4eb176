// stream.mjs PORT: makes the stream of events as the operator does, without a client of NATS.
import { connect } from "node:net";

const config = {
  name: "EVENTS", subjects: ["EVENTS.>"], retention: "limits", storage: "file", discard: "new", discard_new_per_subject: true,
  max_msgs_per_subject: 1, max_age: 9 * 24 * 3600 * 1e9, num_replicas: 1, allow_direct: true,
};
const body = JSON.stringify(config);
const socket = connect(Number(process.argv[2]), "127.0.0.1");
let heard = "";
socket.on("data", (data) => {
  heard += data;
  if (/"type":"io.nats.jetstream.api.v1.stream_create_response"/.test(heard)) {
    const failed = /"error":/.test(heard);
    if (failed) console.error(heard);
    process.exit(failed ? 1 : 0);
  }
});
socket.on("error", (error) => { console.error(`no NATS: ${error.message}`); process.exit(1); });
socket.write(`CONNECT {"verbose":false}\r\nSUB answer 1\r\nPUB $JS.API.STREAM.CREATE.EVENTS answer ${Buffer.byteLength(body)}\r\n${body}\r\n`);
setTimeout(() => { console.error("NATS did not make the stream within 20 s"); process.exit(1); }, 20_000);
