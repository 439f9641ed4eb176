//! One stage after the other: what a prompt may name depends on the stages before it.

use crate::{
    ask, broadcast, container,
    durations::{MINUTE, SECOND, at_least, at_least_a_second},
    fault::{Faults, Reason, list},
    for_each, judge,
    prompts::{Own, Prompts},
    retry, schema,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use trackway_crds::{
    ModelEndpointSpec, TrackSpec,
    contracts::{ResolvedDebugger, ResolvedJudge, ResolvedModel, ResolvedRetrieve, ResolvedStage, ResolvedWork},
    track::{ModelRole, Stage},
};
use trackway_prompt::{Output, Target, context_answer_schema};

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
struct Prompted<'a> {
    path: String,
    prompt: &'a str,
    model: Option<&'a str>,
    vars: &'a BTreeMap<String, Value>,
    retrieves: bool,
    resolved: Kind,
    output: Output,
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
        let for_each = stage.for_each.as_ref();
        let fan_out = for_each.and_then(|for_each| for_each::resolve(for_each, &path, &self.prompts, self.faults));
        let target = match (for_each, &fan_out) {
            (None, _) => None,
            (Some(_), Some(fan_out)) => Some(fan_out.target.clone()),
            // What is wrong with the list is said once, not of each prompt that names a target.
            (Some(_), None) => Some(Target { of: Output::Unknown, field: String::new() }),
        };
        let (work, vars, output) = self.work(&path, stage, target);
        let output = if for_each.is_some() { Output::FanOut(Box::new(output)) } else { output };
        self.prompts.stage_done(&stage.name, output);

        let judge = if stage.broadcast.is_none() { self.judge(stage, &path) } else { None };
        let retry = retry::merge(self.spec.retry.as_ref(), stage.retry.as_ref(), &path, self.faults);
        if for_each.is_some() {
            for_each::check_budgets(&retry, self.spec.retry.as_ref(), stage.retry.as_ref(), &path, self.faults);
        }
        let timeout_millis = at_least_a_second(&format!("{path}.timeout"), stage.timeout.as_ref(), 10 * MINUTE, self.faults);
        Some(ResolvedStage {
            name: stage.name.clone(),
            work: work?,
            vars: vars.cloned().unwrap_or_default(),
            for_each: fan_out.map(|fan_out| fan_out.resolved),
            judge,
            retry,
            timeout_millis,
        })
    }

    /// Roles of judges that judge nothing: a cluster would refuse them too.
    pub(crate) fn idle_judges(&mut self) {
        if let Some(role) = &self.spec.judge.model {
            self.model(role, "spec.judge.model");
        }
        for (index, stage) in self.spec.stages.iter().enumerate() {
            if let Some(role) = stage.judge.as_ref().and_then(|judge| judge.model.as_deref()) {
                self.model(role, &format!("spec.stages[{index}].judge.model"));
            }
        }
    }

    /// The model that explains failures.
    pub(crate) fn debugger(&mut self) -> Option<ResolvedDebugger> {
        let given = &self.spec.catch.as_ref()?.debugger;
        let path = "spec.catch.debugger";
        let timeout_millis = at_least(10 * SECOND, &format!("{path}.timeout"), given.timeout.as_ref(), 2 * MINUTE, self.faults);
        Some(ResolvedDebugger { model: self.model(&given.model, &format!("{path}.model"))?, timeout_millis })
    }

    /// The files the stages name.
    pub(crate) fn used_files(&self) -> BTreeMap<String, String> {
        self.used.iter().filter_map(|key| Some((key.clone(), self.files.get(key)?.clone()))).collect()
    }

    /// What the stage does, its `vars` and what is known of its output.
    fn work(
        &mut self,
        path: &str,
        stage: &'a Stage,
        target: Option<Target>,
    ) -> (Option<ResolvedWork>, Option<&'a BTreeMap<String, Value>>, Output) {
        if let Some(work) = &stage.container {
            let resolved = container::resolve(work, path, self.faults);
            let output = self.output(&format!("{path}.container"), work.output_schema.as_deref(), Output::Unknown);
            return (Some(resolved), Some(&work.vars), output);
        }
        if let Some(work) = &stage.broadcast {
            return (Some(broadcast::resolve(work, path, &self.prompts, self.faults)), None, Output::Broadcast);
        }
        let Some(work) = self.prompted(path, stage) else { return (None, None, Output::Unknown) };
        self.check_prompt(&work, target);
        let model = match work.model {
            Some(role) => self.model(role, &format!("{}.model", work.path)),
            None => self.spec.models.first().and_then(|first| self.models.get(first.role.as_str()).cloned().flatten()),
        };
        let resolved = model.map(|model| (work.resolved)(Box::new(model), work.prompt.to_owned()));
        (resolved, Some(work.vars), work.output)
    }

    fn prompted(&mut self, path: &str, stage: &'a Stage) -> Option<Prompted<'a>> {
        if let Some(generate) = &stage.generate {
            let path = format!("{path}.generate");
            let output = self.output(&path, generate.output_schema.as_deref(), Output::Text);
            let output_schema = generate.output_schema.clone();
            let retrieve = generate.retrieve.as_ref().map(|retrieve| ResolvedRetrieve { top_k: retrieve.top_k });
            let resolved: Kind = Box::new(move |model, prompt| ResolvedWork::Generate { model, prompt, output_schema, retrieve });
            let (prompt, model, vars) = (generate.prompt.as_str(), generate.model.as_deref(), &generate.vars);
            let retrieves = retrieve.is_some();
            return Some(Prompted { path, prompt, model, vars, retrieves, resolved, output });
        }
        let context = stage.validate_context.as_ref()?;
        let path = format!("{path}.validateContext");
        let (on_missing, ask) = (context.on_missing, ask::resolve(context, self.spec.limits.as_ref(), &path, self.faults));
        Some(Prompted {
            path,
            prompt: &context.prompt,
            model: context.model.as_deref(),
            vars: &context.vars,
            retrieves: false,
            resolved: Box::new(move |model, prompt| ResolvedWork::ValidateContext { model, prompt, on_missing, ask }),
            output: Output::Schema(context_answer_schema()),
        })
    }

    /// What is known of an output whose schema is under `key`; `otherwise` without one.
    fn output(&mut self, path: &str, key: Option<&str>, otherwise: Output) -> Output {
        let Some(key) = key else { return otherwise };
        self.used.insert(key.to_owned());
        let schema = schema::read(&format!("{path}.outputSchema"), key, self.files, &self.source, self.faults);
        schema.map_or(Output::Unknown, Output::Schema)
    }

    fn judge(&mut self, stage: &Stage, path: &str) -> Option<ResolvedJudge> {
        let merged = judge::merge(&self.spec.judge, stage.judge.as_ref(), path, self.faults)?;
        let model = self.model(merged.model.0, &merged.model.1)?;
        Some(merged.resolved(model))
    }

    fn check_prompt(&mut self, work: &Prompted<'_>, target: Option<Target>) {
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
        let own = Own { vars: work.vars, target, retrieves: work.retrieves };
        self.prompts.check(&path, (work.prompt, text), &own, self.faults);
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
