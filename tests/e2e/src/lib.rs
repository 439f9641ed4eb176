//! What the end-to-end stories in `tests/stories` are told with.
//!
//! ```text
//! cargo test --workspace --test end-to-end -- --test-threads 4     the plain suite
//! cargo test --workspace --test end-to-end -- inv01                the stories of one invariant of the design
//! TRACKWAY_SOAK=1 cargo test --workspace --test end-to-end         the long versions
//! ```
//!
//! **One cluster** named `e2e` for all of them (`tests/cluster/cluster up --name e2e`, removed with `down --name e2e`), made and
//! installed into by the first story, found up by the next run. Each story has a namespace of its own ([`Place`]), with a scripted
//! LLM in this process, which it can hold, script and count. Two kinds of places:
//!
//! ```text
//! Place::bound    the chart's operator, collector and NATS, as users have them
//! Place::hosted   an operator process, a NATS and an S3 server of the story's own on this machine, to be killed at will
//! ```
//!
//! Stories wait on conditions, with limits; none sleeps. One that fails prints what its namespace looks like: runs as trees, Events,
//! the ends of the pods' logs and of the operator's.
//!
//! Variables: `TRACKWAY_SOAK=1` the long versions; `TRACKWAY_E2E_SEED` seed of what is drawn (printed at each run);
//! `TRACKWAY_E2E_KILLS` how often the operator is killed.

pub mod audit;
pub mod batch;
pub mod cluster;
mod diagnosis;
pub mod fan;
pub mod json;
pub mod operator;
pub mod outline;
pub mod place;
pub mod references;
pub mod story;
mod witness;

pub use cluster::Cluster;
pub use operator::HostOperator;
pub use outline::Outline;
pub use place::Place;
pub use story::{Outcome, soak, story};
