//! What the debugger is shown: texts with names, within a budget.

/// Most bytes of one piece.
const MAX_PIECE_BYTES: usize = 24 * 1024;
/// Most bytes of all pieces together.
const MAX_TOTAL_BYTES: usize = 96 * 1024;
/// Less of a piece than this tells nothing.
const LEAST_BYTES: usize = 256;

/// Something with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) text: String,
}

/// Pieces, the most telling first: what comes late may find no room.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    shown: Vec<Shown>,
    used: usize,
}

impl Pieces {
    /// Adds a piece, cut to what is left. Nothing is added twice, and nothing empty.
    pub(super) fn add(&mut self, name: impl Into<String>, text: &str) {
        let name = name.into();
        let text = text.trim();
        let room = MAX_TOTAL_BYTES.saturating_sub(self.used).min(MAX_PIECE_BYTES);
        if text.is_empty() || self.get(&name).is_some() || (room < LEAST_BYTES && text.len() > room) {
            return;
        }
        let text = cut_to(text, room);
        self.used += text.len();
        self.shown.push(Shown { name, text });
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|piece| piece.name == name).map(|piece| piece.text.as_str())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Shown> {
        self.shown.iter()
    }
}

/// `text` of at most `room` bytes; where something was cut, the end says how much there was.
pub(super) fn cut_to(text: &str, room: usize) -> String {
    if text.len() <= room {
        return text.to_owned();
    }
    let note = format!("\n[cut here; it has {} bytes]", text.len());
    let mut end = room.saturating_sub(note.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{note}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_to_their_budget() {
        let mut pieces = Pieces::default();
        for number in 0..10 {
            pieces.add(format!("piece {number}"), &"é".repeat(20_000));
        }
        pieces.add("empty", " \n");
        pieces.add("piece 1", "again");
        let sizes: Vec<usize> = pieces.iter().map(|piece| piece.text.len()).collect();
        assert_eq!(sizes.len(), 4, "{sizes:?}");
        assert!(sizes.iter().all(|size| *size <= MAX_PIECE_BYTES) && sizes.iter().sum::<usize>() <= MAX_TOTAL_BYTES);
        assert!(pieces.get("piece 1").unwrap().ends_with("[cut here; it has 40000 bytes]"));
    }
}
