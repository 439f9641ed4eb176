//! What every server needs: a port, and waiting for a condition.

use std::future::Future;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Child;
use tokio::time::Instant;

/// A TCP port of 127.0.0.1 that was free a moment ago.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free TCP port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// Asks `condition` again every 20 ms until it answers, for at most `limit`. `what` names it in the error.
///
/// # Errors
/// When the time is up.
pub async fn until<T, F, Fut>(what: &str, limit: Duration, mut condition: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = condition().await {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("{what}: not so after {limit:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fails when the server has ended already, with the end of its log.
pub(crate) fn still_running(name: &str, child: &mut Child, log: &std::path::Path) -> Result<()> {
    if let Some(status) = child.try_wait()? {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        bail!("{name} ended at once ({status}):\n{text}");
    }
    Ok(())
}
