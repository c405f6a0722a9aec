//! Tokens: the `$cbs` node.
// docs/evidence/wire-protocol.md §2, docs/evidence/service-evidence.md §6

use super::access::{Audience, TokenError, check_token, signed_host};
use super::attach::{CBS_CREDIT, condition_of};
use super::fault::Refusal;
use super::link::{Node, Purpose};
use super::peer::Peer;
use super::response::{self, Request};
use crate::broker::Clock;
use crate::broker::entities::Rights;
use crate::broker::shared::Shared;
use bytes::Bytes;
use servicebus_core::engine::LinkId;
use servicebus_core::servicebus::{Address, Reason};
use servicebus_core::time::Timestamp;
use servicebus_core::wire::messaging::{DeliveryState, Outcome, Rejected};
use servicebus_core::wire::{Encode, Symbol, Value};

/// What a put-token comes to.
struct Answer {
    status: i32,
    description: String,
    condition: Option<&'static str>,
}

impl Shared {
    /// Answers what waits on a request link of a node, as long as responses have room on their way. The others wait, and
    /// the client gets no credit for more.
    pub(crate) fn on_requests(&mut self, peer: &mut Peer, id: LinkId, clock: Clock) {
        loop {
            let Some(link) = peer.link(id) else { return };
            let Purpose::Requests(node) = &link.purpose else { return };
            let (node, session) = (node.clone(), link.session);
            let Some(request) = peer.engine.peek(id) else { break };
            let reply = match Request::parse(request) {
                Some(request) => peer.response_link(&node, session, request.reply_to).ok_or_else(|| {
                    // The words of the service (Azure/azure-sdk-for-js#25258).
                    let text = format!(
                        "The response link '{}' was not found in the entity management node $management.",
                        request.reply_to.unwrap_or_default()
                    );
                    Refusal::new(Reason::NotAllowed, text)
                }),
                None => Err(Refusal::new(Reason::DecodeError, "The request could not be decoded.")),
            };
            if reply.as_ref().is_ok_and(|reply| !peer.can_answer(*reply)) {
                return peer.let_wait(id);
            }
            let Some(incoming) = peer.engine.receive(id) else { break };
            if let Some(link) = peer.link_mut(id) {
                link.active = clock.now;
            }
            let state = peer.take_incoming(incoming.delivery);
            let reply = match reply {
                Ok(reply) => reply,
                Err(refusal) if incoming.settled => return self.detach(peer, id, refusal, clock),
                Err(refusal) => {
                    let path = peer.link(id).map(|link| link.path.clone()).unwrap_or_default();
                    let fault = self.fault(refusal, &path, clock);
                    let rejected = Rejected { error: Some(condition_of(&fault)) };
                    peer.settle(incoming.delivery, &DeliveryState::Outcome(Outcome::Rejected(rejected)));
                    continue;
                }
            };
            if !incoming.settled {
                // The request is taken; whether it succeeds is in the response.
                peer.settle(incoming.delivery, &DeliveryState::ACCEPTED);
            }
            let Some(request) = Request::parse(&incoming.payload) else { continue };
            if let Node::Management(path) = &node
                && let Some(refusal) = self.oversized(path, &request)
            {
                return self.detach(peer, id, refusal, clock);
            }
            let response = match &node {
                Node::Cbs => self.put_token(peer, &request, clock),
                Node::Management(path) => self.manage(peer, path, session, &request, state.as_ref(), clock),
            };
            if matches!(node, Node::Management(_)) && self.faults.loses_response() {
                continue;
            }
            peer.answer(reply, response, clock.now);
        }
        let credit = if matches!(peer.link(id).map(|link| &link.purpose), Some(Purpose::Requests(Node::Cbs))) {
            CBS_CREDIT
        } else {
            super::attach::CREDIT
        };
        if peer.engine.link(id).is_some_and(|status| status.credit < credit / 2) {
            let granted = peer.engine.grant(id, credit);
            peer.told(granted);
        }
    }

    /// Answers requests that waited for responses to be read; false when there are none.
    pub(crate) fn on_room_for_answers(&mut self, peer: &mut Peer, clock: Clock) -> bool {
        let waiting = peer.take_waiting_requests();
        let before = peer.engine.payload_bytes();
        for link in &waiting {
            self.on_requests(peer, *link, clock);
        }
        !waiting.is_empty() && peer.engine.payload_bytes() != before
    }

    fn put_token(&mut self, peer: &mut Peer, request: &Request<'_>, clock: Clock) -> Bytes {
        self.statistics.tokens_put += 1;
        let answer = self.judge_token(peer, request, clock);
        let mut properties = vec![
            ("status-code", Value::Int(answer.status)),
            ("status-description", Value::String(&answer.description)),
        ];
        if let Some(condition) = answer.condition {
            properties.push(("error-condition", Value::Symbol(Symbol::new(condition))));
        }
        response::encode(request.message_id, &properties, |out| Value::Null.encode(out))
    }

