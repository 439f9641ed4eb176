//! One partition, from its checkpoint on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use trackway_nats::{NatsError, Retryable, StreamEvent, with_retry};

use crate::partitions::buffer::{Budget, Buffer, FlushPolicy, Reason};
use crate::partitions::checkpoint::{Checkpoint, Checkpoints, Pending};
use crate::partitions::history::{History, Reader};
use crate::partitions::metrics::{Lag, Metrics};
use crate::partitions::range::{EventRange, RangeWriter, WriteError, Written};
use crate::partitions::read::{Unreadable, read};

/// Between two tries of what a person must mend.
const WAIT_FOR_A_PERSON: Duration = Duration::from_secs(30);
/// Reads of an interrupted range before what does not come counts as expired: a replica may lag behind.
const READS_OF_A_RANGE: usize = 5;
const BETWEEN_READS: Duration = Duration::from_secs(1);

/// Writes one partition's events, in order. Several may do so at the same time, in one process or in many: wasteful, never wrong.
#[derive(Debug)]
pub struct Partition<H, C, W> {
    /// Which.
    pub number: u8,
    /// Where its events come from.
    pub history: Arc<H>,
    /// Where it is kept how far it was written.
    pub checkpoints: Arc<C>,
    /// What is done with a range.
    pub writer: Arc<W>,
    /// How large a range becomes.
    pub policy: FlushPolicy,
    /// What all partitions may hold together.
    pub budget: Budget,
    /// How many partitions may write at the same time.
    pub flushes: Arc<Semaphore>,
    /// What is counted.
    pub metrics: Metrics,
}

/// The checkpoint as this process knows it.
struct Position {
    checkpoint: Checkpoint,
    revision: u64,
}

impl<H: History, C: Checkpoints, W: RangeWriter> Partition<H, C, W> {
    /// Runs until it is dropped, which may be at any moment: whoever runs the partition next goes on from there.
    ///
    /// # Errors
    /// What NATS refuses for good, or a checkpoint that is none.
    pub async fn run(&self) -> Result<Infallible, NatsError> {
        let lag = self.metrics.lag(self.number);
        let mut position = self.settle().await?;
        let after = position.checkpoint.applied;
        let follow = || self.history.follow(self.number, after);
        let mut reader = with_retry(None, "read events", follow).await?;
        let mut buffer = Buffer::new(self.policy, self.budget.clone());
        loop {
            let reason = fill(&mut reader, &mut buffer, &lag).await?;
            let taken = buffer.take();
            position = self.flush(position, &taken.messages, reason).await?;
            lag.nothing_waits();
        }
    }

    /// The checkpoint with nothing under way: what somebody has begun is written to its end first.
    async fn settle(&self) -> Result<Position, NatsError> {
        loop {
            let load = || self.checkpoints.load(self.number);
            let (checkpoint, revision) = with_retry(None, "load a checkpoint", load).await?;
            let Some(pending) = checkpoint.pending else { return Ok(Position { checkpoint, revision }) };
            tracing::info!(partition = self.number, pending.first, pending.last, "writing again what was begun");
            let (messages, complete) = self.read_again(pending).await?;
            self.write(pending, &Arc::new(messages), complete, Reason::Resumed).await;
            if let Some(position) = self.applied(pending, revision).await? {
                return Ok(position);
            }
        }
    }

