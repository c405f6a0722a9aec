//! A link that is lost while a call waits for it or for an answer: the error says what may have been done.

use crate::scripted::{self, Link, Server};
use crate::stage::{MINUTE, SECOND, observe, on_both_storages, settings_of, within, world};
use servicebus_core::client::{Client, Error, ErrorOutcome, Sender};
use servicebus_core::driver::NoCredential;
use servicebus_core::servicebus::{MessageRef, RetryPolicy};
use servicebus_core::time::Duration;
use servicebus_core::wire::performative::{Attach, Close, Detach, End, ErrorCondition, Flow, Open, Performative, Role};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};
use servicebus_tests::engine::{Item, attach, flow, frame, open};
use servicebus_tests::storages::Complete;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What takes a link away.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    Detach(&'static str),
    End(&'static str),
    Close(&'static str),
    /// The end of the transport.
    HangUp,
    /// The application closes its sender, and the service does not answer that.
    Closed,
    /// The driver is dropped.
    Dropped,
}

/// The service's word for a failure after which it does not know itself what it has done.
const INTERNAL: &str = "amqp:internal-error";

const LOSSES: [Loss; 9] = [
    Loss::Detach("amqp:link:detach-forced"),
    Loss::Detach(INTERNAL),
    Loss::End("amqp:session:window-violation"),
    Loss::End(INTERNAL),
    Loss::Close("amqp:connection:forced"),
    Loss::Close(INTERNAL),
    Loss::HangUp,
    Loss::Closed,
    Loss::Dropped,
];

/// How much of a message is written when its link is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Written {
    /// Nothing: the link is not attached yet.
    Unattached,
    /// Nothing: there is no credit.
    Nothing,
    /// The first frame: then the window of the session is closed.
    FirstFrame,
    All,
}

const WRITTEN: [Written; 4] = [Written::Unattached, Written::Nothing, Written::FirstFrame, Written::All];

/// A call that sends one message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verb {
    Send,
    Schedule,
}

impl Verb {
    fn node(self) -> &'static str {
        match self {
            Self::Send => "q",
            Self::Schedule => "q/$management",
        }
    }

    async fn call<S: Complete>(self, world: &World, sender: &Sender<Simulated<S>>) -> Result<(), Error<S>> {
        // Of some frames, and of less than a board's place for a message.
        let message = MessageRef::new(&[7; 1_200]);
        match self {
            Self::Send => sender.send(&message).await,
            Self::Schedule => sender.schedule(&message, world.clock().utc + MINUTE).await.map(drop),
        }
    }
}

fn error(condition: &str) -> Option<ErrorCondition<'_>> {
    Some(ErrorCondition::new(condition))
}

/// Takes a link away a second after what was sent to it.
fn lose(server: &mut Server, link: &Link, loss: Loss) {
    let bytes = match loss {
        Loss::Detach(why) => frame(link.channel, &Detach { handle: link.handle, closed: true, error: error(why) }, &[]),
        Loss::End(why) => frame(link.channel, &End { error: error(why) }, &[]),
        Loss::Close(why) => frame(0, &Close { error: error(why) }, &[]),
        Loss::HangUp => return server.hang_up(SECOND),
        Loss::Closed | Loss::Dropped => return,
    };
    server.send_bytes(SECOND, bytes);
    if matches!(loss, Loss::Close(_)) {
        server.hang_up(Duration::from_millis(10));
    }
}

