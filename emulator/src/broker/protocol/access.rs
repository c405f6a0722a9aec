//! Who may do what on a connection: tokens by audience, or a name and key told in SASL.
// docs/evidence/wire-protocol.md §2

use crate::broker::budget::{Budget, Holding, OverBudget, Share};
use crate::broker::entities::{AuthorizationRule, Rights};
use crate::broker::namespaces::host_of;
use servicebus_core::servicebus::Address;
use servicebus_core::servicebus::sas::{SasError, SharedAccessSignature};
use servicebus_core::time::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Most audiences a connection holds tokens for.
const MAX_TOKENS: usize = 10_000;
/// What a token takes beside its audience.
const TOKEN: usize = 128;

#[derive(Debug)]
struct Token {
    rights: Rights,
    expires: Timestamp,
}

/// The rights of a connection.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// What SASL PLAIN gave, for the whole connection.
    pub plain: Option<Rights>,
    /// By the audience as a path in lower case: empty for the whole namespace.
    tokens: HashMap<Arc<str>, Token>,
    /// The tokens in the order of their ends.
    ends: BTreeSet<(Timestamp, Arc<str>)>,
    /// Whether there ever was a token.
    shown: bool,
    /// Their part of the memory budget.
    share: Option<Share>,
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// It is no token that is known here.
    Malformed,
    /// The key's name is unknown, or the signature is not that of the key.
    InvalidSignature,
    /// It has ended.
    Expired(Timestamp),
    /// It is for another audience than it is put for.
    WrongAudience,
}

/// An audience: a host, where it names one, and a path in lower case, without scheme, port and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audience {
    host: Option<String>,
    /// Empty for the whole namespace.
    pub(crate) path: String,
    /// The same as it was written.
    pub(crate) written: String,
}

impl Audience {
    fn new(host: Option<String>, path: &str) -> Self {
        let path = path.trim_matches('/');
        Self { host, path: path.to_ascii_lowercase(), written: path.to_owned() }
    }

