//! One stage after the other: what a prompt may name depends on the stages before it.

use crate::{
    durations::{MINUTE, SECOND, at_least_a_second},
    fault::{Faults, Reason, list},
    judge,
    prompts::Prompts,
    retry, schema,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use trackway_crds::{
    ModelEndpointSpec, TrackSpec,
    contracts::{ResolvedModel, ResolvedStage, ResolvedWork},
    track::{ModelRole, Stage},
};
use trackway_prompt::context_answer_schema;

/// Everything stages are resolved against.
pub(crate) struct Stages<'a> {
    spec: &'a TrackSpec,
    models: BTreeMap<&'a str, Option<ResolvedModel>>,
    files: &'a BTreeMap<String, String>,
    source: String,
    prompts: Prompts,
    used: BTreeSet<String>,
    faults: &'a mut Faults,
}

/// Makes the work of a model and its prompt.
type Kind = Box<dyn FnOnce(Box<ResolvedModel>, String) -> ResolvedWork>;

/// The parts `generate` and `validateContext` have in common.
struct Work<'a> {
    path: String,
    prompt: &'a str,
    model: Option<&'a str>,
    vars: &'a BTreeMap<String, Value>,
    resolved: Kind,
    output: Option<Value>,
}

impl<'a> Stages<'a> {
    pub(crate) fn new(
        spec: &'a TrackSpec,
        endpoints: &BTreeMap<String, ModelEndpointSpec>,
        files: &'a BTreeMap<String, String>,
        faults: &'a mut Faults,
    ) -> Self {
        let mut models = BTreeMap::new();
        for (index, role) in spec.models.iter().enumerate() {
            models.entry(role.role.as_str()).or_insert(model(index, role, endpoints, faults));
        }
        let source = format!("ConfigMap {}", spec.prompts_from.config_map_ref.name);
        Self { spec, models, files, source, prompts: Prompts::default(), used: BTreeSet::new(), faults }
    }

    /// `None` when the stage has a fault that leaves it without a meaning.
    pub(crate) fn resolve(&mut self, index: usize, stage: &'a Stage) -> Option<ResolvedStage> {
        let path = format!("spec.stages[{index}]");
        let work = self.work(&path, stage)?;
        self.check_prompt(&work);
        self.prompts.stage_done(&stage.name, work.output.clone());

        let model = match work.model {
            Some(role) => self.model(role, &format!("{}.model", work.path)),
            None => self.spec.models.first().and_then(|first| self.models.get(first.role.as_str()).cloned().flatten()),
        };
        let merged = judge::merge(&self.spec.judge, stage.judge.as_ref(), &path, self.faults);
        let judge = merged.and_then(|merged| Some(merged.resolved(self.model(merged.model.0, &merged.model.1)?)));
        let retry = retry::merge(self.spec.retry.as_ref(), stage.retry.as_ref(), &path, self.faults);
        let timeout_millis = at_least_a_second(&format!("{path}.timeout"), stage.timeout.as_ref(), 10 * MINUTE, self.faults);
        Some(ResolvedStage {
            name: stage.name.clone(),
            work: (work.resolved)(Box::new(model?), work.prompt.to_owned()),
            vars: work.vars.clone(),
            for_each: None,
            judge,
            retry,
            timeout_millis,
        })
    }

    /// The files the stages name.
    pub(crate) fn used_files(&self) -> BTreeMap<String, String> {
        self.used.iter().filter_map(|key| Some((key.clone(), self.files.get(key)?.clone()))).collect()
    }

    fn work(&mut self, path: &str, stage: &'a Stage) -> Option<Work<'a>> {
        if let Some(generate) = &stage.generate {
            let path = format!("{path}.generate");
            let output = generate.output_schema.as_deref().and_then(|key| {
                self.used.insert(key.to_owned());
                schema::read(&format!("{path}.outputSchema"), key, self.files, &self.source, self.faults)
            });
            let output_schema = generate.output_schema.clone();
            let resolved: Kind = Box::new(move |model, prompt| ResolvedWork::Generate { model, prompt, output_schema });
            let (prompt, model, vars) = (generate.prompt.as_str(), generate.model.as_deref(), &generate.vars);
            return Some(Work { path, prompt, model, vars, resolved, output });
        }
        let context = stage.validate_context.as_ref()?;
        let on_missing = context.on_missing;
        Some(Work {
            path: format!("{path}.validateContext"),
            prompt: &context.prompt,
            model: context.model.as_deref(),
            vars: &context.vars,
            resolved: Box::new(move |model, prompt| ResolvedWork::ValidateContext { model, prompt, on_missing }),
            output: Some(context_answer_schema()),
        })
    }

    fn check_prompt(&mut self, work: &Work<'_>) {
        let path = format!("{}.prompt", work.path);
        let Some(text) = self.files.get(work.prompt) else {
            let message = format!(
                "no key {} in the prompts ({}); it has: {}. Add the prompt under this key, or name one of these",
                work.prompt,
                self.source,
                list(self.files.keys().map(String::as_str))
            );
            self.faults.add(path, Reason::PromptMissing, message);
            return;
        };
        self.used.insert(work.prompt.to_owned());
        self.prompts.check(&path, work.prompt, text, work.vars, self.faults);
    }

    fn model(&mut self, role: &str, path: &str) -> Option<ResolvedModel> {
        if let Some(known) = self.models.get(role) {
            return known.clone();
        }
        let message = format!(
            "no role {role} in spec.models; it has: {}. Add the role, or name one of these",
            list(self.models.keys().copied())
        );
        self.faults.add(path, Reason::UnknownModel, message);
        None
    }
}

fn model(
    index: usize,
    role: &ModelRole,
    endpoints: &BTreeMap<String, ModelEndpointSpec>,
    faults: &mut Faults,
) -> Option<ResolvedModel> {
    let path = format!("spec.models[{index}]");
    let timeout_millis = at_least_a_second(&format!("{path}.timeout"), role.timeout.as_ref(), 90 * SECOND, faults);
    let Some(endpoint) = endpoints.get(&role.endpoint) else {
        let message = format!(
            "no ModelEndpoint {} in this namespace; it has: {}. Create it, or name one of these",
            role.endpoint,
            list(endpoints.keys().map(String::as_str))
        );
        faults.add(format!("{path}.endpoint"), Reason::UnknownEndpoint, message);
        return None;
    };
    Some(ResolvedModel {
        role: role.role.clone(),
        endpoint: role.endpoint.clone(),
        base_url: endpoint.base_url.clone(),
        headers: endpoint.headers.clone(),
        model: role.model.clone(),
        timeout_millis,
        parameters: role.parameters.clone().unwrap_or_default(),
        api_key_secret_ref: endpoint.api_key_secret_ref.clone(),
        ca_bundle_ref: endpoint.ca_bundle_ref.clone(),
    })
}