/// Answers the first attach of a link to `node` so that this much of a message is written, and takes it away.
fn script(node: &'static str, written: Written, loss: Loss) -> impl FnMut(&mut Server, &Item<'_>) -> bool {
    let (transfers, sender) = (RefCell::new(BTreeMap::<u16, u32>::new()), RefCell::new(None::<Link>));
    let (armed, has_pair) = (Cell::new(true), node.contains('$'));
    move |server, item| match item {
        Item::Frame(_, Performative::Open(_), _) => {
            server.send(&Open { max_frame_size: 512, ..open("server") }, &[]);
            true
        }
        Item::Frame(channel, Performative::Transfer(transfer), _) => {
            *transfers.borrow_mut().entry(*channel).or_default() += 1;
            server.link(transfer.handle).is_some_and(|link| link.address == node)
        }
        Item::Frame(_, Performative::Attach(asked), _) => {
            let link = server.link(asked.handle).expect("it was remembered");
            if link.address != node || !armed.get() {
                return false;
            }
            match (written, link.role) {
                (Written::Unattached, Role::Receiver) if matches!(loss, Loss::Detach(_)) => server.accept(&link, 0),
                (Written::Unattached, _) if !matches!(loss, Loss::Detach(_)) => {}
                // A refusal: nothing is at the other end.
                (Written::Unattached, _) => {
                    let refusal =
                        Attach { source: None, target: None, ..attach(&link.name, link.handle, Role::Receiver) };
                    server.send_elsewhere(link.channel, &refusal);
                }
                (Written::All, Role::Sender) => server.accept(&link, 10),
                _ => server.accept(&link, 0),
            }
            if written == Written::FirstFrame && link.role == Role::Sender {
                let came = transfers.borrow().get(&link.channel).copied().unwrap_or(0);
                let window = Flow { next_incoming_id: Some(1 + came), incoming_window: 1, ..flow(link.handle, 0, 10) };
                server.send_elsewhere(link.channel, &window);
            }
            if link.role == Role::Sender {
                sender.replace(Some(link));
            }
            // Of a pair, the receiver is the second.
            if (!has_pair || asked.role == Role::Receiver)
                && let Some(sender) = sender.take()
            {
                armed.set(false);
                lose(server, &sender, loss);
            }
            true
        }
        // Sooner than that, the sender that is closed would be gone.
        Item::Frame(_, Performative::Detach(detach), _) if loss == Loss::Closed => {
            server.link(detach.handle).is_some_and(|link| link.address == node)
        }
        _ => false,
    }
}

/// What a call says that it has done whose link is lost.
fn outcome<S: Complete>(verb: Verb, written: Written, loss: Loss) -> Option<ErrorOutcome> {
    observe(&world(QueueDescription::default()), async move |world| {
        // Longer than a sender that is closed waits for the service.
        let policy = RetryPolicy::new().with_max_retries(0).with_try_timeout(SECOND * 20);
        let script = script(verb.node(), written, loss);
        let settings = settings_of::<S>(&world, policy);
        let (client, driver, _) = scripted::client_and_driver(&world, settings, NoCredential, script);
        let sender = client.sender("q").unwrap();
        let (later, closed) = (world.clone(), sender.clone());
        world.spawn(async move {
            if loss == Loss::Dropped {
                let _ = within(&later, SECOND, driver).await;
            } else {
                driver.await;
            }
        });
        if loss == Loss::Closed {
            let later = world.clone();
            world.spawn(async move {
                later.sleep(SECOND).await;
                closed.close().await;
            });
        }
        let (took, ended) = within(&world, MINUTE, verb.call(&world, &sender)).await?;
        assert!(took <= SECOND * 10, "{verb:?}, {written:?}, {loss:?}: {took:?}, {ended:?}");
        ended.err().map(|error| error.outcome())
    })
}

fn says_what_may_be_done<S: Complete>() {
    let mut wrong = Vec::new();
    for (verb, written) in [Verb::Send, Verb::Schedule].into_iter().flat_map(|verb| WRITTEN.map(|at| (verb, at))) {
        for loss in LOSSES {
            // A request does not end with the sender that made it.
            if verb == Verb::Schedule && loss == Loss::Closed {
                continue;
            }
            let right = match written {
                Written::Unattached | Written::Nothing => ErrorOutcome::NotSent,
                Written::FirstFrame | Written::All => ErrorOutcome::Unknown,
            };
            let said = outcome::<S>(verb, written, loss);
            if said != Some(right) {
                wrong.push((verb, written, loss, said));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A message is settled, and its state is left out.
fn settled_without_a_state<S: Complete>() {
    let said = observe(&world(QueueDescription::default()), async |world| {
        let settled = Rc::new(Cell::new(0));
        let counted = Rc::clone(&settled);
        let script = move |server: &mut Server, item: &Item<'_>| {
            let Item::Frame(_, Performative::Transfer(transfer), _) = item else { return false };
            let to_queue = server.link(transfer.handle).is_some_and(|link| link.address == "q");
            if to_queue {
                counted.set(counted.get() + 1);
                server.settle_without_state(transfer.delivery_id.expect("of one frame"));
            }
            to_queue
        };
        let policy = RetryPolicy::new().with_max_retries(0);
        let (client, _): (Client<Simulated<S>>, _) = scripted::client(&world, settings_of(&world, policy), script);
        let sent = client.sender("q").unwrap().send(&MessageRef::new("x")).await;
        (settled.get(), sent.err().map(|error| error.outcome()))
    });
    assert_eq!(said, (1, Some(ErrorOutcome::Unknown)));
}

on_both_storages! {
    what_a_call_says_when_its_link_is_lost_is_what_may_have_been_done => says_what_may_be_done;
    a_message_that_is_settled_without_a_state_may_be_stored => settled_without_a_state;
}
