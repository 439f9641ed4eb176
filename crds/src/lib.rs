//! The seam: every type that crosses a boundary of Trackway.
//!
//! Custom resources ([`track`], [`model_endpoint`], [`batch_run`], [`questionnaire`]), the documents parts exchange ([`contracts`]) and the
//! rules for names, labels and conditions ([`names`], [`labels`], [`conditions`]). No client, no clock, no IO: both sides of the line can depend on it.
//!
//! ```text
//! Track ──resolve──▶ contracts::Revision (immutable ConfigMap)
//!    ▲                        │ pinned by
//!    │ trackRef               ▼
//! BatchRun.spec ──────▶ BatchRun.status ◀── contracts::StageResult ◀── worker ◀── contracts::Assignment
//! ```

pub mod batch_run;
pub mod conditions;
pub mod contracts;
pub mod duration;
pub mod event_text;
pub mod labels;
pub mod ledger;
pub mod manifests;
pub mod model_endpoint;
pub mod names;
pub mod questionnaire;
pub mod score;
pub mod status;
pub mod text;
pub mod tolerance;
pub mod track;

pub use batch_run::{BatchRun, BatchRunSpec};
pub use duration::GoDuration;
pub use model_endpoint::{ModelEndpoint, ModelEndpointSpec};
pub use questionnaire::{Questionnaire, QuestionnaireSpec, QuestionnaireStatus};
pub use score::Score;
pub use status::BatchRunStatus;
pub use tolerance::Tolerance;
pub use track::{Track, TrackSpec, TrackStatus};

/// API group of every resource.
pub const GROUP: &str = "trackway.dev";
