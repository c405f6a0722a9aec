//! Who may do what on a connection: tokens by audience, or a name and key told in SASL (docs/evidence/wire-protocol.md
//! §2).

use crate::broker::entities::{AuthorizationRule, Rights};
use servicebus_core::servicebus::Address;
use servicebus_core::servicebus::sas::{SasError, SharedAccessSignature};
use servicebus_core::time::Timestamp;

/// Most audiences a connection holds tokens for.
const MAX_TOKENS: usize = 10_000;

#[derive(Debug)]
struct Token {
    /// The audience as a path in lower case: empty for the whole namespace.
    path: String,
    rights: Rights,
    expires: Timestamp,
}

/// The rights of a connection.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// What SASL PLAIN gave, for the whole connection.
    pub plain: Option<Rights>,
    tokens: Vec<Token>,
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

/// The path of an audience in lower case, without scheme, authority and query: the JavaScript SDK signs requests of the
/// management API for their whole address.
pub(crate) fn audience_path(audience: &str) -> String {
    let audience = audience.split('?').next().unwrap_or_default();
    let path = match audience.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => audience,
    };
    path.trim_matches('/').to_ascii_lowercase()
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

impl Access {
    /// The rights on a path.
    pub(crate) fn rights(&self, path: &str, utc: Timestamp) -> Rights {
        let path = path.to_ascii_lowercase();
        let granted = self.tokens.iter().filter(|token| token.expires > utc && covers(&token.path, &path));
        granted.fold(self.plain.unwrap_or_default(), |sum, token| unite(sum, token.rights))
    }

    /// The rights on the `$management` node of a path: some clients put a token for the node alone
    /// (docs/evidence/wire-protocol.md §2.2).
    pub(crate) fn management_rights(&self, path: &str, utc: Timestamp) -> Rights {
        self.rights(&format!("{path}/$management"), utc)
    }

    /// Whether the connection has shown any token or key.
    pub(crate) fn is_authorized(&self) -> bool {
        self.plain.is_some() || !self.tokens.is_empty()
    }

    /// Takes a token in, in place of an earlier one for the same audience.
    pub(crate) fn put(&mut self, audience: &str, rights: Rights, expires: Timestamp) {
        let path = audience_path(audience);
        let token = Token { path, rights: unite(rights, Rights::default()), expires };
        let room = self.tokens.len() < MAX_TOKENS;
        match self.tokens.iter_mut().find(|held| held.path == token.path) {
            Some(held) => *held = token,
            None if room => self.tokens.push(token),
            None => {}
        }
    }

    /// When the next token ends that has not ended yet.
    pub(crate) fn next_expiry(&self, utc: Timestamp) -> Option<Timestamp> {
        self.tokens.iter().map(|token| token.expires).filter(|at| *at > utc).min()
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

/// Checks a token against the keys that could have signed it; what it grants, and until when.
///
/// # Errors
/// [`TokenError`].
pub(crate) fn check_token(
    token: &str,
    audience: &str,
    keys: &[SigningKey],
    accept_jwt: bool,
    utc: Timestamp,
) -> Result<(Rights, Timestamp), TokenError> {
    // Clients call shared access signatures `jwt` too: the text decides (docs/evidence/wire-protocol.md §0 fact 2).
    let Ok(signature) = SharedAccessSignature::parse(token) else {
        return if accept_jwt { check_jwt(token, utc) } else { Err(TokenError::Malformed) };
    };
    let signed: Vec<u8> = signature.audience().collect();
    let signed = String::from_utf8(signed).map_err(|_| TokenError::Malformed)?;
    let signed = audience_path(&signed);
    let mut result = Err(TokenError::InvalidSignature);
    for key in keys.iter().filter(|key| signature.key_name_is(&key.rule.key_name)) {
        for text in [&key.rule.primary_key, &key.rule.secondary_key] {
            if text.is_empty() {
                continue;
            }
            match signature.verify(text, utc) {
                Ok(()) if !covers(&key.scope, &signed) || !covers(&signed, &audience_path(audience)) => {
                    result = Err(TokenError::WrongAudience);
                }
                Ok(()) => return Ok((key.rule.rights, signature.expiry())),
                Err(SasError::Expired) => result = Err(TokenError::Expired(signature.expiry())),
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
    let expiry =
        claims.get("exp").and_then(serde_json::Value::as_i64).map_or(Timestamp::DOTNET_MAX, Timestamp::from_secs);
    if expiry <= utc { Err(TokenError::Expired(expiry)) } else { Ok((Rights::ALL, expiry)) }
}

/// Whether an address that a link was attached to lies on a path that a token is for.
pub(crate) fn address_path(address: &str) -> String {
    let mut parsed = Address::parse(address);
    parsed.management = false;
    parsed.to_string().to_ascii_lowercase()
}
