//! The pattern of `LIKE`.

/// Whether `text` as a whole is of `pattern`: `%` stands for any characters, `_` for one, and what follows `escape`
/// for itself. An escape at the pattern's end stands for itself.
///
/// Nothing is ever tried again before the last `%`, so the steps are at most the text's length times the pattern's.
pub(super) fn like(text: &str, pattern: &str, escape: Option<char>) -> bool {
    let (mut text, mut pattern) = (text, pattern);
    // Where to go on when the characters behind the last `%` do not fit: one character further in the text.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        let mut rest = pattern.chars();
        let piece = match rest.next() {
            Some(c) if Some(c) == escape => Piece::One(rest.next().unwrap_or(c)),
            Some('%') => {
                pattern = rest.as_str();
                retry = Some((text, pattern));
                continue;
            }
            Some('_') => Piece::Any,
            Some(c) => Piece::One(c),
            None => Piece::End,
        };
        let mut left = text.chars();
        let fits = match (piece, left.next()) {
            (Piece::End, None) => return true,
            (Piece::Any, Some(_)) => true,
            (Piece::One(wanted), Some(found)) => wanted == found,
            // The pattern wants more than the text has: a later start has even less.
            (_, None) => return false,
            (Piece::End, Some(_)) => false,
        };
        if fits {
            (text, pattern) = (left.as_str(), rest.as_str());
            continue;
        }
        let Some((from, after)) = retry else { return false };
        // A `%` at the end takes all that is left; this only saves the walk there.
        if after.is_empty() {
            return true;
        }
        let mut from = from.chars();
        from.next();
        (text, pattern) = (from.as_str(), after);
        retry = Some((text, pattern));
    }
}

enum Piece {
    One(char),
    Any,
    End,
}

#[cfg(test)]
mod tests {
    use super::like;
    use proptest::prelude::*;

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
        for pattern in ["%a".repeat(400) + "b", "%_a".repeat(300) + "b", "%".repeat(1_000) + "b"] {
            assert!(!like(&text, &pattern, None));
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
        fn as_defined(text in "[ab]{0,8}", pattern in "[ab_%]{0,8}") {
            let (chars, pieces): (Vec<_>, Vec<_>) = (text.chars().collect(), pattern.chars().collect());
            prop_assert_eq!(like(&text, &pattern, None), by_definition(&chars, &pieces));
        }
    }
}
