//! The name a user probably meant, by edit distance.

/// The number of insertions, deletions, replacements and exchanges of neighbours that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = core::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// The candidate closest to `word`, if close enough to be what was meant. Case counts less than letters.
#[must_use]
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|name| (distance(&lower, &name.to_lowercase()), distance(word, name), name))
        .filter(|(loose, _, name)| {
            *loose <= (name.chars().count().max(lower.chars().count()) / 3).max(1)
                && *loose < name.chars().count()
        })
        .min_by_key(|(loose, strict, _)| (*loose, *strict))
        .map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let names = ["reno", "cubic", "lia", "olia", "balia", "wvegas"];
        assert_eq!(closest("cubik", names), Some("cubic"));
        assert_eq!(closest("Reno", names), Some("reno"));
        assert_eq!(closest("cbuic", names), Some("cubic"));
        assert_eq!(closest("vegas", names), Some("wvegas"));
        assert_eq!(closest("quic-flow", names), None);
    }
}
