//! Telling quotes from inventions.

use trackway_crds::contracts::Quote;

use super::pieces::Pieces;

/// A shorter quote is found anywhere and shows nothing.
const SHORTEST: usize = 4;

/// The quotes that are in the piece they name, and those that are not. Blanks and the escapes of JSON do not count: a model that
/// reads `\"` says `"`.
pub(super) fn sorted(quotes: Vec<Quote>, pieces: &Pieces) -> (Vec<Quote>, Vec<Quote>) {
    quotes.into_iter().partition(|quote| {
        let words = plain(&quote.quote);
        words.len() >= SHORTEST && pieces.get(&quote.piece).is_some_and(|text| plain(text).contains(&words))
    })
}

fn plain(text: &str) -> String {
    let text = text.replace("\\n", " ").replace("\\t", " ").replace("\\\"", "\"").replace("\\\\", "\\");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_counts_only_when_it_is_in_its_piece() {
        let mut pieces = Pieces::default();
        pieces.add("error", "{\"message\": \"best 0.66,\n  needs \\\"0.7\\\"\"}");
        pieces.add("prompt a.md", "Write for the reader.");
        let quote = |piece: &str, quote: &str| Quote { piece: piece.to_owned(), quote: quote.to_owned() };
        let there = [quote("error", "best 0.66, needs \"0.7\""), quote("prompt a.md", "Write for  the reader")];
        let not = [
            quote("prompt a.md", "best 0.66"),
            quote("no such piece", "Write for the reader"),
            quote("prompt a.md", "Write for nobody"),
            quote("prompt a.md", "the"),
            quote("prompt a.md", ""),
        ];
        let (found, dropped) = sorted(there.iter().chain(&not).cloned().collect(), &pieces);
        assert_eq!((found.as_slice(), dropped.as_slice()), (there.as_slice(), not.as_slice()));
    }
}
