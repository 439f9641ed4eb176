//! A thin client for OpenAI-compatible chat completions and embeddings, the only user of an LLM's HTTP API.
//!
//! ```text
//! ChatRequest ──► LlmClient::chat ──► POST <baseURL>/chat/completions ──► ChatReply
//!                   │  repeats the same HTTP request on 408, 409, 429, 5xx, timeout and lost connections,
//!                   │  honouring Retry-After, while its waits total at most RepeatPolicy::max_total_wait
//!                   │  and the deadline is not reached; every repeat is reported
//!                   └─ walks down json_schema → json_object → plain when a server refuses a response format
//! texts ──► EmbeddingClient::embed ──► POST <baseURL>/embeddings ──► a vector each, with the same repeats and errors
//! ```
//!
//! What is not here: no attempt decision, no validation of answers against a schema, no prompt. A caller gets text, and
//! [`parse_json_answer`] finds the object in it. Servers that call themselves compatible deviate, so answers are read
//! leniently: what is absent is `None` or empty, never an error, as long as there is a choice.
//!
//! Secrets: the API key and the endpoint's headers appear in no `Debug`, no log line and no error message; where a server
//! echoes one in its error text, it is replaced before anybody sees it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{collections::BTreeMap, time::Duration};
//! use trackway_llm::{ChatRequest, Endpoint, LlmClient, LlmError, Message, Parameters, RepeatPolicy};
//!
//! let client = LlmClient::new(Endpoint::at("http://llm.internal/v1"))?;
//! let request = ChatRequest {
//!     model: "writer-1".into(),
//!     messages: vec![Message::system("You write notices."), Message::user("Write one.")],
//!     parameters: Parameters { temperature: Some(0.4), ..Parameters::default() },
//!     response_schema: None,
//!     timeout: Duration::from_secs(90),
//! };
//! match client.chat(&request, &RepeatPolicy::default(), &BTreeMap::new()).await {
//!     Ok(reply) => drop(reply.text),
//!     Err(LlmError::Transient(error)) => drop(error.retry_after), // another try may succeed
//!     Err(LlmError::Permanent(error)) => drop(error.reason),      // nobody should ask again
//! }
//! # Ok(()) }
//! ```

mod answer;
mod classify;
mod client;
mod dialect;
mod embeddings;
mod endpoint;
mod error;
mod post;
mod repeat;
mod reply;
mod request;
mod strict;

pub use answer::{NotJson, parse_json_answer};
pub use client::LlmClient;
pub use dialect::AnswerFormat;
pub use embeddings::{EmbeddingClient, EmbeddingModel, MAX_TEXTS_AT_ONCE};
pub use endpoint::{BuildError, Endpoint};
pub use error::{LlmError, PermanentError, PermanentReason, TransientError, TransientReason};
pub use repeat::{Repeat, RepeatPolicy};
pub use reply::{ChatReply, Usage};
pub use request::{ChatRequest, Message, NamedSchema, Parameters, Role};
pub use strict::{StrictSchema, strict_schema};
