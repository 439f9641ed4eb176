//! Sending notices.
//!
//! ```text
//! whole output of the fan-out ─▶ approvals ─▶ create name `input` ─▶ name `output` there? adopt :
//!    each succeeded, approved item on each channel, 16 at a time:
//!       name `delivery` there? adopt : send, repeating what passes ─▶ create name `delivery`
//!    ─▶ create name `output` ─▶ create name `record` ─▶ StageResult
//! ```
//!
//! What is on record is not sent again. A crash between sending and recording sends again, under the same id (invariant 12).

mod approvals;
mod deliver;
mod notice;
mod plan;
mod webhooks;

use serde_json::json;
use tokio::time::Instant;
use trackway_crds::{
    contracts::{
        BroadcastCounts, BroadcastOutput, CONTRACT, Delivery, DeliveryPhase, NameKind, Reference, ResolvedStage, StageInput,
        StageResult, StoredVerdict,
    },
    names::sha256_hex,
};
use trackway_prompt::Rendered;

use crate::{
    AttemptJob,
    attempt::{Made, adopted, judge_output, kept, stage_of},
    calls::Calls,
    conclude::conclude,
    failure::{Failure, Step},
    job::{Env, Task},
    load::{Loaded, load},
    report::Report,
    stored::Stored,
};
use deliver::Post;
use notice::Sender;
use plan::{Ordered, Plan};

pub use webhooks::Webhooks;

/// Sends the notices of `job`'s stage to their result. Never fails: what goes wrong is a result of phase `Error`. Safe to run
/// again and beside itself.
pub(crate) async fn broadcast(job: &AttemptJob, env: Env<'_>) -> StageResult {
    let mut report = Report::default();
    let task = Task::of(job);
    let outcome = run(task, env, &mut report).await;
    conclude(task, env, report, outcome).await
}

async fn run(task: Task<'_>, env: Env<'_>, report: &mut Report) -> Step<Option<StoredVerdict>> {
    let job = task.job;
    let stage = stage_of(job)?;
    let ordered = Ordered::of(stage)?;
    let stored = Stored::new(env.store, task)?;
    let loaded = load(job, env.store).await?;
    let plan = Plan::make(&ordered, &loaded)?;
    let hash = request_hash(job, stage, &ordered, &loaded);
    let (input, told) = store_input(task, env, &plan, &loaded, &stored, &hash).await?;
    report.input = Some(input.clone());
    let (output, reference) = match adopted(&hash, &stored).await? {
        Some(found) => found,
        None => {
            let clients = env.outside.webhooks.clients(ordered.channels, ordered.dry_run)?;
            let sender = Sender {
                assignment: &job.assignment,
                track: &job.revision.track,
                audience: &job.revision.audience,
                time: plan::time_of(&told).unwrap_or_else(env.clock),
            };
            let started = Instant::now();
            let post = Post { clients: clients.as_deref(), sender, stored: &stored, deadline: job.deadline, clock: env.clock };
            let deliveries = post.deliver(&ordered, &plan).await;
            report.worked(started.elapsed());
            kept(json!(output_of(deliveries?)), &hash, &stored).await?
        }
    };
    report.output = Some(reference.clone());
    let sent: BroadcastOutput = serde_json::from_value(output.clone())
        .map_err(|error| Failure::permanent("PayloadInvalid", format!("the stored output is no broadcast's: {error}")))?;
    not_all_refused(stage, &sent)?;
    let asked = Rendered { system: None, user: told };
    let made = Made {
        prompt_sha256: &sha256_hex(asked.user.as_bytes()),
        asked: &asked,
        loaded: &loaded,
        input,
        output: &output,
        reference,
    };
    judge_output(stage, task, made, &stored, &Calls::new(env, task), report).await
}

/// What makes two broadcasts the same: what is sent, what was approved, and where to.
fn request_hash(job: &AttemptJob, stage: &ResolvedStage, ordered: &Ordered<'_>, loaded: &Loaded) -> String {
    let reference = |stage: &str| loaded.references.get(stage);
    let request = json!({
        "revision": job.assignment.revision, "stage": stage.name, "items": reference(ordered.items),
        "approvals": ordered.approved_by.map(reference), "channels": ordered.channels, "dryRun": ordered.dry_run,
    });
    sha256_hex(request.to_string().as_bytes())
}

/// Stores what is about to be sent. Returns the text of the first pod's input: it holds the time all its notices carry.
async fn store_input(
    task: Task<'_>,
    env: Env<'_>,
    plan: &Plan<'_>,
    loaded: &Loaded,
    stored: &Stored<'_>,
    hash: &str,
) -> Step<(Reference, String)> {
    let input = StageInput {
        contract: CONTRACT,
        batch: task.job.assignment.batch.input.clone(),
        stages: loaded.references.clone(),
        target: None,
        feedback: None,
        context: std::collections::BTreeMap::new(),
        retrieved: Vec::new(),
        system: None,
        user: plan.told((env.clock)()),
    };
    let reference = stored.put_json("the stage's input", &input).await?;
    let named = stored.claim(NameKind::Input, reference.clone(), Some(hash)).await?;
    if named == reference {
        return Ok((named, input.user));
    }
    let first: StageInput = stored.read("the stage's input", &named).await?;
    Ok((named, first.user))
}

fn output_of(deliveries: Vec<Delivery>) -> BroadcastOutput {
    let count = |phase| {
        let of_phase = deliveries.iter().filter(|delivery| delivery.phase == phase).count();
        u32::try_from(of_phase).unwrap_or(u32::MAX)
    };
    let counts = BroadcastCounts {
        delivered: count(DeliveryPhase::Delivered),
        refused: count(DeliveryPhase::Refused),
        withheld: count(DeliveryPhase::Withheld),
        dry_run: count(DeliveryPhase::DryRun),
    };
    BroadcastOutput { deliveries, counts }
}

/// Some recipients may refuse theirs; when nobody took anything, the channel is wrong.
fn not_all_refused(stage: &ResolvedStage, output: &BroadcastOutput) -> Step<()> {
    let BroadcastOutput { deliveries, counts } = output;
    if counts.delivered > 0 || counts.refused == 0 {
        return Ok(());
    }
    let refused = deliveries.iter().filter(|delivery| delivery.phase == DeliveryPhase::Refused);
    let mut said: Vec<String> = refused
        .map(|delivery| match delivery.status {
            Some(status) => format!("channel {} answered {status}", delivery.channel),
            None => format!("channel {} took nothing", delivery.channel),
        })
        .collect();
    said.sort();
    said.dedup();
    said.truncate(4);
    let message = format!(
        "stage {}: all {} notices were refused: {}; check the url of the channel and its signing secret",
        stage.name,
        counts.refused,
        said.join(", ")
    );
    Err(Failure::permanent("BroadcastRefused", message))
}
