//! Who is alive, and which partitions are whose.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use trackway_crds::names::{EVENT_PARTITIONS, label_hash};

use crate::connection::ANSWER_LIMIT;
use crate::follow::Follow;
use crate::kv_many::live;
use crate::subjects::token;
use crate::{Kv, Nats, NatsError};

const HEARTBEAT: Duration = Duration::from_secs(3);
/// Three heartbeats missed and some patience; with the time to our own next heartbeat it stays below the bucket's 15 s.
const SILENT: SignedDuration = SignedDuration::from_secs(11);
/// How long joining waits to read its own first heartbeat.
const JOIN_LIMIT: Duration = Duration::from_secs(10);

const HERE: &[u8] = b"here";
const GONE: &[u8] = b"gone";

/// This process among those of its component: they share the partitions of the events. Dropping it says goodbye.
///
/// For a few seconds after a change two members may have the same partition; that is wasteful and must never be wrong.
#[derive(Debug)]
pub struct Membership {
    partitions: watch::Receiver<BTreeSet<u8>>,
    /// Dropped to end the task.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Membership {
    /// Joins as `<component>.<instance_id>` and finds the others. `instance_id` is new with every process: letters, digits, `-`
    /// and `_`. Must be called within a tokio runtime, which then sends a heartbeat every 3 s.
    ///
    /// # Errors
    /// [`NatsError`].
    pub async fn join(nats: &Nats, component: &str, instance_id: &str) -> Result<Self, NatsError> {
        token("component", component)?;
        token("instance id", instance_id)?;
        let kv = Kv::members(nats);
        let follow = Follow::new(kv.reading(&format!("{component}.*"))?, 0);
        let key = format!("{component}.{instance_id}");
        let mut member = Member { kv, key: key.clone(), follow, circle: Circle::new(key) };
        let revision = member.beat(HERE).await?;
        member.follow.open().await?;
        // Everybody who spoke before us is heard before our own first word.
        let first = async {
            while member.hear().await? < revision {}
            Ok(())
        };
        timeout(JOIN_LIMIT, first)
            .await
            .unwrap_or_else(|_| Err(NatsError::transient("join the members", format!("not heard within {JOIN_LIMIT:?}"))))?;
        let (tell, partitions) = watch::channel(member.circle.partitions());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(member.live(tell, stopped));
        Ok(Self { partitions, stop, task })
    }

    /// The partitions that are ours, as they change.
    #[must_use]
    pub fn partitions(&self) -> watch::Receiver<BTreeSet<u8>> {
        self.partitions.clone()
    }

    /// Says goodbye, so that others take over at once. Takes at most 5 s.
    pub async fn leave(self) {
        drop(self.stop);
        if timeout(ANSWER_LIMIT, self.task).await.is_err() {
            tracing::warn!("no goodbye to the other members, they find out by themselves");
        }
    }
}

struct Member {
    kv: Kv,
    key: String,
    follow: Follow,
    circle: Circle,
}

impl Member {
    /// Not a method that borrows the member: its reading is no part of a word.
    fn beat(&self, word: &'static [u8]) -> impl Future<Output = Result<u64, NatsError>> + Send + use<> {
        let (kv, key) = (self.kv.clone(), self.key.clone());
        async move { kv.put(&key, Bytes::from_static(word)).await }
    }

    /// Takes one word of a member in; returns its revision.
    async fn hear(&mut self) -> Result<u64, NatsError> {
        let followed = self.follow.next().await?;
        if let Some(key) = self.kv.key(&followed.message) {
            let here = live(&followed.message, followed.sequence).is_some_and(|entry| entry.value != GONE);
            self.circle.hear(&key, followed.stored_at, here);
        }
        Ok(followed.sequence)
    }

    async fn live(mut self, tell: watch::Sender<BTreeSet<u8>>, mut stopped: oneshot::Receiver<()>) {
        let mut beats = interval(HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                _ = beats.tick() => {
                    if let Err(error) = self.beat(HERE).await {
                        tracing::warn!(%error, "no heartbeat");
                    }
                }
                heard = self.hear() => {
                    if let Err(error) = heard {
                        tracing::error!(%error, "cannot hear the other members, trying again");
                        tokio::time::sleep(HEARTBEAT).await;
                    }
                    let ours = self.circle.partitions();
                    tell.send_if_modified(|told| {
                        let changed = *told != ours;
                        if changed {
                            tracing::info!(member = self.key, partitions = ours.len(), "other partitions are ours now");
                            *told = ours;
                        }
                        changed
                    });
                }
            }
        }
        if let Err(error) = self.beat(GONE).await {
            tracing::warn!(%error, "no goodbye to the other members, they find out by themselves");
        }
    }
}

