//! Random changes of good inputs, for parsers that must neither panic nor take what does not fit. `TRACKWAY_FUZZ` says how many
//! inputs (by default 20,000), `TRACKWAY_FUZZ_SEED` repeats those of an earlier run.

#![allow(clippy::print_stdout, reason = "a test says its seed, also when the process ends before it can fail")]

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use serde_json::{Value, json};

/// What the process may grow by, in MiB.
const GROWTH: u64 = 64;
/// What changes of bytes like to insert.
const WORDS: [&str; 18] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\u0000",
    "\\ud800",
    "1e999",
    "-0",
    "null",
    "\u{0}",
    "é",
    "[[[[[[[[",
    "{\"a\":",
    "data_base64",
    "v1,",
];
/// Moments that are none, and the first and last that are.
const MOMENTS: [&str; 5] = [
    "-009999-01-02T01:59:59Z",
    "9999-12-30T21:59:59.999999999Z",
    "10000-01-01T00:00:00Z",
    "2026-11-22T23:59:60Z",
    "2026-11-22T14:00:00+99:99",
];

/// How many inputs, and which.
#[derive(Clone, Copy, Debug)]
pub struct Fuzz {
    /// How many.
    pub count: usize,
    seed: u64,
    /// Size of the process at the start in MiB.
    before: u64,
}

impl Fuzz {
    /// As the environment says; prints the seed.
    ///
    /// # Errors
    /// When a variable is no number, or the process cannot be measured.
    pub fn from_env() -> Result<Self> {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().with_context(|| format!("{name}={text}")));
        let count = number("TRACKWAY_FUZZ").transpose()?.unwrap_or(20_000);
        let seed = number("TRACKWAY_FUZZ_SEED").transpose()?.unwrap_or_else(|| fastrand::u64(..));
        println!("{count} inputs of TRACKWAY_FUZZ_SEED={seed}");
        Ok(Self { count: usize::try_from(count)?, seed, before: resident_mebibytes()? })
    }

    /// What the inputs are drawn from.
    #[must_use]
    pub fn random(&self) -> Rng {
        Rng::with_seed(self.seed)
    }

    /// How to see an input again that went wrong.
    #[must_use]
    pub fn again(&self, input: &impl Debug) -> String {
        format!("TRACKWAY_FUZZ_SEED={}: {input:?}", self.seed)
    }

    /// Prints what came out.
    ///
    /// # Errors
    /// When the parser took all or none, so that nothing was tried, or the process has grown.
    pub fn finish(&self, taken: usize, refused: usize) -> Result<()> {
        let grown = resident_mebibytes()?.saturating_sub(self.before);
        println!("{taken} taken, {refused} refused, memory grew by {grown} MiB");
        ensure!(taken > 0 && refused > 0, "{taken} taken, {refused} refused: nothing was tried");
        ensure!(grown < GROWTH, "memory grew by {grown} MiB");
        Ok(())
    }
}

/// Gives `takes` each of `documents` and then changed copies of them. `takes` says whether one was taken, and panics when it
/// should not have been.
///
/// # Errors
/// When it panics, with the input; as [`Fuzz::finish`].
pub fn fuzz_documents(documents: &[Value], takes: impl Fn(&[u8]) -> bool) -> Result<()> {
    let fuzz = Fuzz::from_env()?;
    let mut random = fuzz.random();
    let (mut taken, mut refused) = (0, 0);
    for round in 0..fuzz.count {
        let Some(document) = documents.get(round % documents.len().max(1)) else { break };
        let input = if round < documents.len() { document.to_string().into_bytes() } else { changed(document, &mut random) };
        match catch_unwind(AssertUnwindSafe(|| takes(&input))) {
            Ok(true) => taken += 1,
            Ok(false) => refused += 1,
            Err(_) => bail!("{}", fuzz.again(&String::from_utf8_lossy(&input))),
        }
    }
    fuzz.finish(taken, refused)
}

/// `document` with other values, other bytes or both.
fn changed(document: &Value, random: &mut Rng) -> Vec<u8> {
    let mut document = document.clone();
    let of_values = random.usize(0..=3);
    (0..of_values).for_each(|_| change_value(&mut document, random));
    let mut bytes = document.to_string().into_bytes();
    if of_values == 0 || random.bool() {
        (0..random.usize(1..=4)).for_each(|_| change(&mut bytes, random));
    }
    bytes
}

/// Puts another value in some place of `value`, or takes one out.
fn change_value(value: &mut Value, random: &mut Rng) {
    let deeper = random.u8(..) < 240;
    match value {
        Value::Object(fields) if deeper && !fields.is_empty() => {
            let place = random.usize(0..fields.len());
            let Some(name) = fields.keys().nth(place).cloned() else { return };
            if random.u8(..) < 16 {
                fields.remove(&name);
            } else if let Some(inner) = fields.get_mut(&name) {
                change_value(inner, random);
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let place = random.usize(0..items.len());
            match random.u8(..) {
                0..16 => drop(items.remove(place)),
                16..32 => items.extend_from_within(place..=place),
                _ => change_value(&mut items[place], random),
            }
        }
        other => *other = strange(random),
    }
}

/// A value that few expect.
fn strange(random: &mut Rng) -> Value {
    match random.u8(0..12) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!([0, 1, -1][random.usize(0..3)]),
        3 => json!([u64::MAX, 1 << 63, 1 << 32, 1_000_001][random.usize(0..4)]),
        4 => json!([-0.0, 0.1, 1e300, 5e-324][random.usize(0..4)]),
        5 => json!("é".repeat(random.usize(0..140))),
        6 => json!("a".repeat(random.usize(0..70))),
        7 => json!(WORDS[random.usize(0..WORDS.len())]),
        8 => json!(MOMENTS[random.usize(0..MOMENTS.len())]),
        9 => json!({}),
        10 => json!([]),
        _ => (0..random.usize(1..130)).fold(json!("deep"), |inner, _| json!([inner])),
    }
}

/// Changes some of `bytes`.
pub fn change(bytes: &mut Vec<u8>, random: &mut Rng) {
    let place = random.usize(0..=bytes.len());
    let end = (place + random.usize(0..8)).min(bytes.len());
    match random.u8(0..5) {
        0 if place < bytes.len() => bytes[place] ^= 1 << random.u8(0..8),
        1 => drop(bytes.drain(place..end)),
        2 => drop(bytes.splice(place..end, WORDS[random.usize(0..WORDS.len())].bytes())),
        3 => bytes.extend_from_within(place..end),
        _ => bytes.insert(place, random.u8(..)),
    }
}

fn resident_mebibytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc/self/status has no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}