    fn judge_token(&mut self, peer: &mut Peer, request: &Request<'_>, clock: Clock) -> Answer {
        let refused =
            |status, description: String, condition| Answer { status, description, condition: Some(condition) };
        if request.operation != "put-token" {
            let text = format!("The operation '{}' is not known.", request.operation);
            return refused(501, text, "amqp:not-implemented");
        }
        let Some(audience) = request.properties.get("name").and_then(|name| name.as_str()) else {
            return refused(400, "The request names no audience.".into(), "com.microsoft:argument-error");
        };
        let token = match request.body {
            Value::String(token) => token,
            Value::Binary(bytes) => core::str::from_utf8(bytes).unwrap_or_default(),
            _ => "",
        };
        if let Some(reason) = self.faults.take_token() {
            let refusal = self.injected_refusal(reason);
            self.statistics.tokens_refused += 1;
            let text = self.tracked(refusal.text, clock);
            return refused(i32::from(reason.status_code()), text, reason.condition());
        }
        let audience = Audience::parse(audience, &peer.host).at(&peer.host);
        let written = audience.written.clone();
        let address = Address::parse(&written);
        let keys = self.signing_keys(address.entity);
        // Where the client has named no host, the token may be signed for one.
        let host = audience.host().map(str::to_owned).or_else(|| signed_host(token));
        let checked = match host {
            Some(host) if !self.is_own_host(&host, peer) => Err(TokenError::WrongAudience),
            _ => check_token(token, &audience, &keys, self.accept_jwt, clock.utc),
        };
        match checked {
            Ok((rights, expires)) => {
                // The top-level entity must be there; what lies below it is looked up at attach
                // (docs/evidence/service-evidence.md §6).
                if !address.entity.is_empty()
                    && !address.entity.starts_with('$')
                    && !self.namespace.exists(address.entity)
                {
                    let text = format!("The messaging entity 'sb://{}/{address}' could not be found.", peer.host);
                    return refused(404, self.tracked(text, clock), "amqp:not-found");
                }
                match peer.access.put(audience, rights, expires, &self.budget) {
                    Ok(()) => Answer { status: 202, description: "Accepted".into(), condition: None },
                    Err(error) => {
                        self.statistics.tokens_refused += 1;
                        let reason = Reason::QuotaExceeded;
                        let text = self.tracked(error.to_string(), clock);
                        refused(i32::from(reason.status_code()), text, reason.condition())
                    }
                }
            }
            Err(error) => {
                self.statistics.tokens_refused += 1;
                let text = match error {
                    TokenError::Expired(at) => format!("ExpiredToken: The token is expired. Expiration time: {at}."),
                    TokenError::WrongAudience => {
                        format!("InvalidAudience: The token is not for '{}'.", audience.path)
                    }
                    TokenError::Malformed => "MalformedToken: The token could not be read.".to_owned(),
                    TokenError::InvalidSignature => "InvalidSignature: The token has an invalid signature.".to_owned(),
                };
                refused(401, self.tracked(text, clock), "com.microsoft:auth-failed")
            }
        }
    }

    /// Links whose token has ended are detached, as far as one call goes: `left` is the number of tokens and links that
    /// it may look at.
    // docs/evidence/service-evidence.md §5
    pub(crate) fn expire_tokens(&mut self, peer: &mut Peer, left: &mut usize, clock: Clock) {
        while *left > 0 {
            *left -= 1;
            let Some((path, after)) = peer.ended_tokens.front() else {
                let Some(path) = peer.access.take_ended(clock.utc) else { return };
                if peer.access.plain.is_none() {
                    peer.ended_tokens.push_back((path, None));
                }
                continue;
            };
            let Some((next, id)) = peer.next_link_below(path, after.as_ref()) else {
                peer.ended_tokens.pop_front();
                continue;
            };
            if let Some((_, after)) = peer.ended_tokens.front_mut() {
                *after = Some(next);
            }
            self.detach_without_right(peer, id, clock);
        }
    }

    fn detach_without_right(&mut self, peer: &mut Peer, id: LinkId, clock: Clock) {
        let Some(link) = peer.link(id).filter(|link| !link.closing) else { return };
        let rights: Rights = peer.access.rights(&link.path, clock.utc);
        let (allowed, claim) = match link.purpose {
            Purpose::Sender { .. } => (rights.send, "Send"),
            _ => (rights.listen, "Listen"),
        };
        if allowed {
            return;
        }
        let resource = format!("sb://{}/{}", peer.host, link.path);
        let text = format!(
            "The link '{}' is force detached. Code: RenewToken. Details: {}.",
            link.name,
            super::attach::missing_claim(claim, &resource)
        );
        let refusal = Refusal::new(Reason::DetachForced, text);
        self.detach(peer, id, refusal, clock);
    }

    /// When tokens of a connection end next, or links without one are to be detached.
    pub(crate) fn next_token_expiry(peer: &Peer, utc: Timestamp) -> Option<Timestamp> {
        if peer.ended_tokens.is_empty() { peer.access.next_expiry() } else { Some(utc) }
    }
}
