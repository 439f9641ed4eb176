//! How a context validation asks for what is missing.

use crate::{
    durations::{HOUR, at_least_a_second},
    fault::{Faults, Reason},
};
use trackway_crds::{
    GoDuration,
    contracts::ResolvedAsk,
    track::{Limits, OnMissing, Stage, ValidateContext},
};

const DEFAULT_DEADLINE: u64 = 168 * HOUR;

/// The twin of the API server's rule.
pub(crate) fn check(stage: &Stage, path: &str, faults: &mut Faults) {
    let Some(context) = stage.validate_context.as_ref().filter(|context| context.on_missing != OnMissing::Ask) else { return };
    let given = [("answerWithin", context.answer_within.is_some()), ("onTimeout", context.on_timeout.is_some())];
    for (field, _) in given.into_iter().filter(|(_, given)| *given) {
        let message =
            format!("{field} is about questions, and onMissing is {:?}: leave it out, or set onMissing: Ask", context.on_missing);
        faults.add(format!("{path}.validateContext.{field}"), Reason::SpecInvalid, message);
    }
}

/// `None` when nobody is asked.
pub(crate) fn resolve(
    context: &ValidateContext,
    limits: Option<&Limits>,
    path: &str,
    faults: &mut Faults,
) -> Option<ResolvedAsk> {
    if context.on_missing != OnMissing::Ask {
        return None;
    }
    let path = format!("{path}.answerWithin");
    let given = context.answer_within.as_ref();
    let answer_within_millis = at_least_a_second(&path, given, 72 * HOUR, faults);
    let deadline = limits.and_then(|limits| limits.deadline.as_ref());
    // A shorter deadline beside the default is its author's wish; beside a written answerWithin one of the two is a mistake.
    if let Some(given) = given.filter(|_| answer_within_millis >= deadline.map_or(DEFAULT_DEADLINE, GoDuration::millis)) {
        let deadline = deadline.map_or_else(|| "168h".to_owned(), ToString::to_string);
        let message = format!(
            "{given} is not shorter than limits.deadline ({deadline}), which ends a run also while it waits: shorten it, or raise the \
             deadline"
        );
        faults.add(path, Reason::BadDuration, message);
    }
    Some(ResolvedAsk { answer_within_millis, on_timeout: context.on_timeout.unwrap_or_default() })
}
