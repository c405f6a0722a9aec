//! Who may use the endpoint: a shared access signature by a key with the right to manage, or a bearer token.
// docs/evidence/pinned-behaviour.md ADM47 to ADM52

use super::Signers;
use super::refusal::{Refusal, Speaker};
use crate::broker::entities::{AuthorizationRule, Namespace, Rights, name};
use crate::broker::protocol::access::{Audience, SigningKey, TokenError, check_token, signed_host};
use servicebus_core::servicebus::administration::{Method, Request, Resource};
use servicebus_core::time::Timestamp;

/// Keys that can sign for an entity: the namespace's and the entity's own.
fn signing_keys(namespace: &Namespace, keys: &[AuthorizationRule], entity: &str) -> Vec<SigningKey> {
    let own = match (namespace.queue(entity), namespace.topic(entity)) {
        (Some(queue), _) => queue.description.authorization_rules.as_slice(),
        (None, Some(topic)) => topic.description.authorization_rules.as_slice(),
        (None, None) => &[],
    };
    let scope = name::key(entity);
    let scoped = own.iter().map(|rule| SigningKey { rule: rule.clone(), scope: scope.clone() });
    keys.iter().map(|rule| SigningKey { rule: rule.clone(), scope: String::new() }).chain(scoped).collect()
}

/// What the request's token grants.
pub(super) fn rights(
    namespace: &Namespace,
    signers: Signers<'_>,
    resource: &Resource,
    request: &Request,
    utc: Timestamp,
) -> Result<Rights, Refusal> {
    let below = matches!(resource, Resource::Subscription { .. } | Resource::Rule { .. });
    // A subscription's broker answers an unknown key without a text (ADM47).
    let refuse = |text: String| Refusal::new(401, if below { String::new() } else { text });
    let Some(token) = request.headers.get("Authorization") else {
        return Err(Refusal::new(401, "MissingToken: The authorization header was not found."));
    };
    // Some clients sign for the namespace, others for the very address that they request.
    let path = request.path_and_query.split('?').next().unwrap_or_default();
    let entity = match resource {
        Resource::Entity(name) => name,
        below => below.topic(),
    };
    let (token, jwt) = match token.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => (token.trim(), signers.accept_jwt),
        Some(_) => (token, false),
        // The SDKs for Go and for Java send a bearer token without its scheme.
        None => (token, signers.accept_jwt),
    };
    let keys = signing_keys(namespace, signers.keys, entity);
    // The host that the client speaks to: a token for another one counts for nothing here. Where the client names none,
    // the token's own has to be one of this namespace.
    let host = request.headers.get("Host").unwrap_or_default();
    let audience = Audience::of_path(path, host);
    let is_own = |host: String| signers.names.at_host(&host).unwrap_or_default() == signers.id;
    let checked = if host.is_empty() && !signed_host(token).is_none_or(is_own) {
        Err(TokenError::WrongAudience)
    } else {
        check_token(token, &audience, &keys, jwt, utc)
    };
    match checked {
        Ok((rights, _)) => Ok(rights),
        Err(TokenError::Expired(_)) => Err(refuse("ExpiredToken: The token is expired.".into())),
        Err(TokenError::WrongAudience) => {
            Err(refuse("InvalidAudience: The authorization header contains a token for another resource.".into()))
        }
        Err(TokenError::InvalidSignature) => {
            Err(refuse("InvalidSignature: The token has an invalid signature.".into()))
        }
        Err(TokenError::Malformed) => Err(refuse("MalformedToken: The token could not be read.".into())),
    }
}

/// The refusal for a key without the right to manage. That of a queue or topic begins with the claim that is missing
/// (ADM48 to ADM50).
// docs/evidence/field-reports.md F5
pub(super) fn missing_right(resource: &Resource, method: Method, host: &str, path_and_query: &str) -> Refusal {
    let (one, all) = match resource {
        Resource::Subscription { .. } | Resource::Subscriptions { .. } => ("Subscription", "Subscriptions"),
        Resource::Rule { .. } | Resource::Rules { .. } => ("Rule", "Rules"),
        Resource::Queues => ("Queue", "Queues"),
        Resource::Topics => ("Topic", "Topics"),
        Resource::Namespace => ("NamespaceInfo", "NamespaceInfo"),
        _ => ("Entity", "Entities"),
    };
    let is_list = matches!(
        resource,
        Resource::Subscriptions { .. } | Resource::Rules { .. } | Resource::Queues | Resource::Topics
    );
    let operation = match method {
        Method::Get if is_list => format!("Enumerate{all}"),
        Method::Get => format!("Get{one}"),
        Method::Put => format!("CreateOrUpdate{one}"),
        _ => format!("Delete{one}"),
    };
    let is_below = !resource.topic().is_empty();
    let claim = match method {
        _ if is_below => "",
        Method::Get => "Manage,EntityRead claims required for this operation. ",
        Method::Put => "Authorization failed for specified action: Manage,EntityWrite. ",
        _ => "Authorization failed for specified action: Manage,EntityDelete. ",
    };
    let text = format!(
        "{claim}SubCode=40100: Unauthorized : Unauthorized access for '{operation}' operation on endpoint \
         'sb://{host}{path_and_query}'."
    );
    Refusal { speaker: Speaker::Operation, ..Refusal::new(401, text) }
}
