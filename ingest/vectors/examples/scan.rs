//! How long one exact scan takes: `cargo run -p trackway-vectors --example scan`.
#![allow(clippy::print_stdout, reason = "it is there to print")]

use std::time::{Duration, Instant};

use trackway_vectors::{Matrix, unit};

const ROWS: u32 = 100_000;
const DIMENSIONS: usize = 384;
const ROUNDS: u32 = 20;

fn main() {
    let mut state = 1_u32;
    let mut vector = || {
        let numbers = (0..DIMENSIONS).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u8::try_from(state >> 24).unwrap_or_default()) - 127.5
        });
        unit(numbers.collect())
    };
    let mut matrix = Matrix::new(DIMENSIONS);
    for row in 0..ROWS {
        matrix.push(&vector(), i64::from(row));
    }
    let query = vector();
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let hits = std::hint::black_box(&matrix).nearest(&query, i64::MAX, 20);
        times.push(started.elapsed());
        assert_eq!(hits.len(), 20);
    }
    times.sort();
    let (best, median) = (times.first(), times.get(times.len() / 2));
    println!(
        "{ROWS} x {DIMENSIONS}, nearest 20, one core: best {:?}, median {:?}",
        best.unwrap_or(&Duration::ZERO),
        median.unwrap_or(&Duration::ZERO)
    );
}
