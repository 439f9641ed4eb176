//! Running a story: on one runtime for all of them, with a look at the scene when it goes wrong.

use crate::{Cluster, diagnosis, witness::Witness};
use futures::FutureExt;
use std::{future::Future, panic::AssertUnwindSafe, sync::LazyLock, time::Instant};
use tokio::runtime::Runtime;

/// Clients, servers and watches outlive a single test's runtime.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(Runtime::new);

/// Whether the long versions are wanted.
#[must_use]
pub fn soak() -> bool {
    std::env::var("TRACKWAY_SOAK").is_ok_and(|value| value == "1")
}

/// How a story ended.
pub type Outcome = Result<(), Failed>;

/// Why a story failed: the whole chain, and no stack, which would only show this crate.
pub struct Failed(String);

impl std::fmt::Debug for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Tells a story that plays in `namespace`; when it fails, prints what that looks like.
///
/// # Errors
/// What the story says; its panics go on as panics.
pub fn story(namespace: &str, plot: impl Future<Output = anyhow::Result<()>>) -> Outcome {
    let runtime = RUNTIME.as_ref().map_err(|error| Failed(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let started = Instant::now();
        let witness = Cluster::shared().await.ok().map(|cluster| Witness::of(cluster, namespace));
        let mut outcome = AssertUnwindSafe(plot).catch_unwind().await;
        match witness.map(Witness::testimony) {
            Some(Ok(testimony)) => say(&format!("{namespace}: {testimony}")),
            Some(Err(broken)) if matches!(outcome, Ok(Ok(()))) => outcome = Ok(Err(broken)),
            Some(Err(broken)) => say(&format!("{namespace}: {broken:#}")),
            None => {}
        }
        let ended_well = matches!(outcome, Ok(Ok(())));
        say(&format!(
            "{namespace}: {} after {:.1} s",
            if ended_well { "ends well" } else { "fails" },
            started.elapsed().as_secs_f64()
        ));
        if !ended_well && let Ok(cluster) = Cluster::shared().await {
            say(&diagnosis::of(cluster, namespace).await);
        }
        let outcome = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        outcome.map_err(|error| Failed(format!("{error:#}")))
    })
}

/// Prints a line that is seen when a test fails or with `--nocapture`.
#[allow(clippy::print_stdout, reason = "the output of tests is captured from standard output")]
pub fn say(text: &str) {
    println!("{text}");
}
