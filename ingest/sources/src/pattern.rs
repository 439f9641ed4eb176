//! Patterns in which `*` stands for any characters.

/// Whether `text` fits `pattern`. Each part between stars must follow the one before; the first begins the text and the last ends
/// it.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(found) = text.find(part) else { return false };
        text = &text[found + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns() {
        for (pattern, tenant, expected) in [
            ("*", "anybody", true),
            ("acme", "acme", true),
            ("acme", "acme-2", false),
            ("acme-*", "acme-2", true),
            ("acme-*", "acme", false),
            ("*-eu", "acme-eu", true),
            ("*-eu", "acme-eu-2", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("**", "x", true),
            ("é*", "été", true),
        ] {
            assert_eq!(fits(pattern, tenant), expected, "{pattern} on {tenant}");
        }
    }
}
