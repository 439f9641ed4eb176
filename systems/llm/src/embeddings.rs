//! Texts as vectors.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    endpoint::{BuildError, Endpoint, Target},
    error::LlmError,
    post::{Post, Spent},
    repeat::RepeatPolicy,
};

/// Where embeddings are posted, below the base URL.
const PATH: [&str; 1] = ["embeddings"];
/// Most texts of one request; longer lists take several, one after the other.
pub const MAX_TEXTS_AT_ONCE: usize = 64;
/// Limit of one HTTP request.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Which model makes vectors of texts, and where.
#[derive(Clone, Debug)]
pub struct EmbeddingModel {
    /// How its server is reached; `/embeddings` is appended to its base URL.
    pub endpoint: Endpoint,
    /// The model's name as the server knows it.
    pub model: String,
    /// Length of the vectors to ask for; `None`: the model's own. Not every server knows how to shorten them.
    pub dimensions: Option<usize>,
}

/// A client of one embedding model. Keeps connections; share it.
pub struct EmbeddingClient {
    target: Target,
    model: String,
    dimensions: Option<usize>,
}

impl fmt::Debug for EmbeddingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingClient")
            .field("url", &self.target.shown)
            .field("model", &self.model)
            .field("dimensions", &self.dimensions)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

impl EmbeddingClient {
    /// Makes a client; nothing is sent.
    pub fn new(model: EmbeddingModel) -> Result<EmbeddingClient, BuildError> {
        let EmbeddingModel { endpoint, model, dimensions } = model;
        Ok(EmbeddingClient { target: Target::new(&endpoint, &PATH)?, model, dimensions })
    }

    /// The model's name as the server knows it.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// A vector for each of `texts`, in their order, all of one length and of finite numbers; as the server gave them, so not
    /// always of length 1. `policy` bounds the waits of all requests together.
    ///
    /// # Errors
    /// [`LlmError`]. An answer with too few, too many or unusable vectors is `Malformed`: transient, but not repeated here.
    pub async fn embed(&self, texts: &[String], policy: &RepeatPolicy) -> Result<Vec<Vec<f32>>, LlmError> {
        let started = Instant::now();
        let mut spent = Spent::default();
        let vectors = self.in_batches(texts, policy, &mut spent).await;
        vectors.map_err(|error| error.after(spent.repeats, started.elapsed()))
    }

    async fn in_batches(&self, texts: &[String], policy: &RepeatPolicy, spent: &mut Spent) -> Result<Vec<Vec<f32>>, LlmError> {
        let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(texts.len());
        for input in texts.chunks(MAX_TEXTS_AT_ONCE) {
            let body = Body { model: &self.model, input, encoding_format: "float", dimensions: self.dimensions };
            let post = Post::new(&self.target, &self.model, &body, TIMEOUT, &BTreeMap::new())?;
            let wanted = self.dimensions.or(vectors.first().map(Vec::len));
            let answer = post.repeated(policy, spent, |answer| read(answer, input.len(), wanted)).await;
            vectors.extend(answer.map_err(|failure| failure.error)?);
        }
        Ok(vectors)
    }
}

/// The vectors of an answer in order; `Err`: what is wrong with it, after "answered 200, but".
fn read(answer: &Value, texts: usize, dimensions: Option<usize>) -> Result<Vec<Vec<f32>>, String> {
    let data = answer.get("data").and_then(Value::as_array).ok_or("no list of embeddings")?;
    if data.len() != texts {
        return Err(format!("with {} embeddings for {texts} texts", data.len()));
    }
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts];
    for (position, entry) in data.iter().enumerate() {
        let index = entry.get("index").and_then(Value::as_u64).map_or(Some(position), |index| usize::try_from(index).ok());
        let place = index.and_then(|index| vectors.get_mut(index)).ok_or("with an embedding for no text")?;
        let vector = entry.get("embedding").and_then(vector).ok_or("with an embedding that is no list of numbers")?;
        if place.replace(vector).is_some() {
            return Err("with two embeddings for one text".to_owned());
        }
    }
    let vectors: Vec<Vec<f32>> = vectors.into_iter().flatten().collect();
    let length = dimensions.or(vectors.first().map(Vec::len)).unwrap_or_default();
    match vectors.iter().find(|vector| vector.len() != length || vector.is_empty()) {
        Some(other) => Err(format!("with an embedding of {} numbers instead of {length}", other.len())),
        None => Ok(vectors),
    }
}

fn vector(value: &Value) -> Option<Vec<f32>> {
    value.as_array()?.iter().map(number).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "vectors are kept in single precision; what overflows it is not finite")]
fn number(value: &Value) -> Option<f32> {
    Some(value.as_f64()? as f32).filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn vectors_are_put_into_the_order_of_their_texts() {
        let answer = json!({"data": [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [1.5, 0]}]});
        assert_eq!(read(&answer, 2, None), Ok(vec![vec![1.5, 0.0], vec![0.0, 2.0]]));
        let without_indexes = json!({"data": [{"embedding": [1]}, {"embedding": [2]}]});
        assert_eq!(read(&without_indexes, 2, Some(1)), Ok(vec![vec![1.0], vec![2.0]]));
    }

    #[test]
    fn answers_that_do_not_fit_the_question_are_refused() {
        let one = |embedding: Value| json!({"data": [{"index": 0, "embedding": embedding}]});
        for (answer, texts, dimensions, expected) in [
            (json!({"object": "list"}), 1, None, "no list of embeddings"),
            (one(json!([1])), 2, None, "with 1 embeddings for 2 texts"),
            (json!({"data": [{"index": 7, "embedding": [1]}]}), 1, None, "with an embedding for no text"),
            (one(json!("AAAA")), 1, None, "with an embedding that is no list of numbers"),
            (one(json!([1, null])), 1, None, "with an embedding that is no list of numbers"),
            (one(json!([1e300])), 1, None, "with an embedding that is no list of numbers"),
            (one(json!([])), 1, None, "with an embedding of 0 numbers instead of 0"),
            (one(json!([1, 2])), 1, Some(3), "with an embedding of 2 numbers instead of 3"),
            (
                json!({"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]}),
                2,
                None,
                "with two embeddings for one text",
            ),
        ] {
            assert_eq!(read(&answer, texts, dimensions), Err(expected.to_owned()), "{answer}");
        }
    }
}
