//! No secret is anywhere but in Secrets.

use crate::{Context, Outcome, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;
use std::collections::BTreeMap;
use trackway_crds::status::Phase;
use trackway_e2e::{Place, batch, cluster::RELEASE_NAMESPACE, place::phase, references::fetch_all, story, story::say};

const NAMESPACE: &str = "e2e-secrets";
/// Shorter values would be found by chance.
const SHORTEST: usize = 16;

/// Somewhere a secret could have ended up.
struct Haystack {
    what: String,
    text: String,
}

/// Every component has used its secrets by then, and servers have repeated the key they were sent: in an error, in an answer, in
/// a verdict.
#[test]
fn inv13_no_secret_appears_outside_secrets() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        let key = format!("sk-e2e-{}{}{}", batch::fresh_id(), batch::fresh_id(), batch::fresh_id());
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "llm"}, "stringData": {"token": key}});
        place.apply::<Secret>(&secret).await?;
        place.endpoint("main", json!({"apiKeySecretRef": {"name": "llm", "key": "token"}})).await?;
        place.rules(&talkative(&key))?;

        let good = ended(&place, "keyed", Phase::Succeeded).await?;
        let texts = fetch_all(&place, &good).await?;
        let keyed = texts.iter().any(|text| String::from_utf8_lossy(text).contains("The key has come."));
        ensure!(keyed, "the model was asked without its key");
        let mut runs = vec![good];
        for track in ["refused", "broken", "chatty", "doubtful"] {
            runs.push(ended(&place, track, Phase::Failed).await?);
        }

        let needles = needles(&place).await?;
        let uid = runs[0].uid().context("no uid")?;
        let mut haystacks = resources(&place).await?;
        haystacks.extend(logs(&place).await?);
        for run in &runs {
            for text in fetch_all(&place, run).await? {
                haystacks.push(Haystack {
                    what: format!("a payload of {}", run.name_any()),
                    text: String::from_utf8_lossy(&text).into_owned(),
                });
            }
        }
        ensure!(haystacks.iter().any(|haystack| haystack.text.contains(&uid)), "the search would find nothing");
        let mut found = Vec::new();
        for (name, value) in &needles {
            found.extend(
                haystacks
                    .iter()
                    .filter(|haystack| haystack.text.contains(value))
                    .map(|haystack| format!("{name} in {}", haystack.what)),
            );
        }
        found.extend(in_streams(&place, &needles, &uid).await?);
        ensure!(found.is_empty(), "secrets appear:\n{}", found.join("\n"));
        let bytes: usize = haystacks.iter().map(|haystack| haystack.text.len()).sum();
        say(&format!(
            "{} secrets in none of {} resources, logs and payloads ({bytes} bytes), nor in the streams",
            needles.len(),
            haystacks.len()
        ));
        Ok(())
    })
}

/// Servers that tell everybody which key they were sent.
fn talkative(key: &str) -> String {
    let of = |track: &str, more: serde_json::Value| {
        let mut when = json!({"headers": {"x-trackway-run-name": format!("{track}-*")}});
        trackway_e2e::json::merge(&mut when, &more);
        when
    };
    let keyed = json!({"kind": "generate", "headers": {"authorization": format!("Bearer {key}")}});
    let told = format!("Incorrect API key provided: {key}.");
    json!([
        {"name": "keyed", "when": of("keyed", keyed), "then": {"text": "The key has come."}},
        {"name": "refused", "when": of("refused", json!({})), "then": {"status": 401, "error": {"code": "invalid_api_key", "message": told}}},
        {"name": "broken", "when": of("broken", json!({})), "then": {"status": 400, "error": {"code": key, "message": told}}},
        {"name": "chatty", "when": of("chatty", json!({"kind": "generate"})), "then": {"prose": told}},
        {"name": "doubtful", "when": of("doubtful", json!({"kind": "judge"})), "then": {"prose": told}},
    ])
    .to_string()
}

/// A run of a track of this name, ended as expected.
async fn ended(place: &Place, track: &str, expected: Phase) -> Result<trackway_crds::BatchRun> {
    place.track(track, &json!({"spec": {"retry": {"model": {"maxTries": 1}, "judge": {"maxTries": 1}}}})).await?;
    let name = place.start_fresh(track).await?.name_any();
    let run = place.until_finished(&name).await?;
    ensure!(phase(&run) == Some(expected), "{name} ended as {:?}: {:?}", phase(&run), run.status);
    Ok(run)
}

