//! Frames of a client as the engine applies them: the parts that the broker looks at.

use super::settlement::State;
use crate::broker::entities::Rights;
use crate::broker::namespaces::{NamespaceId, Namespaces};
use servicebus_core::engine::{DeliveryId, Handler, LinkId, StateUpdate, Subject};
use servicebus_core::wire::performative::PerformativeView;
use servicebus_core::wire::sasl::{SaslCode, SaslInit};
use servicebus_core::wire::{self, Value};

/// The property of `open` of a client of JMS 2.0.
const IS_CLIENT_PROVIDER: &str = "com.microsoft:is-client-provider";

/// Keeps what the engine shows of frames while it applies them.
#[derive(Debug)]
pub(crate) struct Recorder<'a> {
    namespaces: &'a Namespaces,
    /// The one that the transport names.
    transport: Option<NamespaceId>,
    /// What SASL PLAIN grants, by namespace.
    pub(crate) plain: Vec<(NamespaceId, Rights)>,
    pub(crate) host: Option<String>,
    pub(crate) attaches: Vec<(LinkId, Vec<u8>)>,
    pub(crate) states: Vec<(DeliveryId, LinkId, bool, State)>,
    pub(crate) flows: Vec<LinkId>,
    /// Links that the client detaches.
    pub(crate) detaches: Vec<LinkId>,
    /// The property of `open` by which clients of JMS 2.0 say that they are such.
    pub(crate) is_client_provider: bool,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(namespaces: &'a Namespaces, transport: Option<NamespaceId>) -> Self {
        Self {
            namespaces,
            transport,
            plain: Vec::new(),
            host: None,
            attaches: Vec::new(),
            states: Vec::new(),
            flows: Vec::new(),
            detaches: Vec::new(),
            is_client_provider: false,
        }
    }
}

impl Handler for Recorder<'_> {
    fn authenticate(&mut self, init: &SaslInit<'_>) -> SaslCode {
        if init.mechanism.as_str() != "PLAIN" {
            // The others say that a token follows.
            return SaslCode::Ok;
        }
        let mut parts = init.initial_response.unwrap_or_default().split(|byte| *byte == 0);
        let (_, name, key) = (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let host = init.hostname.unwrap_or_default();
        self.plain = self.namespaces.plain_rights(host, self.transport, name, key);
        if self.plain.is_empty() { SaslCode::Auth } else { SaslCode::Ok }
    }

    fn performative(&mut self, subject: Subject, performative: &mut PerformativeView<'_>) {
        match (subject, performative) {
            (_, PerformativeView::Open(open)) => {
                self.host = open.hostname().map(str::to_owned);
                let properties = open.whole().ok().and_then(|open| open.properties);
                let asked = properties.and_then(|properties| properties.get(IS_CLIENT_PROVIDER));
                self.is_client_provider = asked == Some(Value::Boolean(true));
            }
            (_, PerformativeView::Close(close)) => {
                // A client that is content gives none: this is what it thinks of the broker's bytes.
                if let Some(error) = close.error() {
                    let (condition, reason) = (error.condition.as_str(), error.description.unwrap_or_default());
                    tracing::warn!(condition, reason, "the client closed the connection with an error");
                }
            }
            (Subject::Link(link), PerformativeView::Attach(attach)) => {
                if let Ok(attach) = attach.whole() {
                    self.attaches.push((link, wire::to_vec(&attach)));
                }
            }
            (Subject::Link(link), PerformativeView::Flow(_)) => self.flows.push(link),
            (Subject::Link(link), PerformativeView::Detach(_)) => self.detaches.push(link),
            _ => {}
        }
    }

    fn state(&mut self, update: &StateUpdate<'_>) {
        let StateUpdate { delivery, link, settled, state, .. } = *update;
        let state = State::keep_after(self.states.last().map(|(.., state)| state), state);
        self.states.push((delivery, link, settled, state));
    }
}
