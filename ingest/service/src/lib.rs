//! What every process above the line shares: logging, signals, probes and metrics over HTTP; and what a message of EVENTS is.
//!
//! ```text
//! main ── log(), ready_tls() ── Part::run(stop) ─┬─ serve(): /healthz /readyz /metrics
//!                                                └─ the part's own work, until stop
//! ```

mod event;
mod probes;
mod process;

pub use event::read_event;
pub use probes::{Probes, serve};
pub use process::{log, ready_tls, stop_on_signal, unless};
