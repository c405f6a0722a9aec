//! A client and the emulator, while bytes between them change and connections break. Whatever happens meanwhile: calls
//! end, and when it is over the client works again.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_fuzz::{Board, Names, scene, world};
use servicebus_simulation::World;
use std::cell::Cell;
use std::rc::Rc;

/// What happens at a byte of the traffic, counted in one direction.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Mishap {
    /// Its bits are turned.
    Change(u8),
    /// It is lost.
    Lose,
    /// Others come with it.
    Insert(u8, u8),
}

/// What happens to a world.
#[derive(Arbitrary, Debug)]
struct Mishaps {
    board: bool,
    to_client: Vec<(u16, Mishap)>,
    to_emulator: Vec<(u16, Mishap)>,
    /// When connections break, in hundredths of a second.
    cuts: Vec<u8>,
    throttled: u8,
    lost_responses: u8,
}

/// Applies what is to happen, in the order of the bytes.
fn tamper(mut mishaps: Vec<(u16, Mishap)>) -> impl FnMut(&mut Vec<u8>) + 'static {
    mishaps.sort_by_key(|(at, _)| *at);
    let mut mishaps = mishaps.into_iter().peekable();
    let mut passed = 0usize;
    move |bytes| {
        let whole = std::mem::take(bytes);
        for byte in whole {
            let mut byte = Some(byte);
            while let Some((_, mishap)) = mishaps.next_if(|(at, _)| usize::from(*at) <= passed) {
                match mishap {
                    Mishap::Change(bits) => byte = byte.map(|byte| byte ^ bits),
                    Mishap::Lose => byte = None,
                    Mishap::Insert(other, count) => bytes.extend((0..=count % 64).map(|_| other)),
                }
            }
            bytes.extend(byte);
            passed += 1;
        }
    }
}

async fn works_again<S: Names>(world: World, calm: Rc<Cell<bool>>) {
    let client = world.client::<S>();
    let second = Duration::from_secs(1);
    let check = |client: servicebus_fuzz::SimulatedClient<S>| async move {
        // What was changed on its way may have made the client believe that it has to wait for a while.
        let sender = client.sender("check").expect("a sender");
        let mut sent = sender.send(&MessageRef::new("works")).await;
        for _ in 0..20 {
            match sent {
                Ok(()) => break,
                Err(_) => sent = sender.send(&MessageRef::new("works")).await,
            }
        }
        sent.expect("it is sent");
        let receiver = client.receiver("check").expect("a receiver");
        let message = receiver.receive(second * 600).await.expect("a receive").expect("a message");
        receiver.complete(&message).await.expect("it is completed");
        client.close().await;
    };
    let _ = scene(&client).await;
    calm.set(true);
    world.end_tampering();
    world.cut();
    world.broker(|broker, _| {
        broker.throttle(0);
        broker.lose_responses(0);
    });
    check(client).await;
}

fn live<S: Names>(mishaps: Mishaps) {
    let world = world();
    world.broker(|broker, clock| {
        broker.with_namespace(clock, |namespace| {
            namespace.create_queue("check", QueueDescription::default(), clock.utc).expect("a queue");
        });
        broker.throttle(u64::from(mishaps.throttled % 8));
        broker.lose_responses(u64::from(mishaps.lost_responses % 8));
    });
    world.set_tamper(tamper(mishaps.to_client));
    world.set_tamper_to_emulator(tamper(mishaps.to_emulator));
    let calm = Rc::new(Cell::new(false));
    let (breaking, over) = (world.clone(), Rc::clone(&calm));
    world.spawn(async move {
        for wait in mishaps.cuts.into_iter().take(8) {
            breaking.sleep(Duration::from_millis(u64::from(wait) * 10)).await;
            if over.get() {
                return;
            }
            breaking.cut();
        }
    });
    world.run(works_again::<S>(world.clone(), calm));
    world.end();
}

fuzz_target!(|mishaps: Mishaps| match mishaps.board {
    true => live::<Board>(mishaps),
    false => live::<Heap>(mishaps),
});
