//! Messages without an end, and more of them than anything takes.

use crate::scripted::{self, Server};
use crate::stage::{Ending, HOUR, SECOND, ended_by, ending, observe, on_both_storages, policy, world};
use servicebus_core::client::ReceiverOptions;
use servicebus_core::storage::{Heap, Limits, Payloads};
use servicebus_core::time::Duration;
use servicebus_core::wire::performative::{Performative, Role};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::engine::Item;
use servicebus_tests::fault::{Hanging, Judge};
use servicebus_tests::in_a_process;
use servicebus_tests::storages::Complete;
use std::cell::Cell;
use std::rc::Rc;

/// The slack of a receive whose drain is not answered.
const DRAIN: Duration = Duration::from_millis(100);

/// How a receive ends when a message of so many bytes, in pieces of this size, never ends. A server that is silent then
/// answers nothing more; others answer a detach, and begin such a message on each link.
fn endless<S: Complete>(
    (limit, bytes, piece): (usize, usize, usize),
    silent: bool,
    at_once: u32,
    wait: Duration,
) -> Ending {
    let mut begun = Vec::new();
    let script = move |server: &mut Server, item: &Item<'_>| {
        if silent && !begun.is_empty() {
            return true;
        }
        let Item::Frame(_, Performative::Flow(flow), _) = item else { return false };
        let link = flow.handle.and_then(|handle| server.link(handle));
        let Some(link) = link.filter(|link| link.role == Role::Receiver && link.address == "q") else { return false };
        if !begun.contains(&link.name) {
            begun.push(link.name.clone());
            for _ in 0..bytes.div_ceil(piece) {
                server.deliver(&link, true, &vec![0; piece]);
            }
        }
        true
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let limits = Limits::new().with_message_bytes(limit);
        let settings = world.settings::<S>().with_retry(policy(2)).with_limits(limits);
        let (client, _) = scripted::client(&world, settings, script);
        let receiver = client.receiver("q").unwrap();
        ending(&world, HOUR, receiver.receive_each(at_once, Some(wait), drop)).await
    })
}

/// Sizes of a limit, a message and its pieces: beyond the limit, far beyond it, and within.
const SIZES: [(usize, usize, usize); 6] = [
    (65_536, 65_537, 30_000),
    (65_536, 100_000, 10_000),
    (65_536, 140_000, 1_000),
    (10_000, 50_000, 10_000),
    (65_536, 10_000, 10_000),
    (65_536, 60_000, 1_000),
];

/// The same where one message has 2 048 bytes of room.
const SIZES_OF_BOARD: [(usize, usize, usize); 5] =
    [(2_048, 2_400, 800), (2_048, 3_200, 3_200), (2_048, 6_000, 500), (2_048, 500, 500), (2_048, 2_049, 2_049)];

fn a_receive_of_one_ends_in_time<S: Complete>() {
    let sizes = if <S::Payloads as Payloads<_, _>>::BOUNDED { &SIZES_OF_BOARD[..] } else { &SIZES };
    for silent in [true, false] {
        for &size in sizes {
            let ended = endless::<S>(size, silent, 1, SECOND);
            assert!(ended_by(&ended, SECOND + DRAIN), "{size:?}, silent: {silent}: {ended:?}");
        }
    }
}

on_both_storages! {
    a_receive_of_one_ends_in_time_while_a_message_has_no_end_h4 => a_receive_of_one_ends_in_time;
}

/// Without an answer to its detach, the link of such a message is given up at once.
#[test]
fn a_receive_of_several_ends_in_time_while_a_message_has_no_end_h4() {
    in_a_process!(10, Hanging::IsTheFault, {
        let mut judge = Judge::new();
        for (size, at_once) in SIZES.into_iter().zip([10, 2, 100, 5, 10, 1_000]) {
            let ended = endless::<Heap>(size, true, at_once, SECOND);
            let right = |ended: &Ending| ended_by(ended, SECOND + DRAIN);
            judge.case(format!("{size:?}, {at_once} at once"), ended, right, Option::is_none);
        }
        judge.finish();
    });
}

/// Bytes that a service offers here, far more than any client should hold.
const OFFERED: usize = 400 << 20;

/// How many bytes of messages a client takes in while its application takes none.
fn held(receivers: usize, prefetch: u32, message: usize) -> usize {
    let (piece, sent) = (60_000, Rc::new(Cell::new(0)));
    let counted = Rc::clone(&sent);
    let pieces = message.div_ceil(piece);
    // Where each link is in its current message.
    let mut begun = std::collections::BTreeMap::<u32, usize>::new();
    let mut ended = std::collections::BTreeMap::<u32, u32>::new();
    let script = move |server: &mut Server, item: &Item<'_>| {
        let Item::Frame(_, Performative::Flow(flow), _) = item else { return false };
        // The client's windows are kept, and its credit.
        let window = flow.next_incoming_id.unwrap_or(0).wrapping_add(flow.incoming_window);
        let link = flow.handle.and_then(|handle| server.link(handle)).filter(|link| link.role == Role::Receiver);
        if let (Some(link), Some(credit)) = (link, flow.link_credit)
            && link.address == "q"
        {
            // A receiver that has not seen the answer to its attach leaves the count out: it is zero.
            ended.insert(link.handle, flow.delivery_count.unwrap_or(0).wrapping_add(credit));
        }
        let handles: Vec<u32> = ended.keys().copied().collect();
        for handle in handles {
            let Some(link) = server.link(handle) else { continue };
            let place = begun.entry(handle).or_default();
            let until = ended[&handle] as usize * pieces;
            while *place < until && server.transfers(&link) < window && counted.get() < OFFERED {
                *place += 1;
                server.deliver(&link, !place.is_multiple_of(pieces), &vec![0; piece]);
                counted.set(counted.get() + piece);
            }
        }
        true
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, _) = scripted::client(&world, world.settings::<Heap>().with_retry(policy(2)), script);
        let options = ReceiverOptions::new("q").with_prefetch(prefetch);
        let kept: Vec<_> = (0..receivers).map(|_| client.receiver(options.clone()).expect("room")).collect();
        world.sleep(SECOND * 10).await;
        drop(kept);
    });
    sent.get()
}

#[test]
#[ignore = "tests/run all: half a gigabyte, five times"]
fn messages_that_wait_have_a_bound_on_their_total_h6() {
    let mut judge = Judge::new();
    for (receivers, prefetch, message) in
        [(1, 1_000, 1 << 20), (1, 10, 100 << 20), (10, 100, 1 << 20), (50, 20, 1 << 20), (1, 10_000, 60_000)]
    {
        judge.case(
            format!("{receivers} receivers that prefetch {prefetch} messages of {message}"),
            held(receivers, prefetch, message),
            // Twice the largest message.
            |held| (1..=256 << 20).contains(held),
            |held| *held >= OFFERED,
        );
    }
    judge.finish();
}
