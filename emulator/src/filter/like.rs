//! The pattern of `LIKE`.

/// The longest pattern, in characters: what the text of a filter can hold. A pattern that a message brings is bounded
/// as well.
const MAX_PATTERN: usize = 1_024;

/// A pattern: `%` stands for any characters, `_` for one, and what follows the escape character for itself. An escape
/// at the pattern's end stands for itself.
///
/// Matching takes time in proportion to the text: what stands between two `%` is looked for once, by an algorithm that
/// never goes back, and its first place is as good as any later one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    /// Before the first `%`.
    start: Vec<Piece>,
    /// Between two `%`.
    middle: Vec<Segment>,
    /// Behind the last `%`; `None` without any.
    end: Option<Vec<Piece>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece {
    One(char),
    Any,
}

impl Piece {
    fn fits(self, found: char) -> bool {
        match self {
            Self::One(wanted) => wanted == found,
            Self::Any => true,
        }
    }
}

/// What stands between two `%`: characters that are passed over, then what is looked for, then more of the first.
#[derive(Clone, Debug, PartialEq)]
struct Segment {
    before: usize,
    needle: Needle,
    after: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Needle {
    Text(String),
    /// With `_` inside.
    Pieces(Automaton),
}

/// Finds pieces by a bit for each of them that says whether the text so far ends with the pieces up to it (the
/// Shift-And algorithm of Baeza-Yates and Gonnet).
#[derive(Clone, Debug, PartialEq)]
struct Automaton {
    length: usize,
    /// Sorted by character.
    masks: Vec<(char, Vec<u64>)>,
    /// For a character that the pieces do not name.
    other: Vec<u64>,
}

/// A pattern that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Pattern {
    pub(super) fn new(pattern: &str, escape: Option<char>) -> Result<Self, TooLong> {
        if pattern.chars().nth(MAX_PATTERN).is_some() {
            return Err(TooLong);
        }
        let mut segments = vec![Vec::new()];
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            let piece = match c {
                c if Some(c) == escape => Piece::One(chars.next().unwrap_or(c)),
                '%' => {
                    segments.push(Vec::new());
                    continue;
                }
                '_' => Piece::Any,
                c => Piece::One(c),
            };
            if let Some(segment) = segments.last_mut() {
                segment.push(piece);
            }
        }
        let mut segments = segments.into_iter();
        let start = segments.next().unwrap_or_default();
        let end = segments.next_back();
        let middle = segments.filter(|pieces| !pieces.is_empty()).map(|pieces| Segment::new(&pieces)).collect();
        Ok(Self { start, middle, end })
    }

    /// Whether the text as a whole is of the pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut chars = text.chars();
        if !self.start.iter().all(|piece| chars.next().is_some_and(|found| piece.fits(found))) {
            return false;
        }
        let Some(end) = &self.end else { return chars.next().is_none() };
        if !end.iter().rev().all(|piece| chars.next_back().is_some_and(|found| piece.fits(found))) {
            return false;
        }
        let mut rest = chars.as_str();
        for segment in &self.middle {
            match segment.find(rest) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        true
    }
}

impl Segment {
    fn new(pieces: &[Piece]) -> Self {
        let is_any = |piece: &&Piece| **piece == Piece::Any;
        let before = pieces.iter().take_while(is_any).count();
        let pieces = pieces.get(before..).unwrap_or_default();
        let after = pieces.iter().rev().take_while(is_any).count();
        let pieces = pieces.get(..pieces.len() - after).unwrap_or_default();
        let text: Option<String> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::One(c) => Some(*c),
                Piece::Any => None,
            })
            .collect();
        let needle = text.map_or_else(|| Needle::Pieces(Automaton::new(pieces)), Needle::Text);
        Self { before, needle, after }
    }

    /// What follows the first place in the text that fits.
    fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        let text = skip(text, self.before)?;
        let behind = match &self.needle {
            Needle::Text(needle) => text.find(needle.as_str()).map(|at| at + needle.len())?,
            Needle::Pieces(automaton) => automaton.end_in(text)?,
        };
        skip(text.get(behind..)?, self.after)
    }
}

fn skip(text: &str, characters: usize) -> Option<&str> {
    let mut chars = text.chars();
    match characters.checked_sub(1) {
        Some(last) => chars.nth(last).map(|_| chars.as_str()),
        None => Some(text),
    }
}

