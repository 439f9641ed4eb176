//! What the pod's environment says.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use secrecy::{ExposeSecret, SecretString};
use trackway_crds::contracts::{Assignment, CONTRACT, REVISION_KEY, Revision};
use trackway_nats::NatsConfig;
use trackway_worker::{Access, Models, Use, Webhooks};

const AFTER_HELP: &str = "\
Also read, from the environment only, so that no secret stands in a command line:
  TRACKWAY_API_KEY_GENERATE, TRACKWAY_API_KEY_JUDGE, TRACKWAY_API_KEY_DEBUG
                                                      API keys of the stage's model, of its judge's and of the debugger's
  TRACKWAY_WEBHOOK_SECRET_0, TRACKWAY_WEBHOOK_SECRET_1, …
                                                      signing secrets of the stage's channels, whsec_…, in the Track's order
  TRACKWAY_NATS_URL, TRACKWAY_NATS_USER, TRACKWAY_NATS_PASSWORD, TRACKWAY_NATS_INBOX_PREFIX, TRACKWAY_NATS_CA_FILE
                                                      where results are published; without a URL only the termination message tells
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, …         for an s3:// store

Exit code 0: every result was handed over, errors included; of fetch: the program may run. 1: of some nobody will hear; of
fetch: the program must not run, its try has failed. 143: ended by SIGTERM; only what had come to an end before is reported.";

/// Runs one try of one attempt of a stage, or of each target its pod was given: reads the batch, asks the model, stores and judges
/// the output, reports each result. Around a program of the user's it does two steps, each in a container of its own.
#[derive(clap::Parser, Debug)]
#[command(name = "trackway-worker", version, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Which step around a program of the user's; without one the whole work is done here.
    #[command(subcommand)]
    pub(crate) step: Option<Step>,
    /// What to do, an Assignment as JSON.
    #[arg(long, env = "TRACKWAY_ASSIGNMENT", hide_env_values = true)]
    assignment: String,
    /// Folder of the mounted revision.
    #[arg(long, env = "TRACKWAY_REVISION_DIR", default_value = "/trackway/revision")]
    revision_dir: PathBuf,
    /// Payload store: nats://, s3://BUCKET/PREFIX, file:///PATH.
    #[arg(long, env = "TRACKWAY_STORE_URL")]
    store_url: String,
    /// Uid of this pod, by the downward API.
    #[arg(long, env = "TRACKWAY_POD_UID")]
    pod_uid: String,
    /// Completion index of this pod in its Job, which says what targets are its own; set by Kubernetes.
    #[arg(long, env = "JOB_COMPLETION_INDEX")]
    pod_index: Option<u32>,
    /// Folder with generate.pem, judge.pem and debug.pem, the endpoints' certificate authorities.
    #[arg(long, env = "TRACKWAY_CA_DIR", default_value = "/trackway/ca")]
    ca_dir: PathBuf,
    /// Folder shared with the user's program, for `fetch` and `report`.
    #[arg(long, env = "TRACKWAY_IO_DIR", default_value = "/trackway/io")]
    pub(crate) io_dir: PathBuf,
    /// Where Kubernetes reads the container's termination message.
    #[arg(long, env = "TRACKWAY_TERMINATION_LOG", default_value = "/dev/termination-log")]
    pub(crate) termination_log: PathBuf,
    /// What to log: error, warn, info, debug, or by module.
    #[arg(long, env = "TRACKWAY_LOG", default_value = "info")]
    pub(crate) log: String,
}

/// A step around a program of the user's.
#[derive(clap::Subcommand, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Writes input.json for the program.
    Fetch,
    /// Takes output.json of the program, judges it, reports the result.
    Report,
}

/// The settings, read and checked.
pub(crate) struct Settings {
    pub(crate) assignment: Assignment,
    pub(crate) store_url: String,
    pub(crate) pod_uid: String,
    /// 0 outside a fan-out.
    pub(crate) pod_index: u32,
    pub(crate) nats: Option<NatsConfig>,
    pub(crate) webhooks: Webhooks,
    revision_dir: PathBuf,
    ca_dir: PathBuf,
    keys: Vec<(Use, SecretString)>,
}

