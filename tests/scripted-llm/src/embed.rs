//! Embeddings: texts that share words are near each other.

use sha2::{Digest, Sha256};

/// Length of a vector when the request names none.
pub(crate) const DIMENSIONS: usize = 64;

/// A vector of length 1: each word adds to a few places its hash names.
pub(crate) fn embedding(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let hash = Sha256::digest(word.to_lowercase());
        for pair in hash.chunks_exact(2).take(4) {
            let number = usize::from(pair[0]) << 8 | usize::from(pair[1]);
            let sign = if number.is_multiple_of(2) { 1.0 } else { -1.0 };
            if let Some(place) = vector.get_mut((number / 2).checked_rem(dimensions).unwrap_or(0)) {
                *place += sign;
            }
        }
    }
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_share_words_are_nearer() {
        let near =
            |a: &str, b: &str| -> f32 { embedding(a, DIMENSIONS).iter().zip(embedding(b, DIMENSIONS)).map(|(a, b)| a * b).sum() };
        assert!((near("push to hello", "push to hello") - 1.0).abs() < 1e-5);
        assert!(near("push to hello world", "push to hello there") > near("push to hello world", "issue closed by hubot"));
    }
}
