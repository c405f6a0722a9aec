//! Holds what an engine sends against the specification: the order of frames, the numbers of channels, handles,
//! transfers and deliveries, the windows and the credit that its peer has given.

use crate::engine::{Item, Sent};
use servicebus_core::wire::frame::Protocol;
use servicebus_core::wire::performative::{Flow, Performative, Role};
use std::collections::HashMap;

/// One end of a connection as its peer sees it.
#[derive(Debug, Default)]
pub struct Conformance {
    headers: usize,
    open: bool,
    closed: bool,
    sessions: HashMap<u16, Session>,
}

#[derive(Debug, Default)]
struct Session {
    links: HashMap<u32, Link>,
    next_transfer: u32,
    next_delivery: Option<u32>,
    /// Transfers that the peer takes: its window, counted from our first transfer.
    limit: u32,
}

#[derive(Debug)]
struct Link {
    role: Role,
    delivery_count: u32,
    /// The delivery-count that the peer's credit reaches.
    limit: u32,
    in_delivery: bool,
}

impl Conformance {
    /// Whether a whole connection has been seen: opened and closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Notes a flow of the peer's for the link of ours with this handle.
    pub fn granted(&mut self, channel: u16, handle: Option<u32>, flow: &Flow<'_>) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let seen = flow.next_incoming_id.unwrap_or(session.next_transfer);
        session.limit = seen.wrapping_add(flow.incoming_window);
        let link = handle.and_then(|handle| session.links.get_mut(&handle));
        if let (Some(link), Some(credit)) = (link, flow.link_credit) {
            link.limit = flow.delivery_count.unwrap_or(link.delivery_count).wrapping_add(credit);
        }
    }

    /// Notes the window of the peer's begin for our session on this channel.
    pub fn begun(&mut self, channel: u16, incoming_window: u32) {
        if let Some(session) = self.sessions.get_mut(&channel) {
            session.limit = session.next_transfer.wrapping_add(incoming_window);
        }
    }

    /// Checks what was sent next.
    ///
    /// # Panics
    /// When it breaks a rule.
    pub fn check(&mut self, sent: &Sent) {
        sent.each(|item| match item {
            Item::Header(Protocol::Amqp) => {
                assert!(!self.open, "a header behind the open");
                self.headers += 1;
            }
            Item::Header(_) | Item::Sasl(_) => assert_eq!(self.headers, 0, "SASL behind the AMQP header"),
            Item::Empty => assert!(self.open && !self.closed, "a heartbeat outside of the connection"),
            Item::Frame(channel, performative, _) => self.frame(channel, &performative),
        });
    }

    fn frame(&mut self, channel: u16, performative: &Performative<'_>) {
        assert_eq!(self.headers, 1, "one header, before the frames");
        assert!(!self.closed, "{performative:?} behind close");
        if let Performative::Open(_) = performative {
            assert!(!self.open, "opened twice");
            self.open = true;
            return;
        }
        assert!(self.open, "{performative:?} before open");
        match performative {
            Performative::Close(_) => {
                self.closed = true;
                return;
            }
            Performative::Begin(begin) => {
                let session = Session {
                    next_transfer: begin.next_outgoing_id,
                    limit: begin.next_outgoing_id,
                    ..Session::default()
                };
                assert!(self.sessions.insert(channel, session).is_none(), "channel {channel} begun twice");
                return;
            }
            Performative::End(_) => {
                assert!(self.sessions.remove(&channel).is_some(), "channel {channel} ended without a begin");
                return;
            }
            _ => {}
        }
        let session = self.sessions.get_mut(&channel).unwrap_or_else(|| panic!("{performative:?} without a begin"));
        match performative {
            Performative::Attach(attach) => {
                let count = attach.initial_delivery_count.unwrap_or(0);
                assert_eq!(attach.initial_delivery_count.is_some(), attach.role == Role::Sender);
                let link = Link { role: attach.role, delivery_count: count, limit: count, in_delivery: false };
                assert!(session.links.insert(attach.handle, link).is_none(), "handle {} attached twice", attach.handle);
            }
            Performative::Detach(detach) => {
                assert!(session.links.remove(&detach.handle).is_some(), "handle {} is not attached", detach.handle);
            }
            Performative::Flow(flow) => {
                assert_eq!(flow.next_outgoing_id, session.next_transfer);
                if let Some(handle) = flow.handle {
                    let link = session.links.get_mut(&handle).expect("a flow for an attached link");
                    if link.role == Role::Sender {
                        let count = flow.delivery_count.expect("a sender knows its count");
                        let ahead = count.wrapping_sub(link.delivery_count);
                        assert!(ahead <= link.limit.wrapping_sub(link.delivery_count), "more than the credit used up");
                        link.delivery_count = count;
                    }
                }
            }
            Performative::Transfer(transfer) => {
                let link = session.links.get_mut(&transfer.handle).expect("a transfer on an attached link");
                assert_eq!(link.role, Role::Sender, "a transfer on a receiving link");
                assert_ne!(session.next_transfer, session.limit, "a transfer beyond the window");
                session.next_transfer = session.next_transfer.wrapping_add(1);
                if !link.in_delivery {
                    assert_ne!(link.delivery_count, link.limit, "a delivery beyond the credit");
                    link.delivery_count = link.delivery_count.wrapping_add(1);
                    let id = transfer.delivery_id.expect("the first frame has an id");
                    assert!(transfer.delivery_tag.is_some(), "the first frame has a tag");
                    assert!(session.next_delivery.is_none_or(|next| next == id), "a gap in the delivery-ids");
                    session.next_delivery = Some(id.wrapping_add(1));
                }
                link.in_delivery = transfer.more && !transfer.aborted;
            }
            _ => {}
        }
    }
}
