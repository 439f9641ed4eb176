//! Ends the process at its k-th API write, so that tests can put a crash before, after and between any two of them.
//!
//! `TRACKWAY_FAULT_EXIT_AFTER_WRITES=k` counts from 1; `TRACKWAY_FAULT_EXIT_MODE` is `after` (the default: the answer has
//! come, nobody has seen it) or `before` (nothing was sent). Leases and events do not count: their number depends on time.

use http::{Method, Request, Response};
use kube::client::Body;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use tower::{Layer, Service};

use crate::ClientError;

const WRITES: &str = "TRACKWAY_FAULT_EXIT_AFTER_WRITES";
const MODE: &str = "TRACKWAY_FAULT_EXIT_MODE";

/// As if killed: what `kill -9` gives a shell.
const KILLED: i32 = 137;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

/// Counts writes and ends the process at the k-th.
#[derive(Clone)]
pub(crate) struct ExitAtWrite {
    fatal: u64,
    moment: Moment,
    writes: Arc<AtomicU64>,
    end: Arc<dyn Fn() + Send + Sync>,
}

impl ExitAtWrite {
    /// The fault the environment asks for.
    pub(crate) fn from_env() -> Result<Option<Self>, ClientError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ClientError> {
        let Some(writes) = get(WRITES) else { return Ok(None) };
        let fatal = writes.parse().ok().filter(|fatal| *fatal > 0);
        let fatal = fatal.ok_or(ClientError::Fault { variable: WRITES, value: writes, allowed: "a number from 1" })?;
        let moment = match get(MODE).as_deref() {
            None | Some("after") => Moment::After,
            Some("before") => Moment::Before,
            Some(other) => {
                return Err(ClientError::Fault { variable: MODE, value: other.to_owned(), allowed: "before or after" });
            }
        };
        Ok(Some(Self { fatal, moment, writes: Arc::default(), end: Arc::new(|| std::process::exit(KILLED)) }))
    }
}

impl<S> Layer<S> for ExitAtWrite {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, fault: self.clone() }
    }
}

/// A client's transport, counted.
pub(crate) struct Counted<S> {
    inner: S,
    fault: ExitAtWrite,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let fatal = counts(&request) && self.fault.writes.fetch_add(1, Ordering::SeqCst) + 1 == self.fault.fatal;
        if fatal && self.fault.moment == Moment::Before {
            (self.fault.end)();
        }
        let end = (fatal && self.fault.moment == Moment::After).then(|| Arc::clone(&self.fault.end));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if let Some(end) = end {
                end();
            }
            answer
        })
    }
}

fn counts<B>(request: &Request<B>) -> bool {
    let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(request.method());
    let timed = request.uri().path().split('/').any(|part| part == "leases" || part == "events");
    writes && !timed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tower::{ServiceExt, service_fn};

    /// What happened, in order: `sent METHOD PATH` and `end`.
    async fn story(mode: Option<&'static str>, requests: &[(&'static str, &'static str)]) -> Vec<String> {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let variables = move |name: &str| match name {
            WRITES => Some("2".to_owned()),
            _ => mode.map(str::to_owned),
        };
        let mut layer = ExitAtWrite::from_variables(variables).unwrap().unwrap();
        let ended = Arc::clone(&log);
        layer.end = Arc::new(move || ended.lock().unwrap().push("end".to_owned()));
        let sent = Arc::clone(&log);
        let mut service = layer.layer(service_fn(move |request: Request<Body>| {
            sent.lock().unwrap().push(format!("sent {} {}", request.method(), request.uri().path()));
            async { Ok::<_, std::convert::Infallible>(Response::new(())) }
        }));
        for (method, path) in requests {
            let request = Request::builder().method(*method).uri(*path).body(Body::empty()).unwrap();
            service.ready().await.unwrap().call(request).await.unwrap();
        }
        let log = log.lock().unwrap();
        log.clone()
    }

    const REQUESTS: [(&str, &str); 5] = [
        ("GET", "/apis/batch/v1/jobs"),
        ("POST", "/apis/batch/v1/namespaces/a/jobs"),
        ("POST", "/apis/events.k8s.io/v1/namespaces/a/events"),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/trackway-operator"),
        ("PUT", "/apis/trackway.dev/v1alpha1/namespaces/a/batchruns/x/status"),
    ];

    #[tokio::test]
    async fn after_the_kth_write_was_answered_the_process_ends() {
        let story = story(None, &REQUESTS).await;
        assert_eq!(story[4..], ["sent PUT /apis/trackway.dev/v1alpha1/namespaces/a/batchruns/x/status", "end"]);
    }

    #[tokio::test]
    async fn in_mode_before_the_kth_write_is_not_sent() {
        let story = story(Some("before"), &REQUESTS).await;
        assert_eq!(story[4], "end");
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (writes, mode, expected) in [("0", "after", WRITES), ("x", "after", WRITES), ("3", "sometimes", MODE)] {
            let outcome = ExitAtWrite::from_variables(|name| Some(if name == WRITES { writes } else { mode }.to_owned()));
            let error = outcome.err().unwrap().to_string();
            assert!(error.starts_with(&format!("{expected}=")), "{error}");
        }
    }
}
