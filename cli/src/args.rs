//! The command line.

use crate::screen::Format;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use trackway_crds::track::{Level, Priority};

/// Trackway: AI-written messages from batches of events, one workflow per batch, on Kubernetes.
///
/// `lint` and `simulate` need no cluster; everything else uses your kubeconfig, as kubectl does. The same program is called
/// `trackway` and, as a plugin of kubectl, `kubectl trackway`.
#[derive(Debug, Parser)]
#[command(name = "trackway", version, max_term_width = 120, propagate_version = true)]
#[command(after_help = "Exit codes: 0 all well; 1 the thing looked at failed (a run, a track); 2 wrong usage, or out of reach.")]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Namespace; default: the one of the kubeconfig's context.
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Context of the kubeconfig; default: the current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// For whom the output is.
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what is wrong with Tracks, prompts and schemas, with file and line, before anything is applied.
    #[command(after_help = "Example:\n  trackway lint -f tracks/churn.yaml -f prompts/")]
    Lint(LintArgs),
    /// Run a Track on this machine, without a cluster: the same engine, your model server, a picture at the end. Notices are
    /// not sent.
    #[command(
        after_help = "Examples:\n  trackway simulate -f tracks/churn.yaml -f prompts/ --batch events.jsonl --llm-url http://localhost:8000/v1\n  trackway simulate -f tracks --batch events.jsonl --container pii-scan=scanned.json   # in place of its image"
    )]
    Simulate(SimulateArgs),
    /// Show a run as a picture: stages, attempts, scores, and where the time went.
    #[command(
        after_help = "Examples:\n  kubectl trackway tree admin-b7k2f9q1\n  kubectl trackway tree admin-b7k2f9q1 --all   # every attempt, every target\n  kubectl trackway tree admin-b7k2f9q1 -o json | jq '.stages[].targets.targets[]? | select(.phase == \"Failed\")'"
    )]
    Tree(TreeArgs),
    /// Print what a stage or one of its targets wrote, was given, or was judged.
    #[command(
        after_help = "Examples:\n  kubectl trackway output admin-b7k2f9q1 insights --attempt 1 --verdict\n  kubectl trackway output admin-b7k2f9q1 notices -o json               # all targets, failures included\n  kubectl trackway output admin-b7k2f9q1 notices/hello-world --input   # one, by key or index\n  kubectl trackway output admin-b7k2f9q1 broadcast                     # what became of each notice"
    )]
    Output(OutputArgs),
    /// Explain why a run or a target failed, or why a stage was tried again.
    #[command(
        after_help = "Examples:\n  kubectl trackway why admin-b7k2f9q1\n  kubectl trackway why admin-b7k2f9q1 insights\n  kubectl trackway why admin-b7k2f9q1 notices/hello-world   # one target, by key or index"
    )]
    Why(WhyArgs),
    /// Show what the debugger found out about a failed run, or print its prompt to go on with in any assistant.
    #[command(
        after_help = "Examples:\n  kubectl trackway diagnosis admin-b7k2f9q1\n  kubectl trackway diagnosis admin-b7k2f9q1 --prompt | xclip -selection clipboard"
    )]
    Diagnosis(DiagnosisArgs),
    /// Follow runs live, one line per change, until they have ended.
    #[command(after_help = "Example:\n  kubectl trackway watch --batch b7k2f9q1")]
    Watch(WatchArgs),
    /// Make a batch of events and hand it to the cluster.
    #[command(
        after_help = "Example:\n  kubectl trackway submit --tenant octo-org --priority High --events examples/events --watch"
    )]
    Submit(SubmitArgs),
    /// Try out a source of events: what a request would become, and what its batches would still need.
    Source(SourceArgs),
    /// Look at messages nobody could handle, and send them again.
    #[command(
        after_help = "Examples:\n  kubectl trackway dlq list\n  kubectl trackway dlq show 17\n  kubectl trackway dlq replay 17 18   # or --all"
    )]
    Dlq(DlqArgs),
}

/// Options of `lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    /// YAML files, prompts and schemas, or folders of them. Prompts are found in a ConfigMap, in a kustomization's
    /// configMapGenerator, or as plain files under their own names.
    #[arg(short, long = "file", required = true, value_name = "FILE_OR_DIR", num_args = 1..)]
    pub files: Vec<PathBuf>,
    /// Endpoints that are not among the files are faults, also when no ModelEndpoint is.
    #[arg(long)]
    pub strict_endpoints: bool,
}

