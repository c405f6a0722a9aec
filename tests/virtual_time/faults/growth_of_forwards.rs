//! Dead letters that wait for an entity which takes none now: what others do costs the same however many wait, and one call
//! looks at a bounded part of them.

use crate::growth::{CALL, assert_flat, end_all, message};
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::{EntityStatus, Namespace, QueueDescription};
use servicebus_emulator::broker::{NamespaceLimits, Tier};
use servicebus_tests::broker::START;

/// Disabled, or not.
fn target(disabled: bool) -> QueueDescription {
    let status = if disabled { EntityStatus::Disabled } else { EntityStatus::Active };
    QueueDescription { status, ..QueueDescription::default() }
}

/// So many queues, each with a dead letter for one that is disabled.
fn waiting(count: usize) -> Namespace {
    let mut namespace = Namespace::new(1);
    namespace.set_tier(Tier::Standard, Some(NamespaceLimits::LIFTED));
    namespace.create_queue("target", target(true), START).unwrap();
    for n in 0..count {
        let name = format!("queue-{n}");
        let description = QueueDescription {
            forward_dead_lettered_messages_to: Some("target".into()),
            dead_lettering_on_message_expiration: true,
            default_message_time_to_live: Some(Duration::from_secs(1)),
            ..QueueDescription::default()
        };
        namespace.create_queue(&name, description, START).unwrap();
        namespace.send(&name, message(None), START).unwrap();
    }
    end_all(&mut namespace, START + Duration::from_secs(1));
    assert_eq!(dead(&namespace, count), count as u64);
    namespace
}

fn dead(namespace: &Namespace, count: usize) -> u64 {
    let queues = (0..count).map(|n| namespace.queue(&format!("queue-{n}")).unwrap());
    queues.map(|queue| namespace.counts(&queue.stores).dead_letter).sum()
}

fn letters_that_wait(sizes: &[usize]) {
    let at = |seconds| START + Duration::from_secs(seconds);
    assert_flat("a queue made, changed and deleted beside them", sizes, |count| {
        let mut namespace = waiting(count);
        let before = namespace.entries_touched();
        namespace.create_queue("other", QueueDescription::default(), at(2)).unwrap();
        namespace.update_queue("other", target(true), at(2)).unwrap();
        namespace.send("queue-0", message(None), at(2)).unwrap();
        namespace.delete("other").unwrap();
        namespace.entries_touched() - before
    });
    assert_flat("each letter that is tried again", sizes, |count| {
        let mut namespace = waiting(count);
        let entries = end_all(&mut namespace, at(31));
        assert_eq!(dead(&namespace, count), count as u64);
        entries / count as u64
    });
    assert_flat("each letter whose target takes it", sizes, |count| {
        let mut namespace = waiting(count);
        let before = namespace.entries_touched();
        namespace.update_queue("target", target(false), at(2)).unwrap();
        let first = namespace.entries_touched() - before;
        assert!(first <= CALL, "{first} entries in one call");
        let entries = first + end_all(&mut namespace, at(2));
        let stores = namespace.queue("target").unwrap().stores;
        assert_eq!((dead(&namespace, count), namespace.counts(&stores).active), (0, count as u64));
        entries / count as u64
    });
}

#[test]
fn letters_that_wait_for_their_target() {
    letters_that_wait(&[100, 3_000]);
}

#[test]
#[ignore = "tests/run all: full size"]
fn ten_thousand_queues_whose_letters_wait() {
    letters_that_wait(&[100, 10_000]);
}

/// A target that is deleted and made again gets what waited for it; so does one that a queue names anew.
#[test]
fn letters_go_on_when_their_target_is_there_again() {
    for renamed in [false, true] {
        let mut namespace = waiting(3);
        let at = START + Duration::from_secs(2);
        let name = if renamed {
            namespace.create_queue("new", QueueDescription::default(), at).unwrap();
            for n in 0..3 {
                let mut description = namespace.queue(&format!("queue-{n}")).unwrap().description.clone();
                description.forward_dead_lettered_messages_to = Some("new".into());
                namespace.update_queue(&format!("queue-{n}"), description, at).unwrap();
            }
            "new"
        } else {
            namespace.delete("target").unwrap();
            end_all(&mut namespace, START + Duration::from_secs(40));
            assert_eq!(dead(&namespace, 3), 3);
            namespace.create_queue("target", QueueDescription::default(), at).unwrap();
            "target"
        };
        let stores = namespace.queue(name).unwrap().stores;
        assert_eq!((dead(&namespace, 3), namespace.counts(&stores).active), (0, 3), "{name}");
    }
}

/// However often the target is changed while it takes none, each store is tried once in half a minute.
#[test]
fn a_letter_is_tried_again_once_at_a_time() {
    const COUNT: usize = 10;
    let mut namespace = waiting(COUNT);
    for _ in 0..50 {
        namespace.update_queue("target", target(true), START + Duration::from_secs(2)).unwrap();
        end_all(&mut namespace, START + Duration::from_secs(2));
    }
    for seconds in [33, 64, 95] {
        let entries = end_all(&mut namespace, START + Duration::from_secs(seconds));
        assert!(entries <= 4 * COUNT as u64, "{entries} entries at {seconds} s");
        assert_eq!(dead(&namespace, COUNT), COUNT as u64);
    }
}
