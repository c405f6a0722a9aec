//! Entity names: case-insensitive, of letters, digits and `. - _ /`.
//!
//! Which character stands first or last does not matter: the service's refusal names characters alone.
// docs/evidence/wire-protocol.md §8; docs/evidence/field-reports.md F9, F62

use super::error::EntityError;

/// The longest path of a queue or topic.
const MAX_PATH: usize = 260;
/// The longest name of a subscription or rule.
const MAX_NAME: usize = 50;

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_')
}

fn is_valid(name: &str, max: usize, slashes: bool, dollar: bool) -> bool {
    let name = if dollar { name.strip_prefix('$').unwrap_or(name) } else { name };
    // A segment of dots alone would be taken out of an address on its way.
    let is_segment = |segment: &str| segment.chars().all(is_allowed) && segment.chars().any(|c| c != '.');
    name.len() <= max && if slashes { name.split('/').all(is_segment) } else { is_segment(name) }
}

/// Checks the path of a queue or topic.
///
/// # Errors
/// [`EntityError::InvalidName`].
pub fn check_path(path: &str) -> Result<(), EntityError> {
    let reserved = path.to_ascii_lowercase().contains("/subscriptions/");
    if is_valid(path, MAX_PATH, true, false) && !reserved {
        Ok(())
    } else {
        Err(EntityError::InvalidName(path.to_owned()))
    }
}

/// Checks the name of a subscription.
///
/// # Errors
/// [`EntityError::InvalidName`].
pub fn check_name(name: &str) -> Result<(), EntityError> {
    if is_valid(name, MAX_NAME, false, false) { Ok(()) } else { Err(EntityError::InvalidName(name.to_owned())) }
}

/// Checks the name of a rule, which may begin with `$` as the default one does.
///
/// # Errors
/// [`EntityError::InvalidName`].
pub fn check_rule(name: &str) -> Result<(), EntityError> {
    if is_valid(name, MAX_NAME, false, true) { Ok(()) } else { Err(EntityError::InvalidName(name.to_owned())) }
}

/// The form in which names are compared.
pub fn key(name: &str) -> String {
    name.trim_matches('/').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_the_service_checks_them() {
        for good in ["q", "a/b.c-d_e", "Q1", "queue.1", "q-", "a--", "q__", "a-/b_", "_q", "-q/--b", "__", "q.", ".q"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
            let name = good.replace('/', ".");
            assert_eq!((check_name(&name), check_rule(&name)), (Ok(()), Ok(())), "{name}");
        }
        // docs/evidence/pinned-behaviour.md ADM69
        for bad in [
            "",
            "qq@",
            "qq/",
            "/qq",
            "qq\\",
            "qq?",
            "qq#",
            "a//b",
            "t/Subscriptions/s",
            ".",
            "..",
            "a/../b",
            "a b",
            "$q",
            "é",
            &"x".repeat(261),
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
        for bad in ["", ".", "a/b", "a b", "$s"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name("q/q").is_err());
        assert!(check_name(&"s".repeat(51)).is_err());
        assert_eq!(check_rule("$Default"), Ok(()));
        assert_eq!(key("Queue/A"), "queue/a");
    }
}