    /// Writes `messages`, or those of them that nobody else has written meanwhile.
    async fn flush(&self, position: Position, messages: &Arc<Vec<StreamEvent>>, reason: Reason) -> Result<Position, NatsError> {
        let (mut position, mut messages) = (position, Arc::clone(messages));
        loop {
            let applied = position.checkpoint.applied;
            if messages.first().is_some_and(|first| first.sequence <= applied) {
                messages = Arc::new(messages.iter().filter(|message| message.sequence > applied).cloned().collect());
            }
            let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return Ok(position) };
            let pending = Pending { first: first.sequence, last: last.sequence, messages: messages.len() as u64 };
            let begun = self.save(&position.checkpoint.with(pending), position.revision).await?;
            if let Some(revision) = begun {
                self.write(pending, &messages, true, reason).await;
                if let Some(position) = self.applied(pending, revision).await? {
                    return Ok(position);
                }
            }
            // Somebody else writes this partition: go on from what they have written.
            self.metrics.conflicts.inc();
            position = self.settle().await?;
        }
    }

    async fn applied(&self, pending: Pending, revision: u64) -> Result<Option<Position>, NatsError> {
        let checkpoint = Checkpoint::at(pending.last);
        let saved = self.save(&checkpoint, revision).await?;
        Ok(saved.map(|revision| Position { checkpoint, revision }))
    }

    async fn save(&self, checkpoint: &Checkpoint, revision: u64) -> Result<Option<u64>, NatsError> {
        with_retry(None, "save a checkpoint", || self.checkpoints.save(self.number, checkpoint, revision)).await
    }

    /// The messages of `pending` and whether they are all there.
    async fn read_again(&self, pending: Pending) -> Result<(Vec<StreamEvent>, bool), NatsError> {
        let Pending { first, last, messages } = pending;
        let mut found = Vec::new();
        for attempt in 0..READS_OF_A_RANGE {
            if attempt > 0 {
                sleep(BETWEEN_READS).await;
            }
            let read = || self.history.read_range(self.number, first, last);
            found = with_retry(None, "read a range of events", read).await?;
            if found.len() as u64 >= messages {
                return Ok((found, true));
            }
        }
        let lost = messages.saturating_sub(found.len() as u64);
        self.metrics.lost.inc_by(lost);
        tracing::error!(
            partition = self.number,
            first,
            last,
            lost,
            "events have expired before they were written for certain: keep events longer than this was down; going on without"
        );
        Ok((found, false))
    }

    /// Does not come back before it is written.
    async fn write(&self, pending: Pending, messages: &Arc<Vec<StreamEvent>>, complete: bool, reason: Reason) {
        // Never closed.
        let _permit = self.flushes.acquire().await.ok();
        let started = Instant::now();
        let (events, unreadable) = read(Arc::clone(messages)).await;
        let range = EventRange { partition: self.number, first: pending.first, last: pending.last, events, complete };
        let range = Arc::new(range);
        let written = loop {
            let attempt = || self.attempt(&range, messages, &unreadable);
            match with_retry(None, "write a range of events", attempt).await {
                Ok(written) => break written,
                Err(error) => {
                    self.metrics.failures.inc();
                    tracing::error!(partition = self.number, pending.first, pending.last, %error, "cannot write: mend it");
                    sleep(WAIT_FOR_A_PERSON).await;
                }
            }
        };
        self.metrics.unreadable.inc_by(unreadable.len() as u64);
        self.metrics.wrote(&written, reason, started.elapsed());
        let Written { rows, files, bytes } = written;
        tracing::debug!(
            partition = self.number,
            pending.first,
            pending.last,
            rows,
            files,
            bytes,
            reason = reason.as_str(),
            "wrote"
        );
    }

    async fn attempt(
        &self,
        range: &Arc<EventRange>,
        all: &[StreamEvent],
        unreadable: &[Unreadable],
    ) -> Result<Written, WriteError> {
        for Unreadable { index, reason } in unreadable {
            let Some(message) = all.get(*index) else { continue };
            self.history.set_aside(message, reason).await?;
        }
        let written = self.writer.write(Arc::clone(range)).await;
        if written.as_ref().is_err_and(Retryable::is_transient) {
            self.metrics.failures.inc();
        }
        written
    }
}

/// Reads until it is time to write.
async fn fill(reader: &mut impl Reader, buffer: &mut Buffer, lag: &Lag) -> Result<Reason, NatsError> {
    loop {
        let due = async {
            match buffer.due() {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            () = due => return Ok(Reason::Age),
            message = reader.next() => message?,
        };
        lag.waits_since(message.stored_at);
        if let Some(reason) = buffer.push(message, Instant::now()) {
            return Ok(reason);
        }
    }
}
