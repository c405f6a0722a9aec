//! Windows that are shut: messages that wait must not stop tokens and settlements.

use crate::scripted::{self, Server};
use crate::stage::{HOUR, MINUTE, SECOND, observe, policy, world};
use servicebus_core::client::ReceiverOptions;
use servicebus_core::servicebus::{Disposition, LockToken, MessageRef};
use servicebus_core::storage::{Heap, Limits, Management, Prefetch, Storage};
use servicebus_core::wire::message::MessageView;
use servicebus_core::wire::performative::{Flow, Performative, Role};
use servicebus_core::wire::to_vec;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::engine::{Item, flow};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

servicebus_core::fixed_storage! {
    /// A board with a session for requests.
    type Board {
        sessions: 2, links: 8, deliveries: 8, receive: 2048, transmit: 2048, message: 1024, messages: 6, prefetch: true,
        receivers: true, management: true,
    }
}

/// Requests that were answered.
#[derive(Clone, Copy, Debug, Default)]
struct Answered {
    tokens: u32,
    settlements: u32,
}

/// A service that keeps to the client's windows, and shuts its own on a session with messages.
#[derive(Default)]
struct Strict {
    /// The transfer behind the last one that the client's window has room for, by channel.
    until: BTreeMap<u16, u32>,
    /// Transfers of the client's, by channel.
    received: BTreeMap<u16, u32>,
    messages: u32,
    answered: Rc<Cell<Answered>>,
}

impl Strict {
    /// Answers a frame of the client's; false where the default answer is right.
    fn answers(&mut self, server: &mut Server, item: &Item<'_>, size: usize) -> bool {
        let Item::Frame(channel, performative, payload) = item else { return false };
        match performative {
            Performative::Begin(begin) => {
                self.until.insert(*channel, begin.incoming_window);
                false
            }
            Performative::Attach(attach) => {
                let link = server.link(attach.handle).expect("it was remembered");
                server.accept(&link, 100);
                if link.address == "q" {
                    // As many as have come: there is no room for another.
                    self.received.entry(*channel).or_default();
                    let shut = Flow {
                        next_incoming_id: self.received.get(channel).copied(),
                        incoming_window: 0,
                        ..flow(0, 0, 0)
                    };
                    server.send(&Flow { handle: None, delivery_count: None, link_credit: None, ..shut }, &[]);
                }
                true
            }
            Performative::Flow(flow) => {
                self.until.insert(*channel, flow.next_incoming_id.unwrap_or(0).wrapping_add(flow.incoming_window));
                let link = flow.handle.and_then(|handle| server.link(handle));
                let Some(link) = link.filter(|link| link.role == Role::Receiver && link.address == "q") else {
                    return true;
                };
                let until = flow.delivery_count.unwrap_or(0) + flow.link_credit.unwrap_or(0);
                let body = vec![0; size];
                let message = to_vec(&MessageRef::new(&body));
                while self.messages < until && server.transfers(&link) < self.until[channel] {
                    self.messages += 1;
                    server.deliver(&link, false, &message);
                }
                true
            }
            Performative::Transfer(transfer) => {
                *self.received.entry(*channel).or_default() += 1;
                let Some(link) = server.link(transfer.handle) else { return false };
                if server.transfers(&link) >= self.until[channel] {
                    // The response has no room.
                    return true;
                }
                let request = MessageView::parse(payload).expect("a request");
                let properties = request.application_properties().expect("its properties");
                let mut answered = self.answered.get();
                match properties.get("operation").and_then(|value| value.as_str()) {
                    Some("put-token") => answered.tokens += 1,
                    _ => answered.settlements += 1,
                }
                self.answered.set(answered);
                false
            }
            _ => false,
        }
    }
}

/// Fills a session with messages that are not taken, waits until the token was renewed, and settles by request.
fn with_a_full_window<S: Storage + Management + Prefetch>(prefetch: u32, size: usize) -> Answered {
    let strict = Strict::default();
    let answered = Rc::clone(&strict.answered);
    observe(&world(QueueDescription::default()), async move |world| {
        let limits = Limits::new().with_buffered_bytes(300_000);
        let settings = world.settings::<S>().with_retry(policy(2)).with_limits(limits);
        let mut strict = strict;
        let script = move |server: &mut Server, item: &Item<'_>| strict.answers(server, item, size);
        let (client, dials) = scripted::client(&world, settings, script);
        let options = ReceiverOptions::new("q").with_prefetch(prefetch);
        let receiver = client.receiver(options).expect("room");
        world.sleep(HOUR - MINUTE).await;
        let token = LockToken::from_delivery_tag(&[1; 16]).expect("a lock token");
        receiver.settle_by_token(token, Disposition::Complete).await.expect("a settlement");
        assert_eq!(dials.get(), 1, "on one connection");
        world.sleep(SECOND).await;
    });
    answered.get()
}

#[test]
fn a_full_window_stops_neither_tokens_nor_settlements() {
    for size in [10_000, 60_000] {
        let Answered { tokens, settlements } = with_a_full_window::<Heap>(1_000, size);
        assert!(tokens >= 2 && settlements == 1, "{size}: {tokens} tokens, {settlements} settlements");
    }
}

#[test]
fn a_board_with_two_sessions_has_one_for_requests() {
    let Answered { tokens, settlements } = with_a_full_window::<Board>(2, 100);
    assert!(tokens >= 2 && settlements == 1, "{tokens} tokens, {settlements} settlements");
}
