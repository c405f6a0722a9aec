//! Requests with lists of many small items.

use crate::peak;
use servicebus_core::wire::{Compound, Encode as _, Value};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;

const ITEMS: usize = 200_000;

/// The most bytes in use during a request whose entry is a list of so many one-byte items, or a binary of that size.
fn request(operation: &str, key: &str, item: Option<u8>) -> isize {
    let mut world = World::with_queue(QueueDescription::default());
    let address = "queue/$management";
    world.node(0, address);
    let operation = format!("com.microsoft:{operation}");
    let properties = [("operation", Value::String(&operation))];
    peak(|| {
        world.try_ask(
            0,
            address,
            &properties,
            |sink| {
                let map = sink.begin();
                key.encode(sink);
                match item {
                    Some(item) => {
                        let list = sink.begin();
                        sink.put(&vec![item; ITEMS]);
                        sink.end(list, Compound::List, ITEMS);
                    }
                    None => Value::Binary(&vec![0; ITEMS]).encode(sink),
                }
                sink.end(map, Compound::Map, 2);
            },
            None,
        );
    })
}

#[test]
fn a_list_takes_what_its_bytes_take_a3() {
    let mut judge = Judge::new();
    // null, true, 0 as uint, 0 as ulong, an empty list.
    let items = [0x40, 0x41, 0x43, 0x44, 0x45];
    for (operation, key) in [
        ("receive-by-sequence-number", "sequence-numbers"),
        ("cancel-scheduled-message", "sequence-numbers"),
        ("update-disposition", "lock-tokens"),
        ("renew-lock", "lock-tokens"),
        ("schedule-message", "messages"),
        ("peek-message", "anything"),
        ("add-rule", "rule-description"),
    ] {
        let plain = request(operation, key, None);
        for item in items {
            let each = (request(operation, key, Some(item)) - plain) / ITEMS.cast_signed();
            let name = format!("bytes for each {item:#x} in {key} of {operation}");
            judge.case(name, each, |each| *each < 8, |each| *each >= 16);
        }
    }
    judge.finish();
}
