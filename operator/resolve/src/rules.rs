//! The rules that Kubernetes enforces by CEL and list keys, said here so that they hold without a cluster too.

use crate::{
    ask, broadcast,
    fault::{Fault, Faults, Reason},
    for_each, pods,
};
use std::collections::BTreeSet;
use trackway_crds::{
    TrackSpec,
    names::{STAGE_MAX, TRACK_MAX},
    track::{Judge, LabelOperator, Stage},
};

/// Most stages with `forEach`.
const MAX_FAN_OUTS: usize = 2;

/// Checks what a spec says by itself, without prompts and endpoints. Bounds of single fields are
/// [`check_manifest`](crate::check_manifest)'s.
#[must_use]
pub fn check_spec(track_name: &str, spec: &TrackSpec) -> Vec<Fault> {
    let mut faults = Faults::default();
    if track_name.len() > TRACK_MAX {
        let message = format!(
            "{track_name:?} has {} characters; a Track's name has at most {TRACK_MAX}, because the names of its runs and Jobs \
             begin with it: shorten it",
            track_name.len()
        );
        faults.add("metadata.name", Reason::NameTooLong, message);
    }
    label_expressions(spec, &mut faults);
    if let Some(template) = &spec.worker_template {
        pods::check(template, &mut faults);
    }
    unique("spec.models", "role", spec.models.iter().map(|model| model.role.as_str()), Reason::SpecInvalid, &mut faults);
    dimensions("spec.judge", &spec.judge, &mut faults);
    unique("spec.stages", "name", spec.stages.iter().map(|stage| stage.name.as_str()), Reason::DuplicateStage, &mut faults);
    for (index, stage) in spec.stages.iter().enumerate() {
        let path = format!("spec.stages[{index}]");
        check_stage(&path, stage, &mut faults);
        ask::check(stage, &path, &mut faults);
        for_each::check(&spec.stages, index, &path, &mut faults);
        broadcast::check(&spec.stages, index, &path, &mut faults);
    }
    fan_outs(spec, &mut faults);
    faults.into_vec()
}

fn check_stage(path: &str, stage: &Stage, faults: &mut Faults) {
    if stage.name.len() > STAGE_MAX {
        let message =
            format!("{:?} has {} characters; a stage's name has at most {STAGE_MAX}: shorten it", stage.name, stage.name.len());
        faults.add(format!("{path}.name"), Reason::NameTooLong, message);
    }
    let kinds = kinds(stage);
    if kinds.len() != 1 {
        let found = if kinds.is_empty() { "none".to_owned() } else { kinds.join(" and ") };
        let message = format!(
            "stage {:?} has {found}; a stage does exactly one kind of work: give it one of validateContext, generate, container \
             and broadcast",
            stage.name
        );
        faults.add(path, Reason::SpecInvalid, message);
    }
    if let Some(broadcast) = &stage.broadcast {
        let names = broadcast.channels.iter().map(|channel| channel.name.as_str());
        unique(&format!("{path}.broadcast.channels"), "name", names, Reason::SpecInvalid, faults);
    }
    if let Some(judge) = &stage.judge {
        dimensions(&format!("{path}.judge"), judge, faults);
    }
}

fn kinds(stage: &Stage) -> Vec<&'static str> {
    let given = [
        ("validateContext", stage.validate_context.is_some()),
        ("generate", stage.generate.is_some()),
        ("container", stage.container.is_some()),
        ("broadcast", stage.broadcast.is_some()),
    ];
    given.into_iter().filter(|(_, given)| *given).map(|(kind, _)| kind).collect()
}

fn fan_outs(spec: &TrackSpec, faults: &mut Faults) {
    let fan_outs = spec.stages.iter().enumerate().filter(|(_, stage)| stage.for_each.is_some());
    for (index, stage) in fan_outs.skip(MAX_FAN_OUTS) {
        let message = format!(
            "stage {:?} is one too many: at most {MAX_FAN_OUTS} stages may have forEach, because the state of every target is kept \
             in the run's status. Split the track, or do both for one target in one stage",
            stage.name
        );
        faults.add(format!("spec.stages[{index}].forEach"), Reason::SpecInvalid, message);
    }
}

fn dimensions(path: &str, judge: &Judge, faults: &mut Faults) {
    let names = judge.dimensions.iter().map(|dimension| dimension.name.as_str());
    unique(&format!("{path}.dimensions"), "name", names, Reason::SpecInvalid, faults);
}

fn unique<'a>(path: &str, key: &str, names: impl Iterator<Item = &'a str>, reason: Reason, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            let message = format!("{name:?} is there twice: give each its own {key}");
            faults.add(format!("{path}[{index}].{key}"), reason, message);
        }
    }
}

fn label_expressions(spec: &TrackSpec, faults: &mut Faults) {
    let expressions = spec.selector.label_selector.iter().flat_map(|selector| &selector.match_expressions);
    for (index, expression) in expressions.enumerate() {
        let takes_values = matches!(expression.operator, LabelOperator::In | LabelOperator::NotIn);
        if takes_values == expression.values.is_empty() {
            let message = format!(
                "{:?} has {} values: In and NotIn need at least one, Exists and DoesNotExist take none",
                expression.operator,
                expression.values.len()
            );
            let path = format!("spec.selector.labelSelector.matchExpressions[{index}].values");
            faults.add(path, Reason::SpecInvalid, message);
        }
    }
}
