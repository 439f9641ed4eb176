//! Kubernetes' quantities: `100m`, `1.5Gi`, `2e3`.

/// The amount, in units; `None` for what Kubernetes would not read as a quantity that is not negative.
pub(crate) fn read(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '+').unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let number = number.strip_prefix('+').unwrap_or(number);
    let plain = number.contains(|c: char| c.is_ascii_digit()) && !number.contains('+');
    let number: f64 = Some(number).filter(|_| plain)?.parse().ok()?;
    Some(number * factor(suffix)?)
}

fn factor(suffix: &str) -> Option<f64> {
    let known = [
        ("", 1.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("Ki", 1024.0),
        ("Mi", 1024.0 * 1024.0),
        ("Gi", 1024.0 * 1024.0 * 1024.0),
        ("Ti", 1024.0 * 1024.0 * 1024.0 * 1024.0),
        ("Pi", 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0),
        ("Ei", 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0),
    ];
    if let Some((_, factor)) = known.iter().find(|(known, _)| *known == suffix) {
        return Some(*factor);
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (exponent.abs() <= 18).then(|| 10_f64.powi(exponent))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn quantities_are_read_as_kubernetes_does() {
        for (text, amount) in [
            ("0", 0.0),
            ("100m", 0.1),
            ("1.5", 1.5),
            (".5", 0.5),
            ("2.", 2.0),
            ("+1", 1.0),
            ("64Mi", 67_108_864.0),
            ("1k", 1000.0),
            ("1E", 1e18),
            ("2e3", 2000.0),
            ("1E-3", 0.001),
        ] {
            let read = read(text).unwrap_or(f64::NAN);
            assert!((read - amount).abs() <= amount * 1e-9, "{text}: {read}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in ["", ".", "m", "-1", "1 Gi", "1gb", "1K", "64MB", "1.2.3", "1+1", "++1", "1e", "1e99", "0x10", "inf", "1µ"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
