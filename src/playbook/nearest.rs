//! The known word that a mistyped one most likely means.

/// How many letters to insert, drop, replace or swap with their neighbour until `a` is `b`.
pub fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let cell = |row: &[usize], n: usize| row.get(n).copied().unwrap_or(usize::MAX / 2);
    let (mut before, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let replace = cell(&last, j) + usize::from(from != to);
            let mut least = replace.min(cell(&last, j + 1) + 1).min(cell(&row, j) + 1);
            let swapped =
                i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from) && from != to;
            if swapped {
                least = least.min(cell(&before, j - 1) + 1);
            }
            row.push(least);
        }
        (before, last) = (last, row);
    }
    cell(&last, b.len())
}

/// Whether one edit at most makes `a` from `b`.
pub fn one_edit_away(a: &str, b: &str) -> bool {
    // Comparing takes time in the product of the lengths, and a key may be as long as a document.
    a.len().abs_diff(b.len()) <= MARK_BYTES_MAX && edits(a, b) <= 1
}

/// The most bytes of one character.
const MARK_BYTES_MAX: usize = 4;

/// The nearest of the known words, where it is near enough to be meant: a third of its letters, at least one, may differ.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words cannot be near any key, and comparing takes time in the product of the lengths.
    let length = word.chars().count();
    known
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= 4)
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (a, b, n) in [
            ("", "", 0),
            ("weight", "wieght", 1),
            ("per", "pre", 1),
            ("ab", "", 2),
            ("cap", "caps", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!((edits(a, b), edits(b, a)), (n, n), "{a} {b}");
        }
    }

    #[test]
    fn finds_what_was_meant_or_nothing() {
        let known = ["weight", "per", "trigger", "failure"];
        for (word, meant) in [
            ("wieght", Some("weight")),
            ("weigth", Some("weight")),
            ("Trigger", Some("trigger")),
            ("pers", Some("per")),
            ("fail", None),
            ("model", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