/// Who was heard when, by the server's clock only.
struct Circle {
    me: String,
    heard: BTreeMap<String, Timestamp>,
}

impl Circle {
    fn new(me: String) -> Self {
        Self { me, heard: BTreeMap::new() }
    }

    fn hear(&mut self, member: &str, at: Timestamp, here: bool) {
        if *member == self.me {
            self.hear_myself(at);
        } else if here {
            let known = self.heard.entry(member.to_owned()).or_insert(at);
            *known = at.max(*known);
        } else if self.heard.get(member).is_some_and(|known| *known <= at) {
            self.heard.remove(member);
        }
    }

    fn hear_myself(&mut self, at: Timestamp) {
        let before = self.heard.insert(self.me.clone(), at);
        let away = before.is_some_and(|before| at.duration_since(before) >= SILENT);
        if away {
            // We could not speak for so long; that the others did not either says nothing about them.
            self.heard.values_mut().for_each(|heard| *heard = at);
        }
        self.heard.retain(|_, heard| at.duration_since(*heard) < SILENT);
    }

    fn partitions(&self) -> BTreeSet<u8> {
        owned(&self.me, self.heard.keys().map(String::as_str))
    }
}

/// The partitions of `me` among `members`, by rendezvous hashing: each goes to the member whose hash with it is highest, so that
/// one who comes or goes moves only its own.
fn owned<'a>(me: &'a str, members: impl Iterator<Item = &'a str>) -> BTreeSet<u8> {
    let members: BTreeSet<&str> = members.chain([me]).collect();
    let owner =
        |partition: u8| members.iter().max_by_key(|member| (label_hash(&format!("{partition} {member}")), Reverse(**member)));
    (0..EVENT_PARTITIONS).filter(|partition| owner(*partition) == Some(&me)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(members: &[String]) -> BTreeMap<&str, BTreeSet<u8>> {
        members.iter().map(|me| (me.as_str(), owned(me, members.iter().map(String::as_str)))).collect()
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("batcher.{index}")).collect()
    }

    #[test]
    fn every_partition_has_exactly_one_owner() {
        for count in 1..12 {
            let members = names(count);
            let mut all: Vec<u8> = shares(&members).into_values().flatten().collect();
            all.sort_unstable();
            assert_eq!(all, (0..EVENT_PARTITIONS).collect::<Vec<_>>(), "{count} members");
        }
    }

    #[test]
    fn who_comes_takes_only_its_own_and_nothing_moves_between_the_others() {
        for count in 1..12 {
            let (few, many) = (names(count), names(count + 1));
            let (before, after) = (shares(&few), shares(&many));
            let newcomer = &after[many[count].as_str()];
            for (member, share) in before {
                assert_eq!(&share - newcomer, after[member], "{member} of {count}");
            }
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn others(circle: &Circle) -> Vec<&str> {
        circle.heard.keys().map(String::as_str).filter(|member| *member != circle.me).collect()
    }

    #[test]
    fn a_silent_member_is_missed_within_15_seconds_and_one_that_left_at_once() {
        let mut circle = Circle::new("b.me".to_owned());
        for second in [0, 3] {
            circle.hear("b.me", at(second), true);
            circle.hear("b.you", at(second), true);
            circle.hear("b.they", at(second), true);
        }
        circle.hear("b.they", at(4), false);
        assert_eq!(others(&circle), ["b.you"]);
        let missed = (6..30).step_by(3).find(|second| {
            circle.hear("b.me", at(*second), true);
            others(&circle).is_empty()
        });
        assert_eq!(missed.map(|second| second - 3), Some(12));
        assert_eq!(circle.partitions().len(), usize::from(EVENT_PARTITIONS));
    }

    #[test]
    fn after_an_outage_nobody_is_given_up_before_it_could_speak() {
        let mut circle = Circle::new("b.me".to_owned());
        circle.hear("b.me", at(0), true);
        circle.hear("b.you", at(0), true);
        circle.hear("b.me", at(60), true);
        assert_eq!(others(&circle), ["b.you"]);
        circle.hear("b.me", at(63), true);
        circle.hear("b.you", at(64), true);
        circle.hear("b.me", at(66), true);
        circle.hear("b.me", at(72), true);
        assert_eq!(others(&circle), ["b.you"]);
    }

    #[test]
    fn a_word_heard_twice_brings_nobody_back_or_away() {
        let mut circle = Circle::new("b.me".to_owned());
        circle.hear("b.me", at(0), true);
        circle.hear("b.you", at(5), true);
        circle.hear("b.you", at(3), false);
        assert_eq!(others(&circle), ["b.you"]);
    }
}
