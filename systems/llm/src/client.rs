//! Asking: the walk down the dialects, each form of the request with its repeats.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use crate::{
    dialect::{Dialect, Dialects},
    endpoint::{BuildError, Endpoint, Target},
    error::{LlmError, millis_of},
    post::{Post, Spent},
    repeat::{Repeat, RepeatPolicy},
    reply::{ChatReply, Completion},
    request::{Body, ChatRequest},
};

/// Where chats are posted, below the base URL.
const PATH: [&str; 2] = ["chat", "completions"];

/// A client of one endpoint. Keeps connections and what the server turned out not to understand; share it.
pub struct LlmClient {
    target: Target,
    dialects: Dialects,
}

impl fmt::Debug for LlmClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmClient").field("url", &self.target.shown).finish_non_exhaustive()
    }
}

impl LlmClient {
    /// Makes a client; nothing is sent.
    pub fn new(endpoint: Endpoint) -> Result<LlmClient, BuildError> {
        Ok(LlmClient { target: Target::new(&endpoint, &PATH)?, dialects: Dialects::default() })
    }

    /// Asks once. `headers` go with every HTTP request of it, so that a server's log can be matched to ours; the
    /// endpoint's own headers win over them.
    pub async fn chat(
        &self,
        request: &ChatRequest,
        policy: &RepeatPolicy,
        headers: &BTreeMap<String, String>,
    ) -> Result<ChatReply, LlmError> {
        let started = Instant::now();
        let mut spent = Spent::default();
        let asked = self.in_some_dialect(request, policy, headers, &mut spent).await;
        match asked {
            Ok((completion, dialect)) => Ok(reply(completion, dialect, request, spent.repeats, started.elapsed())),
            Err(error) => Err(error.after(spent.repeats, started.elapsed())),
        }
    }

    async fn in_some_dialect(
        &self,
        request: &ChatRequest,
        policy: &RepeatPolicy,
        headers: &BTreeMap<String, String>,
        spent: &mut Spent,
    ) -> Result<(Completion, Dialect), LlmError> {
        let mut dialect = self.dialects.of(&request.model);
        loop {
            let post = Post::new(&self.target, &request.model, &Body::new(request, dialect), request.timeout, headers)?;
            let read = |answer: &_| Completion::read(answer, request).ok_or_else(|| "no chat completion".to_owned());
            let failure = match post.repeated(policy, spent, read).await {
                Ok(completion) => return Ok((completion, dialect)),
                Err(failure) => failure,
            };
            let words = failure.refusal.unwrap_or_default();
            let Some(next) = dialect.after_refusal(request, &words) else { return Err(failure.error) };
            tracing::info!(model = request.model, ?dialect, ?next, "the server refuses this form of request");
            self.dialects.remember(&request.model, next, &words);
            dialect = next;
        }
    }
}

fn reply(completion: Completion, dialect: Dialect, request: &ChatRequest, repeats: Vec<Repeat>, took: Duration) -> ChatReply {
    let Completion { text, model, finish_reason, usage, id, refusal } = completion;
    ChatReply {
        text,
        model_answered: model.unwrap_or_else(|| request.model.clone()),
        finish_reason,
        usage,
        response_id: id,
        refusal,
        format: dialect.format,
        repeats,
        millis: millis_of(took),
    }
}
