//! The query of a management request.

use super::refusal::Refusal;

/// Most entries on a page, and how many when the client does not say.
const PAGE: usize = 100;

/// A request's path and the parameters that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query<'a> {
    /// The path, still percent-encoded.
    pub(super) path: &'a str,
    /// The version of the API as it was sent.
    pub(super) api_version: &'a str,
    skip: Option<&'a str>,
    top: Option<&'a str>,
}

impl<'a> Query<'a> {
    pub(super) fn parse(path_and_query: &'a str) -> Self {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let parameter = |name: &str| {
            query.split('&').filter_map(|pair| pair.split_once('=')).find_map(|(key, value)| {
                // Clients write `$skip` as it is, the service's own links write `%24skip`.
                let key = key.strip_prefix('$').or_else(|| key.strip_prefix("%24")).unwrap_or(key);
                key.eq_ignore_ascii_case(name).then_some(value)
            })
        };
        // Without a version the oldest one is meant.
        Self {
            path,
            api_version: parameter("api-version").unwrap_or("2017-04"),
            skip: parameter("skip"),
            top: parameter("top"),
        }
    }

    /// Whether the version has what came with 2021-05. Versions are dates: they compare as text.
    pub(super) fn has_message_size(&self) -> bool {
        self.api_version >= "2021-05"
    }

    /// Whether the version has what came with 2024-05.
    pub(super) fn has_filter_counts(&self) -> bool {
        self.api_version >= "2024-05"
    }

    /// Entries to pass over and entries to give; `skip` is looked at first.
    // docs/evidence/service-evidence.md §13.1
    pub(super) fn page(&self) -> Result<(usize, usize), Refusal> {
        let number = |name: &str, text: Option<&str>, default: usize| match text {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| Refusal::bad_request(format!("Parameter '{name}' should be non-negative integer."))),
        };
        let skip = number("skip", self.skip, 0)?;
        Ok((skip, number("top", self.top, PAGE)?.min(PAGE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_in_both_spellings() {
        let query = Query::parse("/$Resources/queues?%24skip=2&$top=3&api-version=2021-05");
        assert_eq!((query.path, query.page().unwrap()), ("/$Resources/queues", (2, 3)));
        assert!(query.has_message_size() && !query.has_filter_counts());
        let query = Query::parse("/q");
        assert_eq!((query.page().unwrap(), query.has_message_size()), ((0, 100), false));
        assert_eq!(Query::parse("/q?$top=1000").page().unwrap(), (0, 100));
        for (text, name) in [("$skip=-1&$top=-1", "skip"), ("$skip=0&$top=-1", "top"), ("$top=x", "top")] {
            let text = format!("/q?{text}");
            assert!(Query::parse(&text).page().unwrap_err().text.contains(&format!("'{name}'")));
        }
    }
}
