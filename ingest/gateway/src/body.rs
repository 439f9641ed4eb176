//! A body as it comes in: never longer than its limit, never longer in coming than its time, and all of them together never
//! more than the memory set aside for them.

use crate::problem::{Kind, Problem};
use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// How much of a refused body is still read, so that its sender gets to read the answer instead of a broken connection.
const LEFT_OVER: usize = 1024 * 1024;
/// How long that may take.
const LEFT_OVER_TIME: Duration = Duration::from_millis(500);
/// Memory is set aside in pieces of so many bytes.
const PIECE: usize = 1024;
/// What a parsed value takes in memory: a list's item of 32 bytes or an object's entry with a short key.
const VALUE: usize = 64;
/// Most values in a body. More would be more memory than all requests may take together.
const VALUES: usize = 1_000_000;
/// When there is none, the next second may have some.
const BUSY: Duration = Duration::from_secs(1);

/// Memory for bodies and what is made of them, shared by all requests.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Semaphore>);

/// Memory set aside for one request; given back when dropped.
#[derive(Debug, Default)]
pub struct Share(Option<OwnedSemaphorePermit>);

impl Memory {
    /// `bytes` for all requests together.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / PIECE)))
    }

    /// Adds `bytes` to `share`.
    ///
    /// # Errors
    /// When the others have taken it all.
    pub fn grow(&self, share: &mut Share, bytes: usize) -> Result<(), Problem> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.0).try_acquire_many_owned(pieces).map_err(|_| {
            Problem::new(Kind::Unavailable, "the gateway has its hands full; send it again in a second").after(BUSY)
        })?;
        match &mut share.0 {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

/// A body not read yet.
#[derive(Debug)]
pub struct Incoming {
    body: Body,
    declared: Option<u64>,
    deadline: Instant,
    memory: Memory,
    share: Share,
}

impl Incoming {
    /// `body` of a request with `headers`; it must be there at `deadline`.
    #[must_use]
    pub fn new(body: Body, headers: &HeaderMap, deadline: Instant, memory: Memory) -> Self {
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let declared = declared.or_else(|| body.size_hint().exact());
        Self { body, declared, deadline, memory, share: Share::default() }
    }

    /// All of it, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// When it is longer (before the rest is read), comes too slowly, breaks off, or there is no memory for it.
    pub async fn read(&mut self, limit: usize) -> Result<Bytes, Problem> {
        if self.declared.is_some_and(|length| length > u64::try_from(limit).unwrap_or(u64::MAX)) {
            return Err(too_large(limit));
        }
        let mut all = BytesMut::new();
        loop {
            let frame = timeout_at(self.deadline, self.body.frame()).await.map_err(|_| too_slow())?;
            let Some(frame) = frame else { return Ok(all.freeze()) };
            let frame = frame.map_err(|_| Problem::new(Kind::Malformed, "the body broke off; send it again"))?;
            let Ok(data) = frame.into_data() else { continue };
            if all.len() + data.len() > limit {
                return Err(too_large(limit));
            }
            self.memory.grow(&mut self.share, data.len())?;
            all.extend_from_slice(&data);
        }
    }

    /// Sets more memory aside, for what is made of the body.
    ///
    /// # Errors
    /// When there is none.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Problem> {
        self.memory.grow(&mut self.share, bytes)
    }

    /// Throws away what is left, as far as that is little. Without this the connection breaks while its sender still sends, and
    /// many senders then never read the answer.
    pub async fn discard(&mut self) {
        if self.declared.is_some_and(|length| length > 16 * u64::try_from(LEFT_OVER).unwrap_or(u64::MAX)) {
            return;
        }
        let until = self.deadline.min(Instant::now() + LEFT_OVER_TIME);
        let mut seen = 0;
        while seen < LEFT_OVER {
            match timeout_at(until, self.body.frame()).await {
                Ok(Some(Ok(frame))) => seen += frame.data_ref().map_or(0, Bytes::len),
                _ => return,
            }
        }
    }
}

/// Memory that reading `bytes` as JSON and writing it again takes, about; known without parsing. They need not be JSON.
///
/// # Errors
/// When it is more than any request may take.
pub fn parsed_size(bytes: &[u8]) -> Result<usize, Problem> {
    let (mut values, mut in_text, mut escaped) = (1_usize, false, false);
    for byte in bytes {
        match (in_text, byte) {
            _ if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'{' | b'[' | b',') => values += 1,
            _ => {}
        }
    }
    if values > VALUES {
        let detail = format!("the body has {values} JSON values, at most {VALUES} are read; send less at a time");
        return Err(Problem::new(Kind::TooLarge, detail));
    }
    Ok(values * VALUE + 2 * bytes.len())
}

/// It is longer than `limit`.
pub fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("the body has more than the {limit} bytes that are read here; send less at a time"))
}

/// It did not arrive in time.
pub fn too_slow() -> Problem {
    Problem::new(Kind::TooSlow, "the request took more than 10 s to arrive; send it faster, or less at a time")
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::convert::Infallible;

    fn incoming(body: Body, memory: &Memory) -> Incoming {
        Incoming::new(body, &HeaderMap::new(), Instant::now() + Duration::from_secs(10), memory.clone())
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_and_no_byte_further() {
        let memory = Memory::new(1 << 20);
        assert_eq!(incoming(Body::from("12345678"), &memory).read(8).await.unwrap(), "12345678");
        assert_eq!(incoming(Body::from("123456789"), &memory).read(8).await.unwrap_err().kind, Kind::TooLarge);
        let endless = Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 4096]))));
        assert_eq!(incoming(endless, &memory).read(100_000).await.unwrap_err().kind, Kind::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_given_up_in_time() {
        let memory = Memory::new(1 << 20);
        let silent = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let started = Instant::now();
        assert_eq!(incoming(silent, &memory).read(8).await.unwrap_err().kind, Kind::TooSlow);
        assert_eq!(started.elapsed().as_secs(), 10);
    }

    #[tokio::test]
    async fn all_bodies_together_take_no_more_than_was_set_aside() {
        let memory = Memory::new(64 * 1024);
        let mut first = incoming(Body::from(vec![0; 60 * 1024]), &memory);
        first.read(1 << 20).await.unwrap();
        let mut second = incoming(Body::from(vec![0; 60 * 1024]), &memory);
        assert_eq!(second.read(1 << 20).await.unwrap_err().kind, Kind::Unavailable);
        drop(first);
        let mut third = incoming(Body::from(vec![0; 60 * 1024]), &memory);
        assert!(third.read(1 << 20).await.is_ok());
    }
}
