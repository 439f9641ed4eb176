//! A stage that sends: what, what was approved, where to.

use crate::{
    durations::{SECOND, at_least_a_second},
    fault::{Faults, Reason, list},
    lists::entries,
    prompts::Prompts,
};
use trackway_crds::{
    contracts::{ResolvedChannel, ResolvedWork},
    track::{Broadcast, Channel, Stage},
};
use trackway_prompt::Output;
use url::Url;

const DEFAULT_TIMEOUT: u64 = 10 * SECOND;

/// With what the stage before is known to answer; [`check`] has looked at the names.
pub(crate) fn resolve(broadcast: &Broadcast, path: &str, prompts: &Prompts, faults: &mut Faults) -> ResolvedWork {
    let path = format!("{path}.broadcast");
    if let Some(name) = &broadcast.approved_by
        && let Some(output) = prompts.output(name)
        && let Err(why) = approves(output)
    {
        let mend = match output {
            Output::FanOut(_) | Output::Broadcast => "Name a stage that answers so",
            _ => "Give it an outputSchema with these fields",
        };
        let message = format!(
            "stage {name} cannot approve: it must answer {{\"items\": [{{\"key\": string, \"approve\": boolean, \"reason\": \
             string}}]}}, but {why}. {mend}, or leave approvedBy out to send every item"
        );
        faults.add(format!("{path}.approvedBy"), Reason::ApprovalInvalid, message);
    }
    let channels = broadcast.channels.iter().enumerate();
    ResolvedWork::Broadcast {
        items: broadcast.items.clone(),
        approved_by: broadcast.approved_by.clone(),
        channels: channels.map(|(index, given)| channel(&format!("{path}.channels[{index}]"), given, faults)).collect(),
        dry_run: broadcast.dry_run,
    }
}

fn approves(output: &Output) -> Result<(), String> {
    let entries = entries(output, "items")?;
    for (field, wanted) in [("key", "string"), ("approve", "boolean")] {
        match entries.kind_of(field) {
            None => return Err(format!("the entries of items have no field {field}; they have: {}", list(entries.names()))),
            Some(Some(kind)) if kind != wanted => return Err(format!("{field} has type {kind:?}")),
            Some(_) => {}
        }
    }
    Ok(())
}

fn channel(path: &str, given: &Channel, faults: &mut Faults) -> ResolvedChannel {
    let webhook = &given.webhook;
    let path = format!("{path}.webhook");
    if let Err(message) = check_url(&webhook.url) {
        faults.add(format!("{path}.url"), Reason::UrlInvalid, message);
    }
    ResolvedChannel {
        name: given.name.clone(),
        url: webhook.url.clone(),
        signing_secret_ref: webhook.signing_secret_ref.clone(),
        timeout_millis: at_least_a_second(&format!("{path}.timeout"), webhook.timeout.as_ref(), DEFAULT_TIMEOUT, faults),
    }
}

/// The message does not repeat a URL with a password in it: it would be in every log.
fn check_url(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL ({error}): write https://HOST/PATH"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the scheme is {:?}; notices are posted to http:// or https:// URLs", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "a user name or password in a URL would be a secret that everybody who reads the Track knows: leave it out; the \
                    receiver tells us by the signature, whose secret signingSecretRef names"
                .into(),
        );
    }
    Ok(())
}

/// The rules that need no schema: earlier stages, and nothing that a broadcast does not have.
pub(crate) fn check(stages: &[Stage], index: usize, path: &str, faults: &mut Faults) {
    let Some((stage, broadcast)) = stages.get(index).and_then(|stage| Some((stage, stage.broadcast.as_ref()?))) else { return };
    let earlier = || stages.iter().take(index);
    let fan_outs = || earlier().filter(|stage| stage.for_each.is_some()).map(|stage| stage.name.as_str());
    if !fan_outs().any(|name| name == broadcast.items) {
        let message = format!(
            "no stage {} with forEach before this one; there are: {}. Name one of these: its succeeded items are sent",
            broadcast.items,
            list(fan_outs())
        );
        faults.add(format!("{path}.broadcast.items"), Reason::UnknownStage, message);
    }
    if let Some(name) = &broadcast.approved_by
        && !earlier().any(|stage| &stage.name == name)
    {
        let message = format!(
            "no stage {name} before this one; before it come: {}. Name one of these, or leave approvedBy out to send every item",
            list(earlier().map(|stage| stage.name.as_str()))
        );
        faults.add(format!("{path}.broadcast.approvedBy"), Reason::UnknownStage, message);
    }
    let judged = stage.judge.as_ref().is_some_and(|judge| judge.enabled != Some(false));
    if judged {
        let message = "a broadcast is not judged, it sends what was: leave judge out, and judge the stage it sends";
        faults.add(format!("{path}.judge"), Reason::SpecInvalid, message);
    }
}
