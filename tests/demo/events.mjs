// events.mjs INDEX OUT: turns the payloads of the npm package @octokit/webhooks-examples (its api.github.com/index.json) into
// files of events, one JSON object a line, one file for each of the demo's batches.
import { readFileSync, writeFileSync } from "node:fs";

const [index, out] = process.argv.slice(2);
const kinds = JSON.parse(readFileSync(index, "utf8"));

const events = kinds.flatMap(({ name, examples }) =>
  examples.map((data, n) => ({
    id: `${name}-${n + 1}`,
    source: "github",
    type: `com.github.${name}${data.action ? `.${data.action}` : ""}`,
    time: new Date(Date.UTC(2026, 10, 22, 14, 0, 0) + n * 60_000).toISOString(),
    subject: data.sender?.login ?? data.repository?.owner?.login ?? "unknown",
    priority: /alert|advisory|secret|security/.test(name) ? "High" : /issue|pull|push|release/.test(name) ? "Medium" : "Low",
    owner: data.organization?.login ?? data.repository?.owner?.login,
    data,
  })),
);

const write = (file, chosen) => {
  const lines = chosen.map(({ owner, ...event }) => JSON.stringify(event));
  writeFileSync(`${out}/${file}.jsonl`, lines.join("\n") + "\n");
  console.log(`${file}.jsonl ${lines.length}`);
};

write("octo-org", events.filter((event) => event.owner === "octo-org"));
write("octocoders", events.filter((event) => event.owner === "Octocoders").slice(0, 24));
write("codertocat-user", events.filter((event) => event.owner === "Codertocat" && event.subject === "Codertocat").slice(0, 12));
