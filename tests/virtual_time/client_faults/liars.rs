//! Services that break the protocol or bend it: whatever they send, each call ends in its time with a result or a typed
//! error, and once they behave, the next calls work.

use crate::scripted::{self, Link, Server};
use crate::stage::{
    MINUTE, SECOND, ended_by, ending, longest, observe, on_both_storages, policy, settings_of, within, world,
};
use servicebus_core::client::{Client, Error};
use servicebus_core::servicebus::{Body, Entity, MessageRef};
use servicebus_core::time::Duration;
use servicebus_core::wire::messaging::{DeliveryState, MessageId};
use servicebus_core::wire::performative::*;
use servicebus_core::wire::{Value, to_vec};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::Simulated;
use servicebus_tests::engine::{Item, attach, begin, flow, frame, open, transfer};
use servicebus_tests::storages::Complete;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;

/// Answers a frame wrongly; false leaves it to the answer of a healthy service.
type Lie = fn(&mut Server, &Item<'_>) -> bool;

/// The link to the queue that an attach makes.
fn attaches_to_queue(server: &Server, item: &Item<'_>) -> Option<Link> {
    let Item::Frame(_, Performative::Attach(attach), _) = item else { return None };
    server.link(attach.handle).filter(|link| link.address == "q")
}

/// The link to a node that a request comes on, with the request.
fn request<'a>(server: &Server, item: &Item<'a>, node: &str) -> Option<(Link, u32, &'a [u8])> {
    let Item::Frame(_, Performative::Transfer(transfer), payload) = item else { return None };
    let link = server.link(transfer.handle).filter(|link| link.address.ends_with(node))?;
    Some((link, transfer.delivery_id.unwrap_or(0), payload))
}

/// The credit that a receiver of the queue asks for.
fn credit(server: &Server, item: &Item<'_>) -> Option<Link> {
    let Item::Frame(_, Performative::Flow(flow), _) = item else { return None };
    let link = server.link(flow.handle?)?;
    (link.role == Role::Receiver && link.address == "q" && flow.link_credit? > 0 && !flow.drain).then_some(link)
}

/// A disposition of the client's deliveries.
fn disposition(
    first: u32,
    last: Option<u32>,
    settled: bool,
    state: Option<DeliveryState<'static>>,
) -> Disposition<'static> {
    Disposition { role: Role::Receiver, first, last, settled, state, batchable: false }
}

/// A message of the queue's.
fn message() -> Vec<u8> {
    to_vec(&MessageRef::new("x"))
}

/// Sends this instead of the first message that a receiver asks for.
fn delivers(server: &mut Server, item: &Item<'_>, change: fn(&mut Transfer<'static>), payload: &[u8]) -> bool {
    let Some(link) = credit(server, item) else { return false };
    let mut body = Transfer { delivery_tag: Some(&[7; 16]), ..transfer(link.handle, 0, false) };
    change(&mut body);
    server.send(&body, payload);
    true
}

/// Answers a request to a node with these properties and this body.
fn answers(server: &mut Server, item: &Item<'_>, node: &str, status: &[(&str, Value<'_>)], body: Body<'_>) -> bool {
    let Some((link, id, payload)) = request(server, item, node) else { return false };
    server.settle(id, DeliveryState::ACCEPTED);
    server.respond_with(&link, payload, |id| id, status, body);
    true
}

const OK: [(&str, Value<'static>); 1] = [("statusCode", Value::Int(200))];

/// Answers the first attach to the queue well, and sends this behind it.
fn behind_the_attach(server: &mut Server, item: &Item<'_>, send: fn(&mut Server, &Link)) -> bool {
    let Some(link) = attaches_to_queue(server, item) else { return false };
    server.accept(&link, 1_000);
    send(server, &link);
    true
}

/// Answers an open so.
fn opens(server: &mut Server, item: &Item<'_>, change: fn(&mut Open<'static>)) -> bool {
    let Item::Frame(_, Performative::Open(_), _) = item else { return false };
    let mut body = Open { max_frame_size: 65_536, ..open("server") };
    change(&mut body);
    server.send(&body, &[]);
    true
}

/// Answers a begin so.
fn begins(server: &mut Server, item: &Item<'_>, change: fn(&mut Begin<'static>)) -> bool {
    let Item::Frame(channel, Performative::Begin(_), _) = item else { return false };
    let mut body = begin(Some(*channel));
    change(&mut body);
    server.send(&body, &[]);
    true
}

