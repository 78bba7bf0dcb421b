//! Which of some names a mistaken one resembles.

/// The candidate with the smallest edit distance to `name`, unless that is more than half of it.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let candidates = candidates.into_iter();
    let scored = candidates.map(|c| (distance(name.as_bytes(), c.as_bytes()), c));
    let (distance, best) = scored.min_by_key(|&(d, _)| d)?;
    (2 * distance <= name.len().max(best.len())).then(|| best.to_owned())
}

/// Levenshtein distance, one row at a time.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshtein() {
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"abc", b"abc"), 0);
    }

    #[test]
    fn only_a_resembling_name_is_offered() {
        let names = ["layer1.0.conv1.weight", "fc.bias"];
        assert_eq!(
            nearest("layer1.0.conv2.weight", names).as_deref(),
            Some(names[0])
        );
        assert_eq!(nearest("zzzzzz", names), None);
        assert_eq!(nearest("x", []), None);
    }
}