/// Options of `tree`.
#[derive(Debug, Args)]
pub struct TreeArgs {
    /// Name of the run.
    pub run: String,
    /// Every attempt that is on record, each with its scores, and every target of a fan-out.
    #[arg(long)]
    pub all: bool,
    /// Phases as words beside the signs.
    #[arg(long)]
    pub wide: bool,
    /// How the store is reached, for what the status does not hold: keys of targets, what became of notices.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// Options of `output`.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Name of the run.
    pub run: String,
    /// Name of the stage; in a fan-out with the key or index of a target behind a slash, for one of them.
    #[arg(value_name = "STAGE[/TARGET]")]
    pub stage: String,
    /// Attempt, from 1; default: the accepted one, else the last.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub attempt: Option<u32>,
    /// What the model was given, instead of what it wrote.
    #[arg(long, group = "kind")]
    pub input: bool,
    /// What the judge said.
    #[arg(long, group = "kind")]
    pub verdict: bool,
    /// Models, tokens and calls of the attempt.
    #[arg(long, group = "kind")]
    pub record: bool,
    /// How the store is reached.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// Options of `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Name of the run.
    pub run: String,
    /// Name of a stage, or of a target by its key or index; default: the stage that failed, else those that were tried again.
    #[arg(value_name = "STAGE[/TARGET]")]
    pub stage: Option<String>,
    /// How the store is reached, for quotes of the diagnosis and for what the judge said of a target.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// Options of `diagnosis`.
#[derive(Debug, Args)]
pub struct DiagnosisArgs {
    /// Name of the run.
    pub run: String,
    /// Only the prompt, which is complete by itself: for somebody who knows nothing else.
    #[arg(long)]
    pub prompt: bool,
    /// How the store is reached.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// Options of `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Names of runs.
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    pub runs: Vec<String>,
    /// All runs of this batch instead; may be given several times.
    #[arg(long, value_name = "ID")]
    pub batch: Vec<String>,
}

/// Options of `submit`.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// Events: JSON lines, a JSON file with one event or a list, or a folder of such files. An event is
    /// `{id, source, type, time, subject, priority, data}`, of which only `data` is needed; anything else is taken as
    /// the data of an event, for example a GitHub webhook payload.
    #[arg(long, required = true, value_name = "FILE_OR_DIR", num_args = 1..)]
    pub events: Vec<PathBuf>,
    /// Whose events these are.
    #[arg(long, value_name = "NAME")]
    pub tenant: String,
    /// About whom and how urgent.
    #[command(flatten)]
    pub batch: BatchArgs,
    /// How store and NATS are reached.
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Follow the runs of the batch until they have ended.
    #[arg(long)]
    pub watch: bool,
}

/// What to do with a source.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: SourceVerb,
}

/// What to do with a source.
#[derive(Debug, Subcommand)]
pub enum SourceVerb {
    /// Say what a request would become: tenant, user, type, priority, labels, batches. Nothing is sent, no signature is checked.
    #[command(
        after_help = "Examples:\n  kubectl trackway source try github -f push.json -H 'X-GitHub-Event: push'\n  trackway source try github -f push.json -H 'X-GitHub-Event: push' --config ingest.yaml   # without a cluster"
    )]
    Try(SourceTryArgs),
}