const LIES: &[(&str, Lie)] = &[
    // Openings.
    ("max-frame-size of 512", |server, item| opens(server, item, |open| open.max_frame_size = 512)),
    ("max-frame-size of 100", |server, item| opens(server, item, |open| open.max_frame_size = 100)),
    ("max-frame-size of 0", |server, item| opens(server, item, |open| open.max_frame_size = 0)),
    ("channel-max of 0", |server, item| opens(server, item, |open| open.channel_max = 0)),
    ("idle-time-out of 0", |server, item| opens(server, item, |open| open.idle_time_out = Some(0))),
    ("idle-time-out of 1 ms", |server, item| opens(server, item, |open| open.idle_time_out = Some(1))),
    ("idle-time-out of 49 days", |server, item| opens(server, item, |open| open.idle_time_out = Some(u32::MAX))),
    ("two opens, the second with smaller frames", |server, item| {
        opens(server, item, |_| {}) && {
            server.send(&Open { max_frame_size: 512, ..open("server") }, &[]);
            true
        }
    }),
    ("a header again after the open", |server, item| {
        opens(server, item, |_| {}) && {
            server.send_bytes(Duration::ZERO, b"AMQP\0\x01\0\0".to_vec());
            true
        }
    }),
    // Sessions.
    ("handle-max of 0", |server, item| begins(server, item, |begin| begin.handle_max = 0)),
    ("incoming-window of 0", |server, item| begins(server, item, |begin| begin.incoming_window = 0)),
    ("next-outgoing-id at its end", |server, item| begins(server, item, |begin| begin.next_outgoing_id = u32::MAX)),
    ("a begin that answers another channel", |server, item| {
        begins(server, item, |begin| begin.remote_channel = Some(77))
    }),
    ("a begin of the peer's own", |server, item| begins(server, item, |begin| begin.remote_channel = None)),
    ("a second begin on another channel", |server, item| {
        begins(server, item, |_| {}) && {
            server.send_elsewhere(9, &begin(Some(0)));
            true
        }
    }),
    ("an end while the attach is under way", |server, item| {
        attaches_to_queue(server, item).is_some() && {
            server.send(&End { error: None }, &[]);
            true
        }
    }),
    ("an end with an error, twice", |server, item| {
        attaches_to_queue(server, item).is_some() && {
            let error = Some(ErrorCondition::new("amqp:internal-error"));
            server.send(&End { error }, &[]);
            server.send(&End { error }, &[]);
            true
        }
    }),
    ("a close with an error while calls wait", |server, item| {
        attaches_to_queue(server, item).is_some() && {
            server.send(&Close { error: Some(ErrorCondition::new("amqp:connection:forced")) }, &[]);
            true
        }
    }),
    ("a close, and frames behind it", |server, item| {
        behind_the_attach(server, item, |server, link| {
            server.send(&Close { error: None }, &[]);
            server.send(&flow(link.handle, 0, 10), &[]);
        })
    }),
    // Links.
    ("an attach answered three times", |server, item| {
        behind_the_attach(server, item, |server, link| {
            server.accept(link, 10);
            server.accept(link, 10);
        })
    }),
    ("an attach answered with the same role", |server, item| {
        let Some(link) = attaches_to_queue(server, item) else { return false };
        server.send(&attach(&link.name, link.handle, link.role), &[]);
        true
    }),
    ("an attach answered by another name", |server, item| {
        let Some(link) = attaches_to_queue(server, item) else { return false };
        server.send(&attach("another", link.handle, link.role.other()), &[]);
        true
    }),
    ("an attach answered on the greatest handle", |server, item| {
        let Some(link) = attaches_to_queue(server, item) else { return false };
        server.send(&attach(&link.name, u32::MAX, link.role.other()), &[]);
        true
    }),
    ("max-message-size of 1", |server, item| {
        let Some(link) = attaches_to_queue(server, item) else { return false };
        server.send(&Attach { max_message_size: Some(1), ..attach(&link.name, link.handle, link.role.other()) }, &[]);
        server.send(&flow(link.handle, 0, 10), &[]);
        true
    }),
    ("a detach that closes nothing, and an attach of the peer's", |server, item| {
        behind_the_attach(server, item, |server, link| {
            server.send(&Detach { handle: link.handle, closed: false, error: None }, &[]);
            server.accept(link, 10);
        })
    }),
    ("a detach of no link", |server, item| {
        behind_the_attach(server, item, |server, _| server.send(&Detach { handle: 99, closed: true, error: None }, &[]))
    }),
    ("a detach before the attach is answered", |server, item| {
        let Some(link) = attaches_to_queue(server, item) else { return false };
        server.send(&Detach { handle: link.handle, closed: true, error: None }, &[]);
        true
    }),
    // Flows.
    ("credit below nothing", |server, item| {
        behind_the_attach(server, item, |server, link| server.send(&flow(link.handle, u32::MAX - 5, 1), &[]))
    }),
    ("credit without an end, counted from the middle", |server, item| {
        behind_the_attach(server, item, |server, link| server.send(&flow(link.handle, 1 << 31, u32::MAX), &[]))
    }),
    ("a flow without counts", |server, item| {
        behind_the_attach(server, item, |server, link| {
            let body =
                Flow { delivery_count: None, link_credit: None, next_incoming_id: None, ..flow(link.handle, 0, 0) };
            server.send(&body, &[]);
        })
    }),
    ("a flow whose window counts what was never sent", |server, item| {
        behind_the_attach(server, item, |server, link| {
            server.send(&Flow { next_incoming_id: Some(1 << 31), incoming_window: 1, ..flow(link.handle, 0, 10) }, &[]);
        })
    }),
    ("a flow of no link", |server, item| {
        behind_the_attach(server, item, |server, _| server.send(&flow(99, 0, 10), &[]))
    }),
    ("drains that are asked for again and again", |server, item| {
        behind_the_attach(server, item, |server, link| {
            for _ in 0..50 {
                server.send(&Flow { drain: true, echo: true, ..flow(link.handle, 0, 0) }, &[]);
            }
        })
    }),
    // Transfers.
    ("a transfer on the client's sender", |server, item| {
        behind_the_attach(server, item, |server, link| server.send(&transfer(link.handle, 0, false), &message()))
    }),
    ("a transfer without a tag", |server, item| delivers(server, item, |body| body.delivery_tag = None, &message())),
    ("a transfer without an id", |server, item| delivers(server, item, |body| body.delivery_id = None, &message())),
    ("a transfer with a tag of 3 bytes", |server, item| {
        delivers(server, item, |body| body.delivery_tag = Some(b"tag"), &message())
    }),
    ("a transfer with an id far ahead", |server, item| {
        delivers(server, item, |body| body.delivery_id = Some(1 << 31), &message())
    }),
    ("a transfer that is settled already", |server, item| {
        delivers(server, item, |body| body.settled = Some(true), &message())
    }),
    ("a transfer that resumes", |server, item| delivers(server, item, |body| body.resume = true, &message())),
    ("a transfer that is aborted at once", |server, item| {
        delivers(server, item, |body| body.aborted = true, &message())
    }),
    ("a message of no bytes", |server, item| delivers(server, item, |_| {}, &[])),
    ("a message that is none", |server, item| {
        delivers(server, item, |_| {}, &[0, 0x53, 0x75, 0xb0, 0xff, 0xff, 0xff, 0xff])
    }),
    ("a message cut in the middle", |server, item| delivers(server, item, |_| {}, &message()[..5])),
    ("an id that is used twice", |server, item| {
        let Some(link) = credit(server, item) else { return false };
        for _ in 0..2 {
            server.send(&Transfer { delivery_tag: Some(&[7; 16]), ..transfer(link.handle, 0, false) }, &message());
        }
        true
    }),
    ("a message that is aborted behind its first frame", |server, item| {
        let Some(link) = credit(server, item) else { return false };
        let body = Transfer { delivery_tag: Some(&[7; 16]), ..transfer(link.handle, 0, true) };
        server.send(&body, &message());
        server.send(&Transfer { aborted: true, ..body }, &[]);
        server.send(&Transfer { delivery_tag: Some(&[8; 16]), ..transfer(link.handle, 1, false) }, &message());
        true
    }),
    ("two messages whose frames alternate", |server, item| {
        let Some(link) = credit(server, item) else { return false };
        for id in [0, 1, 0, 1] {
            server.send(&Transfer { delivery_tag: Some(&[7; 16]), ..transfer(link.handle, id, true) }, &message());
        }
        true
    }),
    // Outcomes.
    ("outcomes of all that was never sent", |server, item| {
        behind_the_attach(server, item, |server, _| {
            server.send(&disposition(0, Some(u32::MAX), true, Some(DeliveryState::ACCEPTED)), &[]);
        })
    }),
    ("a range whose end is before its begin", |server, item| {
        let Some((_, id, _)) = request(server, item, "q") else { return false };
        server.send(&disposition(id.wrapping_add(5), Some(id), true, Some(DeliveryState::ACCEPTED)), &[]);
        true
    }),
    ("outcomes that are never settled", |server, item| {
        let Some((_, id, _)) = request(server, item, "q") else { return false };
        for _ in 0..20 {
            server.send(&disposition(id, None, false, Some(DeliveryState::ACCEPTED)), &[]);
        }
        true
    }),
    ("an outcome without a state, not settled", |server, item| {
        let Some((_, id, _)) = request(server, item, "q") else { return false };
        server.send(&disposition(id, None, false, None), &[]);
        true
    }),
    ("outcomes in the wrong role", |server, item| {
        let Some((_, id, _)) = request(server, item, "q") else { return false };
        let state = Some(DeliveryState::ACCEPTED);
        server.send(&Disposition { role: Role::Sender, ..disposition(id, None, true, state) }, &[]);
        true
    }),
    // Tokens.
    ("tokens whose answers have no status", |server, item| {
        answers(server, item, "$cbs", &[], Body::Value(Value::Null))
    }),
    ("tokens whose status is a text", |server, item| {
        answers(server, item, "$cbs", &[("statusCode", Value::String("202"))], Body::Value(Value::Null))
    }),
    ("tokens whose answers answer another request", |server, item| {
        let Some((link, id, payload)) = request(server, item, "$cbs") else { return false };
        server.settle(id, DeliveryState::ACCEPTED);
        server.respond_with(&link, payload, |_| Some(MessageId::Ulong(u64::MAX)), &OK, Body::Value(Value::Null));
        true
    }),
    ("tokens whose answers answer nothing", |server, item| {
        let Some((link, id, payload)) = request(server, item, "$cbs") else { return false };
        server.settle(id, DeliveryState::ACCEPTED);
        server.respond_with(&link, payload, |_| None, &OK, Body::Value(Value::Null));
        true
    }),
    ("tokens with a status of no meaning", |server, item| {
        answers(server, item, "$cbs", &[("statusCode", Value::Int(-1))], Body::Value(Value::Null))
    }),
    ("answers to tokens, three times", |server, item| {
        (0..3).filter(|_| answers(server, item, "$cbs", &OK, Body::Value(Value::Null))).count() > 0
    }),
    ("answers to tokens that are no messages", |server, item| {
        let Some((link, id, _)) = request(server, item, "$cbs") else { return false };
        server.settle(id, DeliveryState::ACCEPTED);
        let receiver = server.links.iter().find(|other| other.role == Role::Receiver && other.address == link.address);
        let receiver = receiver.cloned().expect("its answers have a link");
        server.deliver(&receiver, false, &[0xff; 40]);
        true
    }),
    // Requests.
    ("answers without a status", |server, item| answers(server, item, "$management", &[], Body::Value(Value::Null))),
    ("answers of success without a body", |server, item| {
        answers(server, item, "$management", &OK, Body::Value(Value::Null))
    }),
    ("answers whose body is a text", |server, item| {
        answers(server, item, "$management", &OK, Body::Value(Value::String("messages")))
    }),
    ("answers whose body is data", |server, item| answers(server, item, "$management", &OK, Body::Data(b"messages"))),
    ("answers with a status of no meaning", |server, item| {
        answers(server, item, "$management", &[("statusCode", Value::Int(99_999))], Body::Value(Value::Null))
    }),
    ("answers whose status is a long", |server, item| {
        answers(server, item, "$management", &[("statusCode", Value::Long(200))], Body::Value(Value::Null))
    }),
    ("answers to another request", |server, item| {
        let Some((link, id, payload)) = request(server, item, "$management") else { return false };
        server.settle(id, DeliveryState::ACCEPTED);
        server.respond_with(&link, payload, |_| Some(MessageId::String("another")), &OK, Body::Value(Value::Null));
        true
    }),
    ("answers, three times", |server, item| {
        (0..3).filter(|_| answers(server, item, "$management", &OK, Body::Value(Value::Null))).count() > 0
    }),
    // Frames.
    ("a frame on a channel without a session", |server, item| {
        behind_the_attach(server, item, |server, link| server.send_elsewhere(500, &flow(link.handle, 0, 10)))
    }),
    ("a performative that does not exist", |server, item| {
        behind_the_attach(server, item, |server, _| {
            let mut bytes = frame(0, &End { error: None }, &[]);
            // The descriptor's code.
            bytes[10] = 0x7f;
            server.send_bytes(Duration::ZERO, bytes);
        })
    }),
    ("a frame whose body begins behind its end", |server, item| {
        behind_the_attach(server, item, |server, _| {
            server.send_bytes(Duration::ZERO, vec![0, 0, 0, 8, 200, 0, 0, 0]);
        })
    }),
    ("a frame shorter than its head", |server, item| {
        behind_the_attach(server, item, |server, _| server.send_bytes(Duration::ZERO, vec![0, 0, 0, 3, 2, 0, 0, 0]))
    }),
];

