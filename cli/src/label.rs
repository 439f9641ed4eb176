//! Lines with a label before them, their texts one under the other.

/// Where texts begin.
const INDENT: usize = 12;
/// Where lines are broken.
const WIDTH: usize = 120;

/// `label       text`, broken between words where it is long.
pub(crate) fn labelled(label: &str, text: &str) -> String {
    let mut lines = String::new();
    let mut line = format!("{label:<INDENT$}");
    let mut begun = false;
    for word in text.split(' ') {
        if begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = " ".repeat(INDENT);
            begun = false;
        }
        if begun {
            line.push(' ');
        }
        line.push_str(word);
        begun = true;
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

/// Several texts under one label; nothing for none.
pub(crate) fn labelled_all(label: &str, texts: impl IntoIterator<Item = String>) -> String {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels.zip(texts).map(|(label, text)| labelled(label, &text)).collect()
}

#[cfg(test)]
mod tests {
    use super::{labelled, labelled_all};

    #[test]
    fn long_texts_go_on_under_their_beginning() {
        let text = labelled("fix", &"word ".repeat(30));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("fix         word") && lines[1].starts_with("            word"), "{text}");
        assert!(lines.iter().all(|line| line.len() <= 120), "{text}");
    }

    #[test]
    fn one_label_stands_before_several_texts() {
        assert_eq!(labelled_all("see", ["a".to_owned(), "b".to_owned()]), "see         a\n            b\n");
        assert_eq!(labelled_all("see", []), "");
    }
}
