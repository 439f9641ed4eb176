//! A scripted LLM: a server that speaks the OpenAI protocol and whose answers are a function of the request.
//!
//! ```text
//! POST /v1/chat/completions ─► recognise ─► rule? ─► held? ─► latency ─► answer
//!      /v1/embeddings           by content   rules     control    flags     derived from the request,
//! GET  /v1/models                            file      API                  or what the rule says
//! ```
//!
//! **Answers.** With a JSON schema in the request (in `response_format`, or told in words) the answer is valid for it:
//! texts name the events, people and repositories found in the prompt's JSON, `targets` has `--targets` entries with
//! unique ids, a list of objects with a `key` has one entry per key found in the prompt and approves what has not failed, evidence
//! quotes the pieces a debugger is shown. The same request gets the same
//! answer, always and everywhere. A judge (schema named `verdict`) scores each dimension of its schema 0.78 to 0.97,
//! those named like safety 0.93 to 0.99, by a hash of the request.
//!
//! **Rules** (`rules.example.yaml` shows each) change that: a score, a text, a status, a delay, a refusal, a connection
//! that breaks. They are matched on the request's content and headers; the first that matches wins. See [`Rules`].
//!
//! **Headers** that callers send are recorded with each call: `x-trackway-run` (uid), `-run-name`, `-stage`, `-attempt`,
//! `-try`, `-index`, `-target`, `-purpose` (generate, judge, repair, debug).
//!
//! **Control**, for tests of faults:
//!
//! | Request | Does |
//! |---|---|
//! | `POST /control/rules` | replaces the rules (YAML or JSON list) |
//! | `POST /control/hold {"when": {…}, "times": 1}` | holds answers that match; answers `{"id": "hold-1"}` |
//! | `GET /control/held` | what is held now |
//! | `POST /control/release {"id": "hold-1"}`, `{"all": true}` | lets them go and ends the hold |
//! | `GET /control/calls` | every call, and counts per kind, run, stage, attempt and index |
//! | `POST /control/reset` | forgets calls, counts and holds; rules start again |
//! | `GET /healthz` | 200 |
//!
//! **In a test** of another crate, without a process:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use trackway_scripted_llm::{Rules, ScriptedLlm, When};
//!
//! let rules = Rules::from_yaml("- {name: busy, when: {kind: judge}, then: {status: 429, retryAfter: 1}, times: 1}")?;
//! let llm = ScriptedLlm::start("127.0.0.1:0", rules).await?;
//! let hold = llm.hold(When::default());
//! // … start what calls llm.base_url() …
//! llm.until_held(1).await;
//! llm.release(&hold);
//! assert_eq!(llm.calls().len(), 1);
//! # Ok(()) }
//! ```

mod answer;
mod call;
mod embed;
mod facts;
mod rules;
mod server;
mod state;
mod synth;
mod verdict;

pub use call::{Format, Kind, TrackwayHeaders};
pub use rules::{Rule, RuleError, Rules, Then, When};
pub use server::{Options, ScriptedLlm};
pub use state::{CallRecord, CallState, Count, HeldCall, log_line};
