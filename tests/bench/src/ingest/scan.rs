//! The exact search through a tenant's vectors.

use super::world::DIMENSIONS;
use anyhow::ensure;
use std::{hint::black_box, time::Instant};
use trackway_vectors::{Matrix, unit};

const ROWS: u32 = 100_000;
const ROUNDS: u32 = 50;
/// Hits asked for.
const NEAREST: usize = 20;

/// Milliseconds of each search through 100,000 vectors, on one core.
pub(crate) fn exact() -> anyhow::Result<Vec<f64>> {
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
    let mut millis = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let hits = black_box(&matrix).nearest(&query, i64::MAX, NEAREST);
        millis.push(started.elapsed().as_secs_f64() * 1000.0);
        ensure!(hits.len() == NEAREST, "the scan found {} of {NEAREST}", hits.len());
    }
    Ok(millis)
}
