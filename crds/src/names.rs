//! Names that are functions of what they name, so that doing a thing twice makes the same object.

use sha2::{Digest, Sha256};

/// Longest name of a Track: run names and Job names derived from it must fit a pod's 63.
pub const TRACK_MAX: usize = 28;
/// Longest name of a stage.
pub const STAGE_MAX: usize = 24;
/// Stands for a stage where the debugger's Job, results and payloads are named; no stage can be called so.
pub const DEBUGGER: &str = "Debugger";
/// Longest name of a Job.
pub const JOB_MAX: usize = 52;

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The run of `track` for `batch`: `<track>-<8 of the batch id>`. Ids of more than 8 characters, or with others than a–z and
/// 0–9, are hashed.
#[must_use]
pub fn run_name(track: &str, batch_id: &str) -> String {
    format!("{track}-{}", batch_short_id(batch_id))
}

/// The part of a run's name that the runs of one batch share.
#[must_use]
pub fn batch_short_id(batch_id: &str) -> String {
    let fits = (1..=8).contains(&batch_id.len()) && batch_id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if fits { batch_id.to_owned() } else { short_hash(&[batch_id]) }
}

/// The Job of one try: `<run>-<8 of H(run uid, stage, attempt, try)>`.
#[must_use]
pub fn job_name(run: &str, run_uid: &str, stage: &str, attempt: u32, try_: u32) -> String {
    format!("{run}-{}", short_hash(&[run_uid, stage, &attempt.to_string(), &try_.to_string()]))
}

/// The Job of one wave of a fan-out: `<run>-<8 of H(run uid, stage, "wave", wave, try)>`. A wave has no attempt of its own; its
/// `try` grows when somebody else has used the name.
#[must_use]
pub fn wave_job_name(run: &str, run_uid: &str, stage: &str, wave: u32, try_: u32) -> String {
    format!("{run}-{}", short_hash(&[run_uid, stage, "wave", &wave.to_string(), &try_.to_string()]))
}

/// 8 base32 characters of the parts' hash. Each part's length is hashed with it, so ("a", "bc") and ("ab", "c") differ.
#[must_use]
pub fn short_hash(parts: &[&str]) -> String {
    hash_bytes(parts).iter().take(8).map(|byte| char::from(BASE32[usize::from(byte & 31)])).collect()
}

