//! How long a connection may keep us waiting.
//!
//! ```text
//! made, or answered ──first byte──▶ a request comes in ──its head is read──▶ it is answered ──▶ answered
//!   (Idle, 75 s)                      (Head, 10 s)                             (Serving: its own limits)
//! ```
//!
//! hyper's own limit for heads counts from the answer before, so it would also close idle connections that a proxy is about to
//! use again.

use crate::guard::{Arrival, REQUEST_TIME};
use std::{
    io::{self, ErrorKind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// Limits of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From a request's first byte to its last; and for a client to take what we answer.
    pub request: Duration,
    /// Between requests of a connection. Longer than the 60 s that proxies keep idle connections, so that they close them, not we.
    pub idle: Duration,
    /// For requests in hand when told to stop.
    pub drain: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { request: REQUEST_TIME, idle: Duration::from_secs(75), drain: Duration::from_secs(20) }
    }
}

/// What a connection does, and until when.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Idle { until: Instant },
    Head { until: Instant },
    Serving,
}

/// Where a connection stands; shared by its socket and its service.
#[derive(Clone, Debug)]
pub struct Pace {
    phase: Arc<Mutex<Phase>>,
    patience: Patience,
}

impl Pace {
    /// Of a connection made just now. Its first request must begin at once.
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        let phase = Phase::Head { until: Instant::now() + patience.request };
        Self { phase: Arc::new(Mutex::new(phase)), patience }
    }

    /// A request's head is read. Its body must be there at what is returned.
    pub fn serving(&self) -> Arrival {
        match std::mem::replace(&mut *self.lock(), Phase::Serving) {
            Phase::Head { until } => Arrival(until),
            // Its bytes came together with those of the request before.
            Phase::Idle { .. } | Phase::Serving => Arrival(Instant::now() + self.patience.request),
        }
    }

    /// It is answered.
    pub fn answered(&self) {
        *self.lock() = Phase::Idle { until: Instant::now() + self.patience.idle };
    }

    fn heard(&self) {
        let mut phase = self.lock();
        if let Phase::Idle { .. } = *phase {
            *phase = Phase::Head { until: Instant::now() + self.patience.request };
        }
    }

    /// When a silent client is given up.
    fn until(&self) -> Option<Instant> {
        match *self.lock() {
            Phase::Idle { until } | Phase::Head { until } => Some(until),
            Phase::Serving => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that gives up when its client keeps us waiting.
#[derive(Debug)]
pub struct Patient<S> {
    socket: S,
    pace: Pace,
    reading: Pin<Box<Sleep>>,
    /// Since when the client takes nothing of what we send.
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// `socket` at this pace.
    #[must_use]
    pub fn new(socket: S, pace: Pace) -> Self {
        Self { socket, pace, reading: Box::pin(sleep_until(Instant::now())), writing: None }
    }

    /// Waits for the client to take something, not for ever.
    fn poll_taken<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.writing = None;
            return outcome;
        }
        let until = Instant::now() + self.pace.patience.request;
        let writing = self.writing.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(writing.as_mut().poll(context));
        Poll::Ready(Err(gave_up()))
    }
}

fn gave_up() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the client kept us waiting")
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(outcome) = Pin::new(&mut self.socket).poll_read(context, buffer) {
            if buffer.filled().len() > before {
                self.pace.heard();
            }
            return Poll::Ready(outcome);
        }
        let Some(until) = self.pace.until() else { return Poll::Pending };
        if self.reading.deadline() != until {
            self.reading.as_mut().reset(until);
        }
        ready!(self.reading.as_mut().poll(context));
        Poll::Ready(Err(gave_up()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.poll_taken(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, bytes);
        self.poll_taken(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_in_is_given_up_and_an_idle_connection_is_not() {
        let (mut client, server) = duplex(64);
        let pace = Pace::new(Patience::default());
        let mut socket = Patient::new(server, pace.clone());
        client.write_all(b"G").await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), b'G');
        pace.serving();
        pace.answered();
        let trickle = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let started = Instant::now();
        let mut bytes = Vec::new();
        assert_eq!(socket.read_to_end(&mut bytes).await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!((started.elapsed().as_secs(), bytes.len()), (70, 10));
        drop(socket);
        trickle.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (_client, server) = duplex(64);
        let mut socket = Patient::new(server, Pace::new(Patience::default()));
        let started = Instant::now();
        assert_eq!(socket.write_all(&[0; 65]).await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_be_there_so_long_after_the_first_byte_of_its_head() {
        let (mut client, server) = duplex(64);
        let pace = Pace::new(Patience::default());
        let started = Instant::now();
        let mut socket = Patient::new(server, pace.clone());
        tokio::time::sleep(Duration::from_secs(4)).await;
        client.write_all(b"G").await.unwrap();
        socket.read_u8().await.unwrap();
        assert_eq!(pace.serving().0, started + Duration::from_secs(10));
    }
}
