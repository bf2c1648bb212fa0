//! Words as a shell reads them back.

/// One argument, quoted if it needs to be.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_only_if_needed() {
        assert_eq!(quoted("links.p1.mtu=1400"), "links.p1.mtu=1400");
        assert_eq!(quoted("links.p1.rate=5 Mbit/s"), "'links.p1.rate=5 Mbit/s'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