/// A label value for something that may not be shown or may not fit: 16 hexadecimal digits of its hash.
#[must_use]
pub fn label_hash(text: &str) -> String {
    hash_bytes(&[text]).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What a receiver of notices tells repeats by: 64 hexadecimal digits of H(tenant, batch id, track, channel, key of the item, name
/// of the root run). It holds no uid, so a crash between sending and recording, a replay or a restored run repeats it and never
/// makes a new one (invariant 12).
#[must_use]
pub fn delivery_id(tenant: &str, batch_id: &str, track: &str, channel: &str, key: &str, root_run: &str) -> String {
    hash_bytes(&[tenant, batch_id, track, channel, key, root_run]).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Partitions of the stream EVENTS. Fixed for ever: state is kept by partition.
pub const EVENT_PARTITIONS: u8 = 64;

/// What an event is recognised by when it comes again: 32 hexadecimal digits of H(tenant, id of the source configuration, `source`
/// and `id` of the CloudEvent). Two tenants that use the same source and id do not collide.
#[must_use]
pub fn event_key(tenant: &str, origin: &str, source: &str, id: &str) -> String {
    hash_bytes(&[tenant, origin, source, id]).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The partition of a tenant's events, below [`EVENT_PARTITIONS`].
#[must_use]
pub fn partition(tenant: &str) -> u8 {
    hash_bytes(&["partition", tenant])[0] % EVENT_PARTITIONS
}

/// Buckets of a tenant's users in the subjects of EVENTS. Whether a key is taken is asked of each of them; who reads one user's events
/// reads past those of the others in its bucket.
pub const USER_BUCKETS: u8 = 64;

/// The bucket of a user's events, below [`USER_BUCKETS`].
#[must_use]
pub fn user_bucket(user: &str) -> u8 {
    hash_bytes(&["user bucket", user])[0] % USER_BUCKETS
}

/// The id of the batch of `level` of `subject` that begins with the event of sequence `first`: 16 of a–z and 2–7.
#[must_use]
pub fn batch_id(level: &str, tenant: &str, subject: &str, first: u64) -> String {
    let first = first.to_string();
    let hash = hash_bytes(&["batch", level, tenant, subject, &first]);
    hash.iter().take(16).map(|byte| char::from(BASE32[usize::from(byte & 31)])).collect()
}

/// The questionnaire that asks `tenant` these questions: `q-<8 of H(tenant, subject, questions)>`, so that runs that ask the same
/// share it. `questions`: each question's id, text and schema.
#[must_use]
pub fn questionnaire_name(tenant: &str, subject: &str, questions: &[(&str, &str, &str)]) -> String {
    let mut parts = vec![tenant, subject];
    parts.extend(questions.iter().flat_map(|(id, text, schema)| [*id, *text, *schema]));
    format!("q-{}", short_hash(&parts))
}

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash_bytes(parts: &[&str]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_of_one_batch_share_their_suffix() {
        assert_eq!(run_name("admin", "b7k2f9q1"), "admin-b7k2f9q1");
        assert_eq!(run_name("team", "b7k2f9q1"), "team-b7k2f9q1");
        let long = run_name("team", "batch-of-2026-11-22");
        assert_eq!(long.len(), "team-".len() + 8);
    }

    #[test]
    fn inv09_the_key_of_an_event_tells_tenants_and_sources_apart() {
        let usual = ["octo-org", "github", "https://github.example/octo", "4f1c"];
        let key = |parts: [&str; 4]| event_key(parts[0], parts[1], parts[2], parts[3]);
        assert_eq!(key(usual).len(), 32);
        for part in 0..usual.len() {
            let mut other = usual;
            other[part] = "other";
            assert_ne!(key(other), key(usual), "part {part}");
        }
    }

    #[test]
    fn tenants_spread_over_the_partitions() {
        let used: std::collections::BTreeSet<u8> = (0..2_000).map(|n| partition(&format!("tenant-{n}"))).collect();
        assert_eq!(used.len(), usize::from(EVENT_PARTITIONS));
        assert!(used.iter().all(|partition| *partition < EVENT_PARTITIONS));
    }

    #[test]
    fn users_spread_over_the_buckets() {
        let used: std::collections::BTreeSet<u8> = (0..2_000).map(|n| user_bucket(&format!("user-{n}"))).collect();
        assert_eq!(used.len(), usize::from(USER_BUCKETS));
        assert!(used.iter().all(|bucket| *bucket < USER_BUCKETS));
    }

    #[test]
    fn job_names_fit_and_differ_by_every_part() {
        let run = run_name(&"t".repeat(TRACK_MAX), "b7k2f9q1");
        let name = job_name(&run, "u", "insights", 1, 1);
        assert!(name.len() <= JOB_MAX, "{name}");
        for other in [
            job_name(&run, "v", "insights", 1, 1),
            job_name(&run, "u", "solutions", 1, 1),
            job_name(&run, "u", "insights", 2, 1),
            job_name(&run, "u", "insights", 1, 2),
        ] {
            assert_ne!(name, other);
        }
    }

    #[test]
    fn inv12_the_key_of_a_notice_is_a_function_of_whom_what_and_where() {
        let usual = ["octo-org", "b7k2f9q1", "admin", "inbox", "hubot", "admin-b7k2f9q1"];
        let id = |parts: [&str; 6]| delivery_id(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]);
        assert_eq!(id(usual), "c973fd7e4c5b4d77551f2b91b19a17b0793ebfe06a7259635da802e6d7a5dc75");
        for part in 0..usual.len() {
            let mut other = usual;
            other[part] = "other";
            assert_ne!(id(other), id(usual), "part {part}");
        }
        assert_ne!(delivery_id("ab", "c", "", "", "", ""), delivery_id("a", "bc", "", "", "", ""));
    }
}
