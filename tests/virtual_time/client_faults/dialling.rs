//! Dialling that cannot work as the program has set it up is not tried until the time of a call is over.

use crate::stage::{MINUTE, SECOND, observe, on_both_storages, settings_of, within, world};
use servicebus_core::client::{Client, ErrorKind, ErrorOutcome};
use servicebus_core::driver::{self, Dial, NoCredential};
use servicebus_core::machine::Target;
use servicebus_core::servicebus::{Argument, MessageRef, RetryPolicy};
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{SimulatedDialer, World};
use servicebus_tests::storages::Complete;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

/// What dialling fails with as long as there is something.
type Fails = Rc<Cell<Option<io::ErrorKind>>>;

/// A dialer for which this is missing that the program has to bring.
const MISSING: io::ErrorKind = io::ErrorKind::Unsupported;

struct Dialer {
    fails: Fails,
    dials: Rc<Cell<u32>>,
    network: SimulatedDialer,
}

impl Dial for Dialer {
    type Transport<'a> = <SimulatedDialer as Dial>::Transport<'a>;
    type Error = io::Error;

    async fn dial<'a>(&'a mut self, target: Target<'_>) -> io::Result<Self::Transport<'a>> {
        self.dials.set(self.dials.get() + 1);
        match self.fails.get() {
            Some(kind) => Err(io::Error::new(kind, "what is missing")),
            None => self.network.dial(target).await,
        }
    }

    fn is_permanent(error: &io::Error) -> bool {
        error.kind() == MISSING
    }
}

fn client<S: Complete>(world: &World, fails: &Fails) -> (Client<servicebus_simulation::Simulated<S>>, Rc<Cell<u32>>) {
    let runtime = world.runtime::<S>();
    let shared = Rc::new(RefCell::new(Client::shared_state(settings_of(world, RetryPolicy::default()))));
    let client = Client::new(&shared, runtime.clone());
    let dials = Rc::new(Cell::new(0));
    let dialer = Dialer { fails: Rc::clone(fails), dials: Rc::clone(&dials), network: world.dialer() };
    world.spawn(driver::run(shared, runtime, dialer, NoCredential));
    (client, dials)
}

fn is_tried_once<S: Complete>() {
    for missing in [true, false] {
        let (ended, dials) = observe(&world(QueueDescription::default()), async move |world| {
            let fails = Fails::new(Cell::new(Some(if missing { MISSING } else { io::ErrorKind::ConnectionRefused })));
            let (client, dials) = client::<S>(&world, &fails);
            let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
            let message = MessageRef::new("x");
            let sent = within(&world, MINUTE * 10, sender.send(&message)).await;
            let first = dials.get();
            let asked = within(&world, MINUTE * 10, sender.cancel_scheduled(&[1])).await;
            let received =
                within(&world, MINUTE * 10, receiver.receive(MINUTE)).await.map(|(_, result)| result.is_ok());
            assert_eq!(received, Some(false));
            let ended = [sent, asked].map(|ended| {
                let (took, ended) = ended.expect("it ends");
                let error = ended.unwrap_err();
                (took, error.kind(), error.argument(), error.outcome())
            });
            // What was missing is there.
            fails.set(None);
            within(&world, MINUTE * 5, sender.send(&message))
                .await
                .expect("in time")
                .1
                .expect("the next call dials again");
            (ended, first)
        });
        for (took, kind, argument, outcome) in ended {
            assert_eq!(outcome, ErrorOutcome::NotSent);
            if missing {
                assert_eq!((kind, argument), (ErrorKind::InvalidArgument, Some(Argument::Dialer)));
                // A pause that an earlier failure has begun is not shortened.
                assert!(took <= SECOND * 3, "{took:?}");
            } else {
                assert_eq!((kind, argument), (ErrorKind::Disconnected, None));
                assert!(took > Duration::ZERO);
            }
        }
        assert_eq!(dials == 1, missing, "{dials} dials");
    }
}

on_both_storages! {
    dialling_that_cannot_work_is_not_tried_again_by_the_same_call => is_tried_once;
}
