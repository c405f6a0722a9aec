//! The engine in the server role: a node for each address, kept for each connection on its own.
//!
//! | address | what happens |
//! |---|---|
//! | `refuse` | the attach is refused with `amqp:not-found` |
//! | `kick` | the link is detached with `amqp:resource-deleted` after the first message |
//! | `reject`, `release`, `modify` | messages get that outcome |
//! | `burst` | ten messages wait for whoever receives |
//! | any other | messages are accepted and come back to whoever receives; values are decoded and encoded anew |

use super::{Arguments, config, payload, value_message, value_of};
use servicebus_core::engine::{Connection, Event, Handler, LinkId, SendOptions, Subject, Tag, condition};
use servicebus_core::storage::Heap;
use servicebus_core::time::{Duration, Instant};
use servicebus_core::wire::Symbol;
use servicebus_core::wire::messaging::{DeliveryState, Modified, Outcome, Rejected, Source, Target};
use servicebus_core::wire::performative::*;
use servicebus_core::wire::sasl::{SaslCode, SaslInit};
use servicebus_tests::engine::open;
use servicebus_tests::socket::Socket;
use servicebus_tests::tree::{Plain, Tree};
use std::collections::{HashMap, VecDeque};
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};

/// A link as its attach described it.
struct Wanted {
    name: String,
    address: String,
    role: Role,
    snd_settle_mode: SenderSettleMode,
    rcv_settle_mode: ReceiverSettleMode,
}

#[derive(Default)]
struct Seen {
    plain: Option<(String, String)>,
    links: HashMap<LinkId, Wanted>,
}

impl Handler for Seen {
    const SETTLES: bool = true;

    fn authenticate(&mut self, init: &SaslInit<'_>) -> SaslCode {
        let expected = self.plain.as_ref().map(|(user, password)| format!("\0{user}\0{password}"));
        let right = match (init.mechanism.as_str(), expected) {
            ("PLAIN", Some(expected)) => {
                // The authorization identity in front may be given as well.
                init.initial_response.is_some_and(|response| response.ends_with(expected.as_bytes()))
            }
            ("ANONYMOUS", None) => true,
            _ => false,
        };
        if right { SaslCode::Ok } else { SaslCode::Auth }
    }

    fn performative(&mut self, subject: Subject, performative: &mut PerformativeView<'_>) {
        let (Subject::Link(link), PerformativeView::Attach(attach)) = (subject, performative) else { return };
        let attach = attach.whole().expect("checked before it was applied");
        let address = match attach.role {
            Role::Receiver => attach.source.and_then(|source| source.address),
            Role::Sender => match attach.target {
                Some(TargetArchetype::Target(target)) => target.address,
                _ => None,
            },
        };
        let address = address.and_then(|address| address.as_str()).unwrap_or_default().to_owned();
        let wanted = Wanted {
            name: attach.name.into(),
            address,
            role: attach.role,
            snd_settle_mode: attach.snd_settle_mode,
            rcv_settle_mode: attach.rcv_settle_mode,
        };
        self.links.insert(link, wanted);
    }
}

/// Serves until the standard input ends.
pub(super) fn run(arguments: &Arguments) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    println!("ready {}", listener.local_addr().expect("bound").port());
    let (max_frame_size, plain) = (arguments.max_frame_size, arguments.plain.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let plain = plain.clone();
            std::thread::spawn(move || {
                if let Err(error) = serve(stream, max_frame_size, plain) {
                    eprintln!("{error}");
                }
            });
        }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// A queue of messages and the links that read from it.
#[derive(Default)]
struct Node {
    messages: VecDeque<Vec<u8>>,
    readers: Vec<LinkId>,
}

