//! A stage done once for each target: which list, how many at a time, how many may fail.

use crate::{
    fault::{Faults, Reason, list},
    lists::{Entries, entries},
    prompts::Prompts,
};
use trackway_crds::{
    contracts::{ResolvedForEach, ResolvedRetry},
    ledger::MAX_TRIES,
    track::{ForEach, Retry, Stage},
};
use trackway_prompt::{Output, Target};

const DEFAULT_KEY: &str = "id";
const DEFAULT_MAX_CONCURRENCY: u32 = 40;
const DEFAULT_TARGETS_PER_POD: u32 = 10;

/// A fan-out and what its prompt sees of one target.
pub(crate) struct FanOut {
    pub(crate) resolved: ResolvedForEach,
    pub(crate) target: Target,
}

/// `None` when it has a fault that leaves it without a meaning; [`check_spec`](crate::check_spec) names those that a look at the
/// stages alone finds.
pub(crate) fn resolve(for_each: &ForEach, path: &str, prompts: &Prompts, faults: &mut Faults) -> Option<FanOut> {
    let path = format!("{path}.forEach");
    let (stage, field) = for_each.items.split_once('.')?;
    let output = prompts.output(stage)?;
    let entries = match entries(output, field) {
        Ok(entries) => entries,
        Err(why) => {
            let mend = match output {
                Output::FanOut(_) | Output::Broadcast => "Name".to_owned(),
                _ => format!("Give it an outputSchema in which {field} is an array of objects, or name"),
            };
            let message = format!(
                "{:?}: stage {stage} has no list of objects in {field}, because {why}. {mend} STAGE.FIELD of another stage that \
                 generates, validates context or runs a program",
                for_each.items
            );
            faults.add(format!("{path}.items"), Reason::ListInvalid, message);
            return None;
        }
    };
    let key = for_each.key.as_deref();
    check_key(&format!("{path}.key"), key, &for_each.items, &entries, faults);
    let max_concurrency = for_each.max_concurrency.unwrap_or(DEFAULT_MAX_CONCURRENCY);
    let resolved = ResolvedForEach {
        stage: stage.to_owned(),
        field: field.to_owned(),
        key: key.unwrap_or(DEFAULT_KEY).to_owned(),
        max_concurrency,
        targets_per_pod: for_each.targets_per_pod.unwrap_or(DEFAULT_TARGETS_PER_POD).min(max_concurrency),
        tolerated_failures: for_each.tolerated_failures.unwrap_or_default(),
    };
    Some(FanOut { resolved, target: Target { of: output.clone(), field: field.to_owned() } })
}

/// Entries may lack the default key, and then go by their index; a key that somebody names must be there.
fn check_key(path: &str, given: Option<&str>, items: &str, entries: &Entries<'_>, faults: &mut Faults) {
    let key = given.unwrap_or(DEFAULT_KEY);
    let message = match entries.kind_of(key) {
        None if given.is_some() => format!(
            "the entries of {items} have no field {key}; they have: {}. Name one of these, or leave key out: then an entry's {DEFAULT_KEY}, \
             else its index, is its key",
            list(entries.names())
        ),
        Some(Some(kind)) if !["string", "integer", "number"].contains(&kind) => {
            format!("{key} of {items} has type {kind:?}; a key is a text or a number: name another field")
        }
        _ => return,
    };
    faults.add(path, Reason::ListInvalid, message);
}

/// The rules that need no schema: an earlier stage, and no more targets in a pod than at a time.
pub(crate) fn check(stages: &[Stage], index: usize, path: &str, faults: &mut Faults) {
    let Some((stage, for_each)) = stages.get(index).and_then(|stage| Some((stage, stage.for_each.as_ref()?))) else { return };
    if stage.generate.is_none() {
        let message = "only a stage that generates can be done for each target: leave forEach out, or give the stage generate";
        faults.add(format!("{path}.forEach"), Reason::SpecInvalid, message);
    }
    let earlier = || stages.iter().take(index).map(|stage| stage.name.as_str());
    let named = for_each.items.split_once('.').filter(|(_, field)| !field.is_empty() && !field.contains('.'));
    match named {
        None => {
            faults.add(format!("{path}.forEach.items"), Reason::ListInvalid, not_a_list(&for_each.items));
        }
        Some((source, _)) if !earlier().any(|earlier| earlier == source) => {
            let message = format!(
                "{:?}: no stage {source} before this one; before it come: {}. Name one of these, as STAGE.FIELD",
                for_each.items,
                list(earlier())
            );
            faults.add(format!("{path}.forEach.items"), Reason::ListInvalid, message);
        }
        Some(_) => {}
    }
    let most = for_each.max_concurrency.unwrap_or(DEFAULT_MAX_CONCURRENCY);
    if let Some(per_pod) = for_each.targets_per_pod.filter(|per_pod| *per_pod > most) {
        let message = format!(
            "{per_pod} targets in one pod are more than maxConcurrency, {most}, allows at a time: make targetsPerPod smaller or \
             maxConcurrency larger"
        );
        faults.add(format!("{path}.forEach.targetsPerPod"), Reason::SpecInvalid, message);
    }
}

pub(crate) fn not_a_list(items: &str) -> String {
    format!("{items:?} is not STAGE.FIELD: name an earlier stage and a field of its output, for example solutions.targets")
}

/// A target's failures are counted in three bits each.
pub(crate) fn check_budgets(
    resolved: &ResolvedRetry,
    track: Option<&Retry>,
    stage: Option<&Retry>,
    path: &str,
    faults: &mut Faults,
) {
    type Given = fn(&Retry) -> Option<u32>;
    let budgets: [(&str, u32, Given); 3] = [
        ("infrastructure", resolved.infrastructure_max_tries, |retry| retry.infrastructure.as_ref()?.max_tries),
        ("model", resolved.model_max_tries, |retry| retry.model.as_ref()?.max_tries),
        ("judge", resolved.judge_max_tries, |retry| retry.judge.as_ref()?.max_tries),
    ];
    for (class, tries, given) in budgets {
        if tries > MAX_TRIES {
            let own = stage.and_then(given).is_some() || track.and_then(given).is_none();
            let owner = if own { path } else { "spec" };
            let hint = if own { String::new() } else { format!(", or give {path}.retry.{class}.maxTries a smaller one") };
            let message = format!(
                "{tries} is too much for {path}, which has forEach: each of its targets counts up to {MAX_TRIES} failures of a class. Write {MAX_TRIES} or \
                 less{hint}"
            );
            faults.add(format!("{owner}.retry.{class}.maxTries"), Reason::SpecInvalid, message);
        }
    }
}