/// Every secret value there is, as text and as Kubernetes writes it, by where it belongs.
async fn needles(place: &Place) -> Result<BTreeMap<String, String>> {
    let mut needles = BTreeMap::new();
    for namespace in [RELEASE_NAMESPACE, NAMESPACE] {
        let secrets: Api<Secret> = Api::namespaced(place.cluster.client.clone(), namespace);
        for secret in secrets.list(&ListParams::default().fields("type=Opaque")).await? {
            let written = serde_json::to_value(&secret.data)?;
            for (key, value) in secret.data.clone().unwrap_or_default() {
                let plain = String::from_utf8_lossy(&value.0).into_owned();
                let public = key.contains("user") || key.contains("prefix") || key.contains("inbox") || plain.contains('\n');
                if !public && plain.len() >= SHORTEST {
                    let name = format!("{namespace}/{}/{key}", secret.name_any());
                    let encoded = written[&key].as_str().unwrap_or_default().trim_end_matches('=').to_owned();
                    needles.insert(format!("{name} in base64"), encoded);
                    needles.insert(name, plain);
                }
            }
        }
    }
    for expected in
        ["trackway/trackway-operator/nats-password", "e2e-secrets/trackway-worker/nats-password", "e2e-secrets/llm/token"]
    {
        ensure!(needles.contains_key(expected), "{expected} is not among the secrets: {:?}", needles.keys());
    }
    Ok(needles)
}

/// Everything the API server lists in both namespaces, Events included, but Secrets.
async fn resources(place: &Place) -> Result<Vec<Haystack>> {
    let kinds = place.cluster.kubectl(&["api-resources", "--verbs=list", "--namespaced", "-o", "name"]).await?;
    let kinds: Vec<&str> = kinds.lines().filter(|kind| *kind != "secrets").collect();
    let mut haystacks = Vec::new();
    for namespace in [RELEASE_NAMESPACE, NAMESPACE] {
        let text =
            place.cluster.kubectl(&["-n", namespace, "get", &kinds.join(","), "-o", "json", "--show-managed-fields"]).await?;
        haystacks.push(Haystack { what: format!("a resource of {namespace}"), text });
    }
    Ok(haystacks)
}

async fn logs(place: &Place) -> Result<Vec<Haystack>> {
    let mut haystacks = Vec::new();
    for namespace in [RELEASE_NAMESPACE, NAMESPACE] {
        let pods: Api<Pod> = Api::namespaced(place.cluster.client.clone(), namespace);
        for pod in pods.list(&ListParams::default()).await? {
            let name = pod.name_any();
            // A pod that never started has none.
            if let Ok(text) = pods.logs(&name, &Default::default()).await {
                haystacks.push(Haystack { what: format!("the log of {namespace}/{name}"), text });
            }
        }
    }
    Ok(haystacks)
}

/// Searches the files of NATS: every message of every stream and bucket is there.
async fn in_streams(place: &Place, needles: &BTreeMap<String, String>, control: &str) -> Result<Vec<String>> {
    let pods: Api<Pod> = Api::namespaced(place.cluster.client.clone(), RELEASE_NAMESPACE);
    let uid = pods.get("trackway-nats-0").await?.uid().context("no uid")?;
    let state = place.cluster.kubeconfig.parent().context("the cluster's folder")?;
    let data = state.join("kubelet/pods").join(uid).join("volumes/kubernetes.io~empty-dir/data");
    let mut found = Vec::new();
    for (name, value) in needles.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([("", control)]) {
        let command = "grep -rlaF -e \"$1\" \"$0\" || test $? = 1";
        let files = place.cluster.on_node(&["sh", "-c", command, &data.to_string_lossy(), value]).await?;
        if name.is_empty() {
            ensure!(!files.is_empty(), "{} holds no message of the run: the search would find nothing", data.display());
        } else if !files.is_empty() {
            found.push(format!("{name} in the streams: {files}"));
        }
    }
    Ok(found)
}
