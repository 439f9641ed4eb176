//! What happens when things are missing and the tenant is to be asked: the run waits for a questionnaire without a pod and without its
//! active clock, until it is answered or nobody has in time. A round of questions is an attempt, because what is asked with the
//! answers is another request; it uses up no budget.

use crate::{
    decide,
    events::EventReason,
    observed::QuestionnaireView,
    open::idle_millis,
    plan::{Asking, Draft},
    timing::{later, pause_clock},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackway_crds::{
    contracts::{ErrorClass, Question, ResolvedAsk, Revision},
    duration::for_people,
    names,
    status::{AskedStatus, Phase, StageStatus, Verdict},
    track::OnTimeout,
};

/// Rounds of questions of one stage.
pub(crate) const MAX_ROUNDS: u32 = 3;
/// While it is not known whether a questionnaire is answered, it is looked at again after so long.
const UNKNOWN_PAUSE_MILLIS: u64 = 1_000;
/// The reason a run waits, and of its Event.
const WAITING: &str = "WaitingForContext";

/// Rounds of questions the stage has had.
pub(crate) fn rounds(stage: &StageStatus) -> u32 {
    stage.questionnaire.as_ref().map_or(0, |asked| asked.round)
}

/// The last attempt of the stage at `index` found gaps: the tenant is asked about them.
pub(crate) fn ask(draft: &mut Draft<'_>, index: usize, ask: ResolvedAsk, questions: Vec<Question>) {
    let batch = &draft.run.spec.batch;
    let schemas: Vec<String> = questions.iter().map(|question| question.answer.to_string()).collect();
    let parts = questions.iter().zip(&schemas);
    let parts: Vec<_> = parts.map(|(of, schema)| (of.id.as_str(), of.question.as_str(), schema.as_str())).collect();
    let name = names::questionnaire_name(&batch.tenant, &batch.subject, &parts);
    if let Some(refusal) = draft.observed.refusal.as_ref().filter(|refusal| refusal.name == name) {
        let message = format!("Questionnaire {name} cannot be made: {}", refusal.message);
        return decide::fail_stage(draft, index, None, ErrorClass::Permanent, "QuestionnaireRefused", &message);
    }
    let expires_at = later(draft.now, ask.answer_within_millis);
    let asked = u32::try_from(questions.len()).unwrap_or(u32::MAX);
    let stage = &mut draft.status.stages[index];
    let round = rounds(stage) + 1;
    stage.questionnaire =
        Some(AskedStatus { name: name.clone(), asked, round, expires_at: MicroTime(expires_at), answered_at: None });
    let stage = stage.name.clone();
    let counted = if asked == 1 { "1 question".to_owned() } else { format!("{asked} questions") };
    let note = format!(
        "{stage}: {counted} in questionnaire {name}, round {round} of {MAX_ROUNDS}; waits for {} at most",
        for_people(ask.answer_within_millis)
    );
    draft.out.why.push(note.clone());
    draft.event(EventReason::WaitingForContext, format!("{stage}/{round}"), note);
    draft.out.ask = Some(Asking { name, questions, expires_at });
}

/// Concludes a wait that nobody has ended in time. An answer that nobody here knows of yet still counts.
pub(crate) fn conclude(draft: &mut Draft<'_>, revision: &Revision) {
    let waits = draft.status.stages.iter().enumerate().find_map(|(index, stage)| Some((index, stage.waits_for()?.clone())));
    let Some((index, asked)) = waits else { return };
    if draft.run.spec.suspend || draft.observed.questionnaire != QuestionnaireView::Open || draft.now < asked.expires_at.0 {
        return;
    }
    let Some(ask) = revision.stage(&draft.status.stages[index].name).and_then(|stage| stage.asks()) else { return };
    let idle = idle_millis(draft);
    draft.status.stages[index].millis.waiting += idle;
    let message = format!("nobody answered questionnaire {} within {}", asked.name, for_people(ask.answer_within_millis));
    give_up(draft, revision, index, ask.on_timeout, &message);
}

/// Goes on without the answers, or not.
pub(crate) fn give_up(draft: &mut Draft<'_>, revision: &Revision, index: usize, on_timeout: OnTimeout, message: &str) {
    let stage = &mut draft.status.stages[index];
    let judged = revision.stage(&stage.name).is_some_and(|stage| stage.judge.is_some());
    if let Some(last) = stage.attempts.last_mut().filter(|last| last.verdict == Some(Verdict::Ask)) {
        last.verdict = Some(Verdict::Advance);
        stage.used.quality += u32::from(judged);
    }
    let action = format!("{}/{}", stage.name, rounds(stage));
    match on_timeout {
        OnTimeout::Fail => {
            let message = format!("{message} (onTimeout: Fail)");
            decide::fail_stage(draft, index, None, ErrorClass::Permanent, "ContextTimeout", &message);
        }
        OnTimeout::Proceed => {
            let note = format!("{}: {message}; goes on with the gaps on record (onTimeout: Proceed)", stage.name);
            draft.out.why.push(note.clone());
            draft.event(EventReason::Resumed, action, note);
            decide::accept(draft, index);
        }
    }
}

/// Whether the run waits for answers; if it has them, the stage may be done again.
pub(crate) fn hold(draft: &mut Draft<'_>, revision: &Revision) -> bool {
    let stages = &mut draft.status.stages;
    let Some(stage) = stages.iter_mut().find(|stage| stage.waits_for().is_some()) else { return false };
    let name = stage.name.clone();
    let Some(asked) = stage.questionnaire.as_mut() else { return false };
    let just_asked = draft.out.ask.is_some();
    if let (QuestionnaireView::Answered(at), false) = (draft.observed.questionnaire, just_asked) {
        asked.answered_at = Some(MicroTime(at));
        let note = format!("{name}: questionnaire {} is answered, the stage is done again with the answers", asked.name);
        let action = format!("{name}/{}", asked.round);
        draft.out.why.push(note.clone());
        draft.event(EventReason::Resumed, action, note);
        return false;
    }
    let asked = asked.clone();
    let unknown = draft.observed.questionnaire == QuestionnaireView::Unknown && !just_asked;
    if unknown || draft.now >= asked.expires_at.0 {
        draft.wake_at.push(later(draft.now, UNKNOWN_PAUSE_MILLIS));
    } else {
        draft.wake_at.push(asked.expires_at.0);
    }
    let until = Timestamp::from_second(asked.expires_at.0.as_second()).unwrap_or(asked.expires_at.0);
    let message = format!("waits for the tenant's answers to questionnaire {}, until {until}", asked.name);
    if !just_asked {
        draft.out.why.push(if unknown { format!("{message}; whether it is answered is not known now") } else { message.clone() });
    }
    pause_clock(&mut draft.status, revision.limits.active_deadline_millis, draft.now);
    draft.enter(Phase::WaitingForContext, WAITING, &message);
    true
}