    /// Reads an audience. Without a scheme it is a path, or begins with the host that is meant (the SDK for Go documents
    /// that form). The JavaScript SDK signs requests of the management API for their whole address.
    pub(crate) fn parse(text: &str, host: &str) -> Self {
        let text = text.split('?').next().unwrap_or_default();
        let (authority, path) = match text.split_once("://") {
            Some((_, rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                (Some(host_of(authority)), path)
            }
            None => {
                let (first, rest) = text.split_once('/').unwrap_or((text, ""));
                let first = host_of(first);
                if !host.is_empty() && first == host_of(host) { (Some(first), rest) } else { (None, text) }
            }
        };
        Self::new(authority, path)
    }

    /// The audience of a path at this host; any host for an empty one.
    pub(crate) fn of_path(path: &str, host: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        Self::new((!host.is_empty()).then(|| host_of(host)), path)
    }

    /// The same with a host where it names none.
    pub(crate) fn at(self, host: &str) -> Self {
        let named = self.host.or_else(|| (!host.is_empty()).then(|| host_of(host)));
        Self { host: named, ..self }
    }

    /// The host that it names.
    pub(crate) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whether a token for this audience is one for the other, or for all above it. Hosts count where both are named.
    fn covers(&self, other: &Self) -> bool {
        let same_host = match (&self.host, &other.host) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        same_host && covers(&self.path, &other.path)
    }
}

/// Whether one path is the other, or lies below it.
pub(crate) fn covers(outer: &str, inner: &str) -> bool {
    outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn unite(one: Rights, other: Rights) -> Rights {
    Rights {
        send: one.send || other.send || one.manage || other.manage,
        listen: one.listen || other.listen || one.manage || other.manage,
        manage: one.manage || other.manage,
    }
}

/// The rights that a name and a key give, as SASL PLAIN tells them. How long it takes tells nothing of the key.
pub(crate) fn plain_rights(keys: &[AuthorizationRule], name: &[u8], key: &[u8]) -> Option<Rights> {
    let is = |text: &str| !text.is_empty() && bool::from(text.as_bytes().ct_eq(key));
    let rule = keys.iter().find(|rule| {
        // Both keys are compared, whichever it is.
        rule.key_name.as_bytes() == name && (is(&rule.primary_key) | is(&rule.secondary_key))
    })?;
    Some(rule.rights)
}

impl Access {
    /// The rights on a path.
    pub(crate) fn rights(&self, path: &str, utc: Timestamp) -> Rights {
        let path = path.to_ascii_lowercase();
        // The path itself and everything above it.
        let above = path.match_indices('/').map(|(at, _)| at).chain([0, path.len()]);
        let granted = above.filter_map(|end| self.tokens.get(path.get(..end)?)).filter(|token| token.expires > utc);
        granted.fold(self.plain.unwrap_or_default(), |sum, token| unite(sum, token.rights))
    }

    /// The rights on the `$management` node of a path: some clients put a token for the node alone.
    // docs/evidence/wire-protocol.md §2.2
    pub(crate) fn management_rights(&self, path: &str, utc: Timestamp) -> Rights {
        self.rights(&format!("{path}/$management"), utc)
    }

    /// Whether the connection has shown any token or key.
    pub(crate) fn is_authorized(&self) -> bool {
        self.plain.is_some() || self.shown
    }

    /// Takes a token in, in place of an earlier one for the same audience.
    ///
    /// # Errors
    /// [`OverBudget`], also for more tokens than a connection may have.
    pub(crate) fn put(
        &mut self,
        audience: Audience,
        rights: Rights,
        expires: Timestamp,
        budget: &Budget,
    ) -> Result<(), OverBudget> {
        let path: Arc<str> = audience.path.into();
        let before = self.tokens.get(&path).map(|token| token.expires);
        if before.is_none() && self.tokens.len() >= MAX_TOKENS {
            return Err(OverBudget);
        }
        match before {
            Some(before) => {
                self.ends.remove(&(before, Arc::clone(&path)));
            }
            None => {
                let share = self.share.get_or_insert_with(|| budget.empty(Holding::Tokens));
                share.resize(share.bytes() + path.len() + TOKEN)?;
            }
        }
        self.ends.insert((expires, Arc::clone(&path)));
        self.tokens.insert(path, Token { rights: unite(rights, Rights::default()), expires });
        self.shown = true;
        Ok(())
    }

    /// Forgets the first token that has ended; its path.
    pub(crate) fn take_ended(&mut self, utc: Timestamp) -> Option<Arc<str>> {
        self.ends.first().filter(|(end, _)| *end <= utc)?;
        let (_, path) = self.ends.pop_first()?;
        self.tokens.remove(&path);
        if let Some(share) = &mut self.share {
            share.set(share.bytes().saturating_sub(path.len() + TOKEN));
        }
        Some(path)
    }

    /// When the next token ends, or ended.
    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        self.ends.first().map(|(end, _)| *end)
    }
}

/// Where a key counts.
#[derive(Clone, Debug)]
pub(crate) struct SigningKey {
    /// The rule it belongs to.
    pub rule: AuthorizationRule,
    /// The entity it is for; empty for the whole namespace.
    pub scope: String,
}

/// The audience that a shared access signature is signed for, read for a client that has named this host.
fn signed_audience(signature: &SharedAccessSignature<'_>, host: &str) -> Option<Audience> {
    let signed = String::from_utf8(signature.audience().collect()).ok()?;
    Some(Audience::parse(&signed, host))
}

/// The host that a shared access signature is signed for; `None` where it names none.
pub(crate) fn signed_host(token: &str) -> Option<String> {
    signed_audience(&SharedAccessSignature::parse(token).ok()?, "")?.host
}

/// Checks a token against the keys that could have signed it; what it grants, and until when.
///
/// # Errors
/// [`TokenError`].
pub(crate) fn check_token(
    token: &str,
    audience: &Audience,
    keys: &[SigningKey],
    accept_jwt: bool,
    utc: Timestamp,
) -> Result<(Rights, Timestamp), TokenError> {
    // Clients call shared access signatures `jwt` too: the text decides (docs/evidence/wire-protocol.md §0 fact 2).
    let Ok(signature) = SharedAccessSignature::parse(token) else {
        return if accept_jwt { check_jwt(token, utc) } else { Err(TokenError::Malformed) };
    };
    let host = audience.host.as_deref().unwrap_or_default();
    let signed = signed_audience(&signature, host).ok_or(TokenError::Malformed)?;
    let expiry = signature.exact_expiry().ok_or(TokenError::Malformed)?;
    let mut result = Err(TokenError::InvalidSignature);
    for key in keys.iter().filter(|key| signature.key_name_is(&key.rule.key_name)) {
        for text in [&key.rule.primary_key, &key.rule.secondary_key] {
            if text.is_empty() {
                continue;
            }
            match signature.verify(text, utc) {
                Ok(()) if !covers(&key.scope, &signed.path) || !signed.covers(audience) => {
                    result = Err(TokenError::WrongAudience);
                }
                Ok(()) => return Ok((key.rule.rights, expiry)),
                Err(SasError::Expired) => result = Err(TokenError::Expired(expiry)),
                Err(_) => {}
            }
        }
    }
    result
}

/// Looks at a JSON web token. Nobody signs for an emulator, so only its form and its end count; it grants everything.
fn check_jwt(token: &str, utc: Timestamp) -> Result<(Rights, Timestamp), TokenError> {
    use base64::Engine as _;
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(TokenError::Malformed);
    };
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims.trim_end_matches('='))
        .map_err(|_| TokenError::Malformed)?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).map_err(|_| TokenError::Malformed)?;
    let expiry = match claims.get("exp") {
        None => Timestamp::DOTNET_MAX,
        Some(end) => {
            // A number of seconds, which may have a fraction (RFC 7519 §2).
            let seconds = end.as_i64().or_else(|| end.as_f64().map(|seconds| seconds as i64));
            let calendar = 0..Timestamp::DOTNET_MAX.as_secs();
            Timestamp::from_secs(seconds.filter(|seconds| calendar.contains(seconds)).ok_or(TokenError::Malformed)?)
        }
    };
    if expiry <= utc { Err(TokenError::Expired(expiry)) } else { Ok((Rights::ALL, expiry)) }
}

/// The path that rights to an address are looked up by: in lower case, and that of its entity for a `$management` node.
pub(crate) fn address_path(address: &str) -> String {
    let mut parsed = Address::parse(address);
    parsed.management = false;
    parsed.to_string().to_ascii_lowercase()
}
