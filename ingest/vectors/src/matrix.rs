//! Vectors one behind the other in memory, and the exact search through all of them.

/// Numbers that are multiplied at once: as many partial sums, so that the compiler uses the widest registers there are and no sum
/// waits for another.
const LANES: usize = 32;

/// Vectors of length 1, all of the same dimension, with the time each belongs to.
#[derive(Clone, Debug)]
pub struct Matrix {
    dimensions: usize,
    numbers: Vec<f32>,
    times: Vec<i64>,
}

/// A row and how near it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Cosine of the angle between the two vectors.
    pub similarity: f32,
    /// Which row, in the order in which they were added.
    pub row: usize,
}

impl Matrix {
    /// An empty one.
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        Self { dimensions, numbers: Vec::new(), times: Vec::new() }
    }

    /// Length of its vectors.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// How many vectors it has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    /// Adds a vector of length 1; one of another dimension is left out, and `false` says so.
    pub fn push(&mut self, vector: &[f32], time: i64) -> bool {
        let fits = vector.len() == self.dimensions && self.dimensions > 0;
        if fits {
            self.numbers.extend_from_slice(vector);
            self.times.push(time);
        }
        fits
    }

    /// The `limit` rows nearest to `query` (of length 1) among those of times before `before`, the nearest first; of rows equally
    /// near, those of later times first.
    #[must_use]
    pub fn nearest(&self, query: &[f32], before: i64, limit: usize) -> Vec<Hit> {
        if query.len() != self.dimensions || limit == 0 {
            return Vec::new();
        }
        let mut best: Vec<Hit> = Vec::with_capacity(limit + 1);
        let rows = self.numbers.chunks_exact(self.dimensions.max(1)).zip(&self.times).enumerate();
        for (row, (vector, time)) in rows {
            if *time >= before {
                continue;
            }
            let similarity = dot(vector, query);
            let comes_before =
                |hit: &Hit| hit.similarity > similarity || hit.similarity >= similarity && self.times.get(hit.row) >= Some(time);
            if best.len() < limit || best.last().is_some_and(|worst| !comes_before(worst)) {
                best.insert(best.partition_point(comes_before), Hit { similarity, row });
                best.truncate(limit);
            }
        }
        best
    }
}

/// The product of two vectors of one length.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// `vector` made as long as 1; one without length stays as it is and is near to nothing.
#[must_use]
pub fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let square: f64 = vector.iter().map(|number| f64::from(*number) * f64::from(*number)).sum();
    let length = square.sqrt();
    if length > 0.0 && length.is_finite() {
        vector.iter_mut().for_each(|number| *number = scaled(*number, length));
    }
    vector
}

#[expect(clippy::cast_possible_truncation, reason = "a part of a vector of length 1 fits single precision")]
fn scaled(number: f32, length: f64) -> f32 {
    (f64::from(number) / length) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from -1 to 1 that look like chance.
    fn vectors(count: usize, dimensions: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f32::from(u16::try_from(state >> 48).unwrap()) / 32_768.0 - 1.0
        };
        (0..count).map(|_| unit((0..dimensions).map(|_| next()).collect())).collect()
    }

    fn naive(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn the_order_is_that_of_a_naive_scan() {
        for (seed, dimensions) in [(1, 1), (2, 7), (3, 64), (4, 100), (5, 384)] {
            println!("seed {seed}, {dimensions} dimensions");
            let rows = vectors(500, dimensions, seed);
            let mut matrix = Matrix::new(dimensions);
            rows.iter().zip(0..).for_each(|(row, time)| assert!(matrix.push(row, time)));
            let query = &vectors(1, dimensions, seed + 100)[0];
            let hits = matrix.nearest(query, 400, 20);

            let mut expected: Vec<f64> = rows[..400].iter().map(|row| naive(row, query)).collect();
            expected.sort_by(|a, b| b.total_cmp(a));
            assert_eq!(hits.len(), 20);
            for (hit, expected) in hits.iter().zip(expected) {
                assert!(hit.row < 400, "row {} came too late", hit.row);
                assert!((naive(&rows[hit.row], query) - expected).abs() < 1e-5, "{hit:?} instead of {expected}");
            }
        }
    }

    #[test]
    fn of_equals_the_later_comes_first_and_fewer_rows_than_asked_for_are_all_there_are() {
        let mut matrix = Matrix::new(2);
        for (vector, time) in [([1.0, 0.0], 1), ([0.0, 1.0], 2), ([1.0, 0.0], 3)] {
            assert!(matrix.push(&vector, time));
        }
        let rows = |limit| matrix.nearest(&[1.0, 0.0], 10, limit).iter().map(|hit| hit.row).collect::<Vec<_>>();
        assert_eq!((rows(10), rows(1)), (vec![2, 0, 1], vec![2]));
    }

    #[test]
    fn what_does_not_fit_is_not_found() {
        let mut matrix = Matrix::new(2);
        assert!(!matrix.push(&[1.0], 0) && !Matrix::new(0).push(&[], 0));
        assert!(matrix.push(&[1.0, 0.0], 5));
        assert!(matrix.nearest(&[1.0, 0.0], 5, 3).is_empty(), "only what came before");
        assert!(matrix.nearest(&[1.0], 10, 3).is_empty());
        assert_eq!(unit(vec![0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(unit(vec![3.0, 4.0]), [0.6, 0.8]);
    }
}