impl Automaton {
    fn new(pieces: &[Piece]) -> Self {
        let words = pieces.len().div_ceil(64);
        let mut other = vec![0u64; words];
        let set = |mask: &mut Vec<u64>, at: usize| {
            if let Some(word) = mask.get_mut(at / 64) {
                *word |= 1 << (at % 64);
            }
        };
        for (at, _) in pieces.iter().enumerate().filter(|(_, piece)| **piece == Piece::Any) {
            set(&mut other, at);
        }
        let mut masks: Vec<(char, Vec<u64>)> = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let Piece::One(c) = piece else { continue };
            let index = match masks.binary_search_by_key(c, |(c, _)| *c) {
                Ok(index) => index,
                Err(index) => {
                    masks.insert(index, (*c, other.clone()));
                    index
                }
            };
            if let Some((_, mask)) = masks.get_mut(index) {
                set(mask, at);
            }
        }
        Self { length: pieces.len(), masks, other }
    }

    /// Where the first place that fits ends, in bytes.
    fn end_in(&self, text: &str) -> Option<usize> {
        let mut state = vec![0u64; self.other.len()];
        let last = self.length.checked_sub(1)?;
        for (at, c) in text.char_indices() {
            let found = self.masks.binary_search_by_key(&c, |(c, _)| *c).ok().and_then(|index| self.masks.get(index));
            let mask = found.map_or(&self.other, |(_, mask)| mask);
            let mut carry = 1;
            for (word, mask) in state.iter_mut().zip(mask) {
                let shifted = *word << 1 | carry;
                carry = *word >> 63;
                *word = shifted & mask;
            }
            if state.get(last / 64).is_some_and(|word| word >> (last % 64) & 1 == 1) {
                return Some(at + c.len_utf8());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use proptest::prelude::*;

    fn like(text: &str, pattern: &str, escape: Option<char>) -> bool {
        Pattern::new(pattern, escape).unwrap().matches(text)
    }

    #[test]
    fn patterns() {
        for (text, pattern, matches) in [
            ("", "", true),
            ("", "%", true),
            ("", "_", false),
            ("abc", "abc", true),
            ("abc", "ABC", false),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b%", true),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("abc", "%_%_%_%", true),
            ("abc", "%_%_%_%_%", false),
            ("ab", "a%ab", false),
            ("aab", "a%ab", true),
            ("The big String2", "%String2", true),
            ("String2 not", "%String2", false),
            ("Grüße", "Gr__e", true),
            ("a\nb", "a%b", true),
        ] {
            assert_eq!(like(text, pattern, None), matches, "{text:?} LIKE {pattern:?}");
        }
        for (text, pattern, matches) in [
            ("ABC%", r"ABC\%", true),
            ("ABCD", r"ABC\%", false),
            ("a_b", r"a\_b", true),
            ("axb", r"a\_b", false),
            (r"a\", r"a\\", true),
            (r"a\", r"a\", true),
        ] {
            assert_eq!(like(text, pattern, Some('\\')), matches, "{text:?} LIKE {pattern:?} ESCAPE");
        }
        // The escape may be a wildcard itself.
        assert!(like("%", "%%", Some('%')));
        assert!(!like("ab", "%%", Some('%')));
    }

    #[test]
    fn hostile_patterns_are_cheap() {
        let text = "a".repeat(65_536);
        for pattern in [
            "%a".repeat(400) + "b",
            "%_a".repeat(300) + "b",
            "%".repeat(1_000) + "b",
            format!("%{}b%", "a".repeat(1_000)),
            format!("%{}b%", "a_".repeat(500)),
            format!("%{}b%", "_".repeat(1_000)),
        ] {
            assert!(!like(&text, &pattern, None));
        }
        assert!(Pattern::new(&"a".repeat(1_025), None).is_err());
        assert!(Pattern::new(&"é".repeat(1_024), None).is_ok());
    }

    #[test]
    fn pieces_of_more_than_a_word_are_found() {
        for length in [31, 32, 33, 63, 64, 65, 500] {
            let pattern = format!("%{}x_y%", "a_".repeat(length));
            let text = format!("aaa{}xzy", "ab".repeat(length));
            assert!(like(&text, &pattern, None), "{length}");
            assert!(!like(&text.replace("zy", "zz"), &pattern, None), "{length}");
        }
    }

    /// The definition, in exponential time.
    fn by_definition(text: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|from| by_definition(&text[from..], rest)),
            Some((wanted, rest)) => text
                .split_first()
                .is_some_and(|(found, left)| (*wanted == '_' || wanted == found) && by_definition(left, rest)),
        }
    }

    proptest! {
        #[test]
        fn as_defined(text in "[abé]{0,9}", pattern in "[abé_%]{0,9}") {
            let (chars, pieces): (Vec<_>, Vec<_>) = (text.chars().collect(), pattern.chars().collect());
            prop_assert_eq!(like(&text, &pattern, None), by_definition(&chars, &pieces));
        }
    }
}
