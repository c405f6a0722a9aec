//! What has come and gone takes no memory: live bytes after many messages are those of the start.

use crate::live;
use servicebus_core::servicebus::MessageRef;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::change::Settlement;
use servicebus_emulator::broker::entities::store::Ending;
use servicebus_emulator::broker::entities::{Message, Namespace, QueueDescription, SubscriptionDescription};
use servicebus_tests::broker::*;

/// What each way of using an entity is: its name, and a round of so many messages that come and go.
type Round = fn(&mut World, usize);

fn send_all(world: &mut World, entity: &str, count: usize, message: impl Fn(usize, &mut dyn FnMut(MessageRef<'_>))) {
    let sender = world.sender(0, entity).unwrap();
    for n in 0..count {
        message(n, &mut |message| assert_eq!(world.send(0, sender, &message), Ended::Accepted));
    }
    world.detach(0, sender);
}

/// Receives all of them at once, and completes them.
fn complete_all(world: &mut World, path: &str, count: usize) {
    let receiver = world.receiver(0, path).unwrap();
    let messages = world.receive_now(0, receiver, u32::try_from(count).unwrap());
    assert_eq!(messages.len(), count);
    for message in &messages {
        assert_eq!(world.complete(0, message), Ended::Accepted);
    }
    world.detach(0, receiver);
}

fn plain(world: &mut World, count: usize) {
    send_all(world, "queue", count, |_, send| send(MessageRef::new(&[7; 100][..])));
    complete_all(world, "queue", count);
}

fn sessions(world: &mut World, count: usize) {
    send_all(world, "sessions", count, |n, send| send(MessageRef::new("x").with_session_id(&n.to_string())));
    for _ in 0..count {
        let receiver = world.session_receiver(0, "sessions", None, None).unwrap();
        let message = world.receive(0, receiver, 1).remove(0);
        assert_eq!(world.complete(0, &message), Ended::Accepted);
        world.detach(0, receiver);
    }
}

fn duplicates(world: &mut World, count: usize) {
    send_all(world, "detecting", count, |n, send| send(MessageRef::new("x").with_message_id(n.to_string().as_str())));
    complete_all(world, "detecting", count);
    // The ids are forgotten once their window has passed.
    world.advance(Duration::from_secs(61));
}

fn expired(world: &mut World, count: usize) {
    send_all(world, "queue", count, |_, send| send(MessageRef::new("x").with_time_to_live(Duration::from_secs(10))));
    world.advance(Duration::from_secs(60));
    assert_eq!(world.peek(0, "queue", 0, 1).len(), 0);
}

fn fanned_out(world: &mut World, count: usize) {
    send_all(world, "topic", count, |_, send| send(MessageRef::new("x")));
    for path in ["topic/Subscriptions/one", "topic/Subscriptions/two"] {
        complete_all(world, path, count);
    }
}

/// Bytes beyond those of the start after so many messages, where a first small round is part of the start: tables get
/// their first size in it.
fn kept(round: Round, count: usize) -> (isize, isize) {
    let lock_duration = Duration::from_secs(300);
    let mut world = World::with_queue(QueueDescription { lock_duration, ..QueueDescription::default() });
    let requires_session = true;
    world.queue("sessions", QueueDescription { requires_session, lock_duration, ..QueueDescription::default() });
    let detecting = QueueDescription {
        requires_duplicate_detection: true,
        duplicate_detection_history_time_window: Duration::from_secs(60),
        lock_duration,
        ..QueueDescription::default()
    };
    world.queue("detecting", detecting);
    let of = || SubscriptionDescription { lock_duration, ..SubscriptionDescription::default() };
    world.topic("topic", &[("one", of()), ("two", of())]);
    let round = |world: &mut World, count: usize| {
        world.connect();
        round(world, count);
        // The clients are part of this test: they and what they have seen go.
        for client in std::mem::take(&mut world.clients) {
            world.broker.disconnect(client.id, world.clock);
        }
    };
    for client in std::mem::take(&mut world.clients) {
        world.broker.disconnect(client.id, world.clock);
    }
    round(&mut world, 10);
    let start = live();
    let mut left = count;
    while left > 0 {
        let part = left.min(5_000);
        round(&mut world, part);
        left -= part;
    }
    (start, live() - start)
}

fn messages_come_and_go(count: usize) {
    let rounds: [(&str, Round); 5] = [
        ("completed", plain),
        ("completed in sessions", sessions),
        ("completed, with detection of duplicates", duplicates),
        ("expired", expired),
        ("fanned out", fanned_out),
    ];
    for (name, round) in rounds {
        let (start, kept) = kept(round, count);
        println!("{count} messages {name}: {kept} bytes beyond {start}");
        assert!(kept <= start / 5 + (1 << 20), "{count} messages {name}: {kept} bytes beyond {start}");
    }
}

#[test]
fn memory_comes_back_after_five_thousand_messages() {
    messages_come_and_go(5_000);
}

#[test]
#[ignore = "tests/run all: full size"]
fn memory_comes_back_after_200_000_messages() {
    // In five ways.
    messages_come_and_go(40_000);
}

/// Bytes of this process that are resident.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split_whitespace().nth(1).unwrap().parse().unwrap();
    4_096 * pages
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" {
    /// glibc returns free pages between blocks in use only when it is asked to, as the program does.
    safe fn malloc_trim(pad: usize) -> core::ffi::c_int;
}

/// Messages that wait at once and are received and completed then. Runs in a process of its own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn messages_at_once(count: usize) {
    let mut namespace = Namespace::new(1);
    let description = || QueueDescription { lock_duration: Duration::from_secs(300), ..Default::default() };
    namespace.create_queue("queue", description(), START).unwrap();
    let store = namespace.queue("queue").unwrap().stores.main;
    let round = |namespace: &mut Namespace, count: usize| {
        for _ in 0..count {
            let message = Message::accept(encoded(&MessageRef::new(&[7; 100][..]))).unwrap();
            namespace.send("queue", message, START).unwrap();
        }
        let waiting = resident();
        let tokens: Vec<_> = std::iter::from_fn(|| Some(namespace.receive(store, None, START)?.1)).collect();
        assert_eq!(tokens.len(), count);
        for token in tokens {
            namespace.settle(&[store], token, &Settlement::plain(Ending::Complete), START).unwrap();
        }
        waiting
    };
    round(&mut namespace, 1_000);
    let (start, start_live) = (resident(), live());
    let waiting = round(&mut namespace, count);
    let untrimmed = resident().saturating_sub(start);
    malloc_trim(0);
    let (kept, kept_live) = (resident().saturating_sub(start), live() - start_live);
    println!(
        "{start} bytes, {waiting} with {count} messages, {kept} more behind them, {untrimmed} before the allocator \
             was asked, {kept_live} of them live"
    );
    assert!(kept_live <= start_live / 5 + (1 << 20), "{kept_live} bytes");
    assert!(kept < (64 << 20).min((waiting - start) / 4), "{kept} bytes");
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn resident_bytes_come_back_after_20_000_messages_at_once() {
    servicebus_tests::in_a_process!(300, { messages_at_once(20_000) });
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[ignore = "tests/run all: full size"]
fn resident_bytes_come_back_after_200_000_messages_at_once() {
    servicebus_tests::in_a_process!(300, { messages_at_once(200_000) });
}
