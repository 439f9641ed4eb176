// events.mjs INDEX OUT: takes the payloads of the npm package @octokit/webhooks-examples (its api.github.com/index.json) apart into
// files, one for each webhook, named NUMBER-EVENT.ACTION.json, in a folder for each of the demo's organisations.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const [index, out] = process.argv.slice(2);
const kinds = JSON.parse(readFileSync(index, "utf8"));

// What the preset GitHub calls High.
const urgent = ({ event, body }) =>
  event === "security_advisory" || (/^(dependabot|code_scanning|secret_scanning)_alert$/.test(event) && /^(created|reopened)/.test(body.action));
const hooks = kinds.flatMap(({ name, examples }) => examples.map((body) => ({ event: name, body })));
const of = (owner) =>
  hooks.filter(({ body }) => (body.organization?.login ?? body.repository?.owner?.login) === owner);

const write = (folder, chosen) => {
  rmSync(`${out}/${folder}`, { recursive: true, force: true });
  mkdirSync(`${out}/${folder}`, { recursive: true });
  chosen.forEach(({ event, body }, n) => {
    const action = body.action ? `.${body.action}` : "";
    writeFileSync(`${out}/${folder}/${String(n + 1).padStart(2, "0")}-${event}${action}.json`, JSON.stringify(body));
  });
};

// An organisation with one thing that cannot wait, at the end, and one with nothing of the kind.
const alert = hooks.find(({ event, body }) => event === "dependabot_alert" && body.action === "created");
write("octo-org", [...of("octo-org").filter((hook) => !urgent(hook)).slice(0, 18), alert]);
write("octocoders", of("Octocoders").filter((hook) => !urgent(hook)).slice(0, 20));