type Calling<S> = Pin<Box<dyn Future<Output = Result<(), Error<S>>>>>;

/// A call by its name.
type Call<S> = (&'static str, fn(Client<Simulated<S>>, servicebus_core::time::Timestamp) -> Calling<S>);

macro_rules! calls {
    ($($name:literal: |$client:ident, $later:ident| $call:expr;)*) => {
        [$( ($name, |$client, $later| Box::pin(async move { let _ = $later; $call.map(drop) })), )*]
    };
}

/// Calls that meet every lie.
fn calls<S: Complete>() -> [Call<S>; 6] {
    calls! {
        "send": |client, later| client.sender("q")?.send(&MessageRef::new("x")).await;
        "receive": |client, later| client.receiver("q")?.receive(SECOND).await;
        "receive and complete": |client, later| {
            let receiver = client.receiver("q")?;
            match receiver.receive(SECOND).await? {
                Some(message) => receiver.complete(&message).await,
                None => Ok(()),
            }
        };
        "peek": |client, later| client.receiver("q")?.peek(0, 10).await;
        "schedule": |client, later| client.sender("q")?.schedule(&MessageRef::new("x"), later).await;
        "accept a session": |client, later| client.accept_session(Entity::queue("q"), "s").await;
    }
}

/// Plays a call against a lie, heals the service, and calls again; what went wrong. Counts the lies.
fn play<S: Complete>(lie: Lie, call: Call<S>, told: Rc<Cell<u32>>) -> Option<String> {
    observe(&world(QueueDescription::default()), async move |world| {
        let lies = Rc::new(Cell::new(true));
        let lying = Rc::clone(&lies);
        let script = move |server: &mut Server, item: &Item<'_>| {
            if lying.get() && lie(server, item) {
                told.set(told.get() + 1);
            } else {
                server.answer_well(item);
            }
            true
        };
        let (client, dials) = scripted::client(&world, settings_of::<S>(&world, policy(1)), script);
        let later = world.clock().utc + MINUTE;
        // A receive, and the settlement behind it.
        let bound = longest(&policy(1)) * 2 + SECOND * 2;
        let ended = ending(&world, MINUTE * 10, (call.1)(client.clone(), later)).await;
        if !ended_by(&ended, bound) {
            return Some(format!("not in time: {ended:?}"));
        }
        if dials.get() > 10 {
            return Some(format!("{} dials", dials.get()));
        }
        lies.set(false);
        let mut last = None;
        for _ in 0..4 {
            let sender = client.sender("q").unwrap();
            last = ending(&world, MINUTE * 10, sender.send(&MessageRef::new("x"))).await;
            if !ended_by(&last, longest(&policy(1)) + SECOND) {
                return Some(format!("the next call is not in time: {last:?}"));
            }
            if matches!(last, Some((_, Ok(())))) {
                break;
            }
        }
        if !matches!(last, Some((_, Ok(())))) {
            return Some(format!("it does not recover: {last:?}"));
        }
        let received = ending(&world, MINUTE * 10, client.receiver("q").unwrap().receive(SECOND)).await;
        if !ended_by(&received, SECOND * 2) {
            return Some(format!("the next receive is not in time: {received:?}"));
        }
        match within(&world, MINUTE * 10, client.close()).await {
            Some((took, ())) if took <= SECOND * 12 => None,
            took => Some(format!("closing: {took:?}")),
        }
    })
}

fn every_call_ends_and_the_next_one_works<S: Complete>() {
    let mut wrong = Vec::new();
    for (name, lie) in LIES {
        let told = Rc::new(Cell::new(0));
        for call in calls::<S>() {
            if let Some(what) = play::<S>(*lie, call, Rc::clone(&told)) {
                wrong.push(format!("{name}, {}: {what}", call.0));
            }
        }
        assert!(told.get() > 0, "{name} is met by no call");
    }
    assert!(LIES.len() >= 60 && wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

on_both_storages! {
    every_call_ends_whatever_a_service_sends_and_the_next_one_works => every_call_ends_and_the_next_one_works;
}
