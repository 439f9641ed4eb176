//! The judge of a stage: the track's, replaced field by field by the stage's own.

use crate::fault::{Faults, Reason};
use trackway_crds::{
    Score,
    contracts::{ResolvedDimension, ResolvedJudge, ResolvedModel},
    track::{Dimension, Judge},
};

const DEFAULT_THRESHOLD: u16 = 700;

/// What the stage at `stage_path` is judged by before its model is looked up.
pub(crate) struct Merged<'a> {
    /// Role of the model and where it was given.
    pub(crate) model: (&'a str, String),
    threshold: Score,
    dimensions: &'a [Dimension],
}

impl Merged<'_> {
    pub(crate) fn resolved(&self, model: ResolvedModel) -> ResolvedJudge {
        ResolvedJudge { model, threshold: self.threshold, dimensions: self.dimensions.iter().map(dimension).collect() }
    }
}

/// `None` without a judge: switched off, or incomplete, which is a fault.
pub(crate) fn merge<'a>(track: &'a Judge, stage: Option<&'a Judge>, stage_path: &str, faults: &mut Faults) -> Option<Merged<'a>> {
    let enabled = stage.and_then(|judge| judge.enabled).or(track.enabled).unwrap_or(true);
    if !enabled {
        return None;
    }
    let own_path = format!("{stage_path}.judge");
    let stage_model = stage.and_then(|judge| judge.model.as_deref()).map(|role| (role, format!("{own_path}.model")));
    let model = stage_model.or_else(|| Some((track.model.as_deref()?, "spec.judge.model".to_owned())));
    let own_dimensions = stage.map(|judge| judge.dimensions.as_slice()).filter(|dimensions| !dimensions.is_empty());
    let dimensions = own_dimensions.unwrap_or(&track.dimensions);

    let path = if stage.is_some() { own_path } else { "spec.judge".to_owned() };
    let mut missing = |what: &str, example: &str| {
        let message = format!(
            "the judge has no {what}: give it {example} here or in spec.judge, or write `judge: {{enabled: false}}` in the stage"
        );
        faults.add(path.clone(), Reason::JudgeIncomplete, message);
    };
    if model.is_none() {
        missing("model", "a role of spec.models (`model: critic`)");
    }
    if dimensions.is_empty() {
        missing("dimensions", "at least one (`dimensions: [{name: relevance, criterion: \"…\"}]`)");
        return None;
    }
    let threshold = stage.and_then(|judge| judge.threshold).or(track.threshold);
    let threshold = threshold.unwrap_or(Score::from_thousandths(DEFAULT_THRESHOLD));
    Some(Merged { model: model?, threshold, dimensions })
}

fn dimension(given: &Dimension) -> ResolvedDimension {
    ResolvedDimension {
        name: given.name.clone(),
        weight: given.weight.unwrap_or(1),
        minimum: given.minimum.unwrap_or_default(),
        criterion: given.criterion.clone(),
    }
}
