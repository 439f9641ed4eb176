//! The stage's own work: an output that is valid for its schema.

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::{Value, json};
use trackway_crds::{
    contracts::{ContextAnswer, ErrorClass, ResolvedForEach, ResolvedStage, ResolvedWork, StageInput},
    names::sha256_hex,
};
use trackway_llm::{ChatReply, Message, NamedSchema};
use trackway_prompt::{Rendered, context_answer_schema, text_output_schema};

use crate::{
    AttemptJob, MAX_OUTPUT_BYTES, Use,
    answer::{Fault, object_of, valid_for},
    calls::Calls,
    failure::{Failure, Step},
    fan_out::list_info,
    load::file,
    questions::questions,
    report::Report,
};

const MALFORMED: &str = "MalformedAnswer";

/// What the output of a stage must look like.
pub(crate) struct OutputShape {
    schema: NamedSchema,
    validator: Validator,
    context: bool,
    /// Its gaps are asked about.
    asks: bool,
    /// The later fan-outs over lists of this output.
    lists: Vec<ResolvedForEach>,
}

impl OutputShape {
    /// The shape of `stage`'s output.
    pub(crate) fn of(job: &AttemptJob, stage: &ResolvedStage) -> Step<Self> {
        let (name, schema) = match &stage.work {
            ResolvedWork::ValidateContext { .. } => ("context_validation", context_answer_schema()),
            ResolvedWork::Generate { output_schema: None, .. } => ("output", text_output_schema()),
            ResolvedWork::Container { output_schema: None, .. } => ("output", json!({"type": "object"})),
            ResolvedWork::Generate { output_schema: Some(key), .. }
            | ResolvedWork::Container { output_schema: Some(key), .. } => ("output", schema_file(job, key)?),
            ResolvedWork::Broadcast { .. } => {
                return Err(Failure::permanent("StageUnknown", format!("stage {} writes no output to be checked", stage.name)));
            }
        };
        let validator = jsonschema::validator_for(&schema).map_err(|error| {
            Failure::permanent("SchemaInvalid", format!("the output schema of stage {} is no JSON Schema: {error}", stage.name))
        })?;
        let context = matches!(stage.work, ResolvedWork::ValidateContext { .. });
        // What stages fan out over in a fan-out's output is put together after it.
        let lists = match &stage.for_each {
            None => job.revision.fan_outs_over(&stage.name).cloned().collect(),
            Some(_) => Vec::new(),
        };
        Ok(Self {
            schema: NamedSchema { name: name.to_owned(), schema },
            validator,
            context,
            asks: stage.asks().is_some(),
            lists,
        })
    }

    fn read(&self, reply: &ChatReply) -> Result<Value, Fault> {
        let answer = object_of(reply, MALFORMED)?;
        self.check(&answer)?;
        Ok(answer)
    }

    /// Whether `output` is valid for its schema and its lists can be fanned out over.
    pub(crate) fn check(&self, output: &Value) -> Result<(), Fault> {
        valid_for(&self.validator, output, MALFORMED)?;
        if self.context {
            let answer = check_context(output)?;
            if self.asks {
                questions(answer)?;
            }
        }
        self.lists.iter().try_for_each(|for_each| list_info(output, for_each).map(|_| ()))
    }

    /// Puts on record what the operator must know of an accepted output, be it new or adopted.
    pub(crate) fn tell(&self, output: &Value, report: &mut Report) -> Step<()> {
        report.gaps = self.gaps(output);
        if self.asks {
            let asked = check_context(output).and_then(questions);
            report.questions = asked.map_err(|fault| fault.failure(ErrorClass::Permanent))?;
        }
        for for_each in &self.lists {
            let info = list_info(output, for_each).map_err(|fault| fault.failure(ErrorClass::Permanent))?;
            // Two fan-outs over one list may tell its entries apart by different fields; the first one's keys stand for it.
            report.lists.entry(for_each.field.clone()).or_insert(info);
        }
        Ok(())
    }

