//! Texts as vectors of length 1, as far as a model takes them.

use std::time::Duration;

use trackway_llm::{EmbeddingClient, LlmError, MAX_TEXTS_AT_ONCE, RepeatPolicy};

use crate::matrix::unit;

/// A text that every model takes: if it is refused too, the text before was not at fault.
const HARMLESS: &str = "event";

/// The configured model.
#[derive(Debug)]
pub(crate) struct Embedder {
    client: EmbeddingClient,
}

impl Embedder {
    pub(crate) fn new(client: EmbeddingClient) -> Self {
        Self { client }
    }

    pub(crate) fn model(&self) -> &str {
        self.client.model()
    }

    /// The vector of a question, within `limit`.
    pub(crate) async fn of_question(&self, text: &str, limit: Duration) -> Result<Vec<f32>, LlmError> {
        let deadline = std::time::Instant::now() + limit;
        let policy = RepeatPolicy { max_total_wait: limit, deadline: Some(deadline), ..RepeatPolicy::default() };
        let vectors = self.client.embed(&[text.to_owned()], &policy).await?;
        Ok(vectors.into_iter().next().map(unit).unwrap_or_default())
    }

    /// A vector for each text; `None` for those the model refuses for what they say.
    pub(crate) async fn of_events(&self, texts: &[String]) -> Result<Vec<Option<Vec<f32>>>, LlmError> {
        let mut vectors = Vec::with_capacity(texts.len());
        for some in texts.chunks(MAX_TEXTS_AT_ONCE) {
            match self.embed(some).await {
                Ok(found) => vectors.extend(found.into_iter().map(Some)),
                Err(error) if is_about_text(&error) => vectors.extend(self.one_by_one(some, error).await?),
                Err(error) => return Err(error),
            }
        }
        Ok(vectors)
    }

    async fn one_by_one(&self, texts: &[String], refused: LlmError) -> Result<Vec<Option<Vec<f32>>>, LlmError> {
        if self.embed(&[HARMLESS.to_owned()]).await.is_err() {
            return Err(refused);
        }
        let mut vectors = Vec::with_capacity(texts.len());
        for text in texts {
            vectors.push(match self.embed(std::slice::from_ref(text)).await {
                Ok(found) => found.into_iter().next(),
                Err(error) if is_about_text(&error) => None,
                Err(error) => return Err(error),
            });
        }
        Ok(vectors)
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, LlmError> {
        let vectors = self.client.embed(texts, &RepeatPolicy::default()).await?;
        Ok(vectors.into_iter().map(unit).collect())
    }
}

/// Whether the model may take other texts.
fn is_about_text(error: &LlmError) -> bool {
    matches!(error.reason(), "BadRequest" | "ContextLength" | "Refused")
}
