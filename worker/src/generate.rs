//! The stage's own work: an output that is valid for its schema.

use jsonschema::Validator;
use serde_json::{Value, json};
use trackway_crds::{
    contracts::{ContextAnswer, ErrorClass, ResolvedStage, ResolvedWork},
    names::sha256_hex,
};
use trackway_llm::{ChatReply, Message, NamedSchema};
use trackway_prompt::{Rendered, context_answer_schema, text_output_schema};

use crate::{
    AttemptJob, MAX_OUTPUT_BYTES, Use,
    answer::{Fault, object_of, valid_for},
    calls::Calls,
    failure::{Failure, Step},
    load::file,
    report::Report,
};

const MALFORMED: &str = "MalformedAnswer";

/// What the output of a stage must look like.
pub(crate) struct OutputShape {
    schema: NamedSchema,
    validator: Validator,
    context: bool,
}

impl OutputShape {
    /// The shape of `stage`'s output.
    pub(crate) fn of(job: &AttemptJob, stage: &ResolvedStage) -> Step<Self> {
        let (name, schema) = match &stage.work {
            ResolvedWork::ValidateContext { .. } => ("context_validation", context_answer_schema()),
            ResolvedWork::Generate { output_schema: None, .. } => ("output", text_output_schema()),
            ResolvedWork::Generate { output_schema: Some(key), .. } => ("output", schema_file(job, key)?),
            ResolvedWork::Container { .. } | ResolvedWork::Broadcast { .. } => {
                return Err(Failure::permanent("StageUnknown", format!("stage {} asks no model", stage.name)));
            }
        };
        let validator = jsonschema::validator_for(&schema).map_err(|error| {
            Failure::permanent("SchemaInvalid", format!("the output schema of stage {} is no JSON Schema: {error}", stage.name))
        })?;
        let context = matches!(stage.work, ResolvedWork::ValidateContext { .. });
        Ok(Self { schema: NamedSchema { name: name.to_owned(), schema }, validator, context })
    }

    fn check(&self, reply: &ChatReply) -> Result<Value, Fault> {
        let answer = object_of(reply, MALFORMED)?;
        valid_for(&self.validator, &answer, MALFORMED)?;
        if self.context {
            check_context(&answer)?;
        }
        Ok(answer)
    }

    /// Gaps a context validation reports; `None` for other stages.
    pub(crate) fn gaps(&self, output: &Value) -> Option<u32> {
        let gaps = output.get("gaps").and_then(Value::as_array).filter(|_| self.context)?;
        u32::try_from(gaps.len()).ok()
    }
}

fn schema_file(job: &AttemptJob, key: &str) -> Step<Value> {
    serde_json::from_str(file(job, "SchemaMissing", key)?)
        .map_err(|error| Failure::permanent("SchemaInvalid", format!("{key} is not JSON: {error}")))
}

/// `complete` and `gaps` say the same thing twice; a model that contradicts itself is asked again.
fn check_context(answer: &Value) -> Result<(), Fault> {
    let answer: ContextAnswer = serde_json::from_value(answer.clone())
        .map_err(|error| Fault::new(MALFORMED, format!("the answer is no context validation: {error}")))?;
    if answer.complete == answer.gaps.is_empty() {
        return Ok(());
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
    let answer = calls.ask(Use::Generate, model, question, report, |reply| shape.check(reply)).await?;
    let taken = answer.map_err(|fault| Failure::new(ErrorClass::Model, fault.reason, fault.for_people))?;
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