/// Options of `source try`.
#[derive(Debug, Args)]
pub struct SourceTryArgs {
    /// Id of the source.
    pub id: String,
    /// The request's body.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// A header of the request; may be given several times.
    #[arg(short = 'H', long = "header", value_parser = header, value_name = "NAME: VALUE")]
    pub headers: Vec<(String, String)>,
    /// Whose credential was used; default: the source's first.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Configuration of ingest; default: the cluster's, from the ConfigMap of the release in this namespace.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Options of `dlq`.
#[derive(Debug, Args)]
pub struct DlqArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: DlqVerb,
    /// How NATS is reached. It takes the client of the release's namespace.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqVerb {
    /// List them, oldest first.
    List {
        /// Only those after this one.
        #[arg(long, default_value_t = 0, value_name = "ID")]
        after: u64,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Print one: why and where from, and the message as it was.
    Show {
        /// Its id, as `list` shows it.
        id: u64,
    },
    /// Send messages again to all who read their stream, and throw the letters away. Mend the cause first.
    Replay {
        /// Ids, as `list` shows them.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<u64>,
        /// All there are now.
        #[arg(long)]
        all: bool,
    },
}

/// Options of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// YAML files, prompts and schemas, or folders of them, as for `lint`.
    #[arg(short, long = "file", required = true, value_name = "FILE_OR_DIR", num_args = 1..)]
    pub files: Vec<PathBuf>,
    /// A batch document, or events as `submit` takes them.
    #[arg(long, required = true, value_name = "FILE_OR_DIR", num_args = 1..)]
    pub batch: Vec<PathBuf>,
    /// Only this Track; default: every one among the files that would take the batch.
    #[arg(long, value_name = "NAME")]
    pub track: Option<String>,
    /// Server that speaks the OpenAI API, in place of every endpoint; default: those of the ModelEndpoints among the files.
    #[arg(long, env = "TRACKWAY_LLM_URL", value_name = "URL")]
    pub llm_url: Option<String>,
    /// Model to use in place of every role's.
    #[arg(long, env = "TRACKWAY_LLM_MODEL", value_name = "NAME")]
    pub llm_model: Option<String>,
    /// API key of the server; better as an environment variable, because other users of this machine can read a command line.
    #[arg(long, env = "TRACKWAY_LLM_KEY", hide_env_values = true, value_name = "KEY")]
    pub llm_key: Option<Password>,
    /// What the program of a stage would write, as a JSON file, because images cannot be run here; once for each such stage.
    #[arg(long = "container", value_parser = container, value_name = "STAGE=FILE")]
    pub containers: Vec<(String, PathBuf)>,
    /// What the tenant has answered before, as a JSON file: an object of question ids and answers. Prompts see it in `context`; without it
    /// a track that asks stops at its questions.
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// Keep inputs, outputs, verdicts and records in this folder.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Whose events these are.
    #[arg(long, default_value = "simulated", value_name = "NAME")]
    pub tenant: String,
    /// About whom and how urgent, when --batch names events.
    #[command(flatten)]
    pub order: BatchArgs,
    /// Every attempt that is on record, each with its scores.
    #[arg(long)]
    pub all: bool,
    /// Phases as words beside the signs.
    #[arg(long)]
    pub wide: bool,
}

/// About whom a batch is, and how urgent.
#[derive(Debug, Args)]
pub struct BatchArgs {
    /// Tenant or User: all events of the tenant, or those of one user.
    #[arg(long, value_parser = level, default_value = "Tenant", value_name = "LEVEL")]
    pub level: Level,
    /// The user's id; default: the tenant.
    #[arg(long, required_if_eq("level", "User"), value_name = "ID")]
    pub subject: Option<String>,
    /// High, Medium or Low.
    #[arg(long, value_parser = priority, default_value = "Medium", value_name = "PRIORITY")]
    pub priority: Priority,
    /// What Tracks select by, up to 16.
    #[arg(long = "label", value_parser = label, value_name = "KEY=VALUE")]
    pub labels: Vec<(String, String)>,
    /// Id of the batch; default: made from its content and the time.
    #[arg(long, value_name = "ID")]
    pub batch_id: Option<String>,
}

/// How the payload store and NATS are reached. What is left out is read from the ConfigMap and Secret `trackway-client`.
#[derive(Debug, Default, Args)]
pub struct ReachArgs {
    /// Payload store: `nats://`, `s3://BUCKET/PREFIX?endpoint=…` or `file:///PATH`.
    #[arg(long, env = "TRACKWAY_STORE_URL", value_name = "URL")]
    pub store_url: Option<String>,
    /// NATS server, reached directly; without it, through a port-forward.
    #[arg(long, env = "TRACKWAY_NATS_URL", value_name = "URL")]
    pub nats_url: Option<String>,
    /// NATS user.
    #[arg(long, env = "TRACKWAY_NATS_USER", value_name = "NAME")]
    pub nats_user: Option<String>,
    /// Its password; better as an environment variable, because other users of this machine can read a command line.
    #[arg(long, env = "TRACKWAY_NATS_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub nats_password: Option<Password>,
}

/// A password that does not show.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// The password itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

fn level(text: &str) -> Result<Level, String> {
    [Level::Tenant, Level::User]
        .into_iter()
        .find(|level| level.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| "use Tenant or User".to_owned())
}

fn priority(text: &str) -> Result<Priority, String> {
    [Priority::High, Priority::Medium, Priority::Low]
        .into_iter()
        .find(|priority| priority.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| "use High, Medium or Low".to_owned())
}

fn container(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((stage, file)) if !stage.is_empty() && !file.is_empty() => Ok((stage.to_owned(), PathBuf::from(file))),
        _ => Err("write it as STAGE=FILE".to_owned()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned())),
        _ => Err("write it as 'NAME: VALUE'".to_owned()),
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}