    /// Gaps a context validation reports; `None` for other stages.
    fn gaps(&self, output: &Value) -> Option<u32> {
        let gaps = output.get("gaps").and_then(Value::as_array).filter(|_| self.context)?;
        u32::try_from(gaps.len()).ok()
    }
}

fn schema_file(job: &AttemptJob, key: &str) -> Step<Value> {
    serde_json::from_str(file(job, "SchemaMissing", key)?)
        .map_err(|error| Failure::permanent("SchemaInvalid", format!("{key} is not JSON: {error}")))
}

/// `complete` and `gaps` say the same thing twice; a model that contradicts itself is asked again.
fn check_context(answer: &Value) -> Result<ContextAnswer, Fault> {
    let answer: ContextAnswer = serde_json::from_value(answer.clone())
        .map_err(|error| Fault::new(MALFORMED, format!("the answer is no context validation: {error}")))?;
    if answer.complete == answer.gaps.is_empty() {
        return Ok(answer);
    }
    let message = format!("complete is {} and gaps has {} entries: one of them is wrong", answer.complete, answer.gaps.len());
    Err(Fault::new(MALFORMED, message))
}

/// What makes two generations the same request: all that the model sees, and which model.
pub(crate) fn request_hash(revision: &str, stage: &ResolvedStage, rendered: &Rendered, shape: &OutputShape) -> String {
    let model = stage.model();
    let request = json!({
        "revision": revision, "stage": stage.name, "endpoint": model.map(|model| &model.endpoint),
        "model": model.map(|model| &model.model), "parameters": model.map(|model| &model.parameters), "system": rendered.system, "user": rendered.user, "schema": shape.schema.schema,
    });
    sha256_hex(request.to_string().as_bytes())
}

/// As [`request_hash`], for a stage that sees past events or the tenant's answers: of all that its prompt is made of but those. Two
/// pods of one attempt may find different ones, and then they take what the first has put on record.
pub(crate) fn request_hash_but_for_found(
    revision: &str,
    stage: &ResolvedStage,
    (input, prompt_sha256): (&StageInput, &str),
    shape: &OutputShape,
) -> String {
    let given = StageInput {
        retrieved: Vec::new(),
        context: BTreeMap::new(),
        system: None,
        user: prompt_sha256.to_owned(),
        ..input.clone()
    };
    let rendered = Rendered { system: None, user: json!(given).to_string() };
    request_hash(revision, stage, &rendered, shape)
}

/// Asks the stage's model for its output, as JSON.
pub(crate) async fn generate(
    stage: &ResolvedStage,
    rendered: &Rendered,
    shape: &OutputShape,
    calls: &Calls<'_>,
    report: &mut Report,
) -> Step<Value> {
    let messages = rendered.system.iter().map(Message::system).chain([Message::user(&rendered.user)]).collect();
    let question = (messages, shape.schema.clone());
    let model = stage.model().ok_or_else(|| Failure::permanent("StageUnknown", format!("stage {} asks no model", stage.name)))?;
    let answer = calls.ask(Use::Generate, model, question, report, |reply| shape.read(reply)).await?;
    let taken = answer.map_err(|fault| fault.failure(ErrorClass::Model))?;
    Ok(taken.answer)
}

/// An output as it is stored.
pub(crate) fn output_bytes(output: &Value) -> Step<Vec<u8>> {
    let bytes = output.to_string().into_bytes();
    if bytes.len() <= MAX_OUTPUT_BYTES {
        return Ok(bytes);
    }
    let message = format!(
        "the output has {} bytes; at most {MAX_OUTPUT_BYTES} (4 MiB) are kept. Lower the model's maxOutputTokens, or bound lists and texts in the output schema",
        bytes.len()
    );
    Err(Failure::permanent("OutputTooLarge", message))
}