fn serve(stream: TcpStream, max_frame_size: u32, plain: Option<(String, String)>) -> std::io::Result<()> {
    let connection = Connection::<Heap>::server(config(max_frame_size), Instant::ZERO);
    let mut socket = Socket::new(connection, stream, max_frame_size)?;
    let mut seen = Seen { plain, ..Seen::default() };
    let mut nodes: HashMap<String, Node> = HashMap::new();
    let burst = (0..10u8).map(|number| value_message(&Tree::Plain(Plain::Ubyte(number)))).collect();
    nodes.insert("burst".into(), Node { messages: burst, readers: Vec::new() });
    let mut tag = 0u32;
    let mut draining = Vec::new();
    while socket.turn(&mut seen, Duration::from_millis(500))? {
        while let Some(event) = socket.connection.poll_event() {
            handle(&mut socket.connection, event, &mut seen, &mut nodes, &mut draining);
        }
        for node in nodes.values_mut() {
            // Each reader in turn, as far as its credit goes.
            node.readers.retain(|link| socket.connection.link(*link).is_some_and(|link| link.attached));
            for link in &node.readers {
                while let Some(status) = socket.connection.link(*link)
                    && status.credit > status.waiting
                    && let Some(message) = node.messages.pop_front()
                {
                    let settled =
                        seen.links.get(link).is_some_and(|it| it.snd_settle_mode == SenderSettleMode::Settled);
                    tag += 1;
                    let options = SendOptions {
                        tag: Tag::new(&tag.to_be_bytes()).unwrap_or(Tag::EMPTY),
                        settled,
                        ..SendOptions::default()
                    };
                    if socket.connection.send(*link, &payload(&message), &options).is_err() {
                        node.messages.push_front(message);
                        break;
                    }
                }
            }
        }
        for link in draining.drain(..) {
            let _ = socket.connection.drained(link);
        }
    }
    Ok(())
}

fn handle(
    connection: &mut Connection<Heap>,
    event: Event,
    seen: &mut Seen,
    nodes: &mut HashMap<String, Node>,
    draining: &mut Vec<LinkId>,
) {
    match event {
        Event::Opened => {
            connection.open(&open("engine")).expect("room");
        }
        Event::SessionBegun(session) => {
            let _ = connection.accept_session(session);
        }
        Event::LinkAttached(link) => {
            let Some(wanted) = seen.links.get(&link) else { return };
            if wanted.address == "refuse" {
                let error = ErrorCondition::new(condition::NOT_FOUND).with_description("there is no such node");
                let _ = connection.refuse_link(link, &wanted.name, &error);
                return;
            }
            let answer = Attach {
                snd_settle_mode: wanted.snd_settle_mode,
                rcv_settle_mode: wanted.rcv_settle_mode,
                source: Some(Source::new(Some(&wanted.address))),
                target: Some(TargetArchetype::Target(Target::new(Some(&wanted.address)))),
                ..servicebus_tests::engine::attach(&wanted.name, 0, wanted.role.other())
            };
            let _ = connection.accept_link(link, &answer);
            match wanted.role {
                Role::Sender => drop(connection.grant(link, 50)),
                Role::Receiver => nodes.entry(wanted.address.clone()).or_default().readers.push(link),
            }
        }
        Event::Readable(link) => {
            let Some(wanted) = seen.links.get(&link) else { return };
            while let Some(incoming) = connection.receive(link) {
                let bytes = incoming.payload.to_vec();
                let state = match wanted.address.as_str() {
                    "reject" => {
                        let error = ErrorCondition {
                            condition: Symbol::new("test:refused"),
                            description: Some("not this one"),
                            info: None,
                        };
                        DeliveryState::Outcome(Outcome::Rejected(Rejected { error: Some(error) }))
                    }
                    "release" => DeliveryState::RELEASED,
                    "modify" => DeliveryState::Outcome(Outcome::Modified(Modified {
                        delivery_failed: Some(true),
                        undeliverable_here: Some(true),
                        message_annotations: None,
                    })),
                    address => {
                        // A value is taken apart and put together again; everything in front of it stays.
                        let body = servicebus_core::wire::message::MessageView::parse(&bytes)
                            .map_or(0, |view| view.body_bytes().len());
                        let again = match value_of(&bytes) {
                            Ok(value) => [&bytes[..bytes.len() - body], &value_message(&value)].concat(),
                            Err(_) => bytes,
                        };
                        nodes.entry(address.into()).or_default().messages.push_back(again);
                        DeliveryState::ACCEPTED
                    }
                };
                if !incoming.settled {
                    // Settled with the outcome, or after the sender has settled.
                    let first = wanted.rcv_settle_mode == ReceiverSettleMode::First;
                    let _ = connection.settle(incoming.delivery, &state, first);
                }
                if wanted.address == "kick" {
                    let error =
                        ErrorCondition::new(condition::RESOURCE_DELETED).with_description("gone in the meantime");
                    let _ = connection.detach(link, true, Some(&error));
                    return;
                }
            }
            if connection.link(link).is_some_and(|link| link.credit < 25) {
                let _ = connection.grant(link, 50);
            }
        }
        Event::DrainRequested(link) => draining.push(link),
        Event::LinkDetached(link) => {
            connection.forget(link);
            seen.links.remove(&link);
        }
        _ => {}
    }
}