impl Settings {
    pub(crate) fn read(arguments: &Arguments) -> anyhow::Result<Self> {
        let assignment: Assignment = serde_json::from_str(&arguments.assignment)
            .context("TRACKWAY_ASSIGNMENT is not an Assignment: the operator sets it as JSON")?;
        anyhow::ensure!(
            assignment.contract == CONTRACT,
            "TRACKWAY_ASSIGNMENT has contract {}, this worker knows {CONTRACT}: use operator and worker of one release",
            assignment.contract
        );
        anyhow::ensure!(
            assignment.wave.is_none() || arguments.pod_index.is_some(),
            "JOB_COMPLETION_INDEX is not set, so nobody knows which targets of the wave are this pod's: run it in an Indexed Job"
        );
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let nats = match variable("TRACKWAY_NATS_URL") {
            None => None,
            Some(_) => Some(NatsConfig::from_variables("worker", variable)?),
        };
        let key = |used_for, name: &str| variable(name).map(|key| (used_for, SecretString::from(key)));
        Ok(Self {
            assignment,
            store_url: arguments.store_url.clone(),
            pod_uid: arguments.pod_uid.clone(),
            pod_index: arguments.pod_index.unwrap_or_default(),
            nats,
            webhooks: Webhooks::from_variables(variable),
            revision_dir: arguments.revision_dir.clone(),
            ca_dir: arguments.ca_dir.clone(),
            keys: key(Use::Generate, "TRACKWAY_API_KEY_GENERATE")
                .into_iter()
                .chain(key(Use::Judge, "TRACKWAY_API_KEY_JUDGE"))
                .chain(key(Use::Debug, "TRACKWAY_API_KEY_DEBUG"))
                .collect(),
        })
    }

    /// The mounted revision and its files.
    pub(crate) fn revision(&self) -> anyhow::Result<(Revision, BTreeMap<String, String>)> {
        let folder = self.revision_dir.display();
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&self.revision_dir).with_context(|| format!("revision folder {folder}"))? {
            let entry = entry.with_context(|| format!("revision folder {folder}"))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // A ConfigMap's volume keeps its versions in folders that begin with two dots.
            if name.starts_with("..") || !entry.path().is_file() {
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).with_context(|| format!("revision file {folder}/{name}"))?;
            files.insert(name, text);
        }
        let text = files.remove(REVISION_KEY).with_context(|| format!("revision folder {folder} has no {REVISION_KEY}"))?;
        let revision: Revision = serde_json::from_str(&text).with_context(|| format!("{REVISION_KEY} is no revision"))?;
        Ok((revision, files))
    }

    /// Clients with the keys and certificates of this pod.
    pub(crate) fn models(&self) -> Models {
        let keys = self.keys.clone();
        let folder = self.ca_dir.clone();
        Models::new(move |used_for, model| {
            let file = match used_for {
                Use::Generate => "generate.pem",
                Use::Judge => "judge.pem",
                Use::Debug => "debug.pem",
            };
            Access {
                api_key: keys.iter().find(|(of, _)| *of == used_for).map(|(_, key)| key.clone()),
                ca_bundle_pem: model.ca_bundle_ref.as_ref().and_then(|_| read_bundle(&folder.join(file))),
            }
        })
    }

    /// `text` without the secrets this pod holds.
    pub(crate) fn scrubbed(&self, text: &str) -> String {
        let keys = self.keys.iter().map(|(_, key)| key.expose_secret()).filter(|key| key.len() >= 4);
        keys.fold(self.webhooks.scrubbed(text), |text, key| text.replace(key, "[secret]"))
    }
}

/// The certificates of an endpoint that names some. What keeps them from being read is said here; that they are missing, by the try.
fn read_bundle(file: &Path) -> Option<Vec<u8>> {
    std::fs::read(file).map_err(|error| tracing::error!("certificate authorities {}: {error}", file.display())).ok()
}
