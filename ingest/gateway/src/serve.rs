//! Connections: bounded in number, in the size of what they send and in time; finished, not broken, at the end.

use crate::{
    metrics::Metrics,
    patience::{Pace, Patience, Patient},
};
use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// Connections at the same time; more wait in the system's queue.
const CONNECTIONS: usize = 8_192;
/// Beyond these the connection ends at once; below them the guard tells its limits in words.
const HEADERS: usize = 256;
const HEAD_BYTES: usize = 64 * 1024;
/// Before the next connection is taken when the system has no handle for one.
const BREATH: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `stop`, then finishes what is in hand.
pub async fn serve(listener: TcpListener, router: Router, metrics: Metrics, patience: Patience, stop: CancellationToken) {
    let (places, tracker) = (Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (socket, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                sleep(BREATH).await;
                continue;
            }
        };
        let (router, metrics, stop) = (router.clone(), metrics.clone(), stop.clone());
        tracker.spawn(async move {
            metrics.connections.inc();
            hold(socket, router, patience, stop).await;
            metrics.connections.dec();
            drop(place);
        });
    }
    drop(listener);
    tracker.close();
    if timeout(patience.drain, tracker.wait()).await.is_err() {
        tracing::warn!(connections = tracker.len(), "some requests were not finished in time");
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (socket, _) = listener.accept().await?;
    // Answers are small and final: waiting to fill a packet only delays them.
    let _ = socket.set_nodelay(true);
    Ok((socket, place))
}

/// The client went away before it was accepted; the next one is not concerned.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn hold(socket: TcpStream, router: Router, patience: Patience, stop: CancellationToken) {
    let pace = Pace::new(patience);
    let io = TokioIo::new(Patient::new(socket, pace.clone()));
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(pace.serving());
        let (router, pace) = (router.clone(), pace.clone());
        async move {
            let response = router.oneshot(request).await;
            pace.answered();
            response
        }
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_headers(HEADERS).max_buf_size(HEAD_BYTES);
    let connection = builder.serve_connection(io, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
