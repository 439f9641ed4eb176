//! The targets of a wave as text: `0-9,17,23`, as Jobs write completed indexes, but in the wave's order.

/// The indices that `text` lists, in order; `None` for any other text. At most `limit` of them.
#[must_use]
pub fn wave_targets(text: &str, limit: usize) -> Option<Vec<u32>> {
    let mut indices = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        let count = usize::try_from(last.checked_sub(first)?).ok()?;
        if indices.len() + count >= limit {
            return None;
        }
        indices.extend(first..=last);
    }
    Some(indices)
}

/// `indices` as [`wave_targets`] reads them.
#[must_use]
pub fn wave_text(indices: &[u32]) -> String {
    let runs = indices.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    let text = |run: &[u32]| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    };
    runs.map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_read_as_they_were_written() {
        for (indices, text) in [
            (vec![0, 1, 2, 3], "0-3"),
            (vec![0, 1, 2, 9, 17, 18], "0-2,9,17-18"),
            (vec![7], "7"),
            (vec![5, 3, 4], "5,3-4"),
            (vec![], ""),
        ] {
            assert_eq!(wave_text(&indices), text);
            assert_eq!(wave_targets(text, 1000), Some(indices));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["a", "3-1", "0-999999999", "1-2-3", "-"] {
            assert_eq!(wave_targets(text, 1000), None, "{text}");
        }
    }

    #[test]
    fn the_most_scattered_wave_fits_the_schema() {
        let scattered: Vec<u32> = (0..256).map(|n| 998 - 2 * n).rev().collect();
        assert!(wave_text(&scattered).len() <= 1024);
    }
}
