//! Frames, values and messages: whatever can be read can be written, and reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use servicebus_core::wire::frame::Frame;
use servicebus_core::wire::message::MessageView;
use servicebus_core::wire::messaging::{DeliveryState, Header, Properties};
use servicebus_core::wire::performative::Performative;
use servicebus_core::wire::sasl::SaslFrame;
use servicebus_core::wire::{Reader, Value, to_vec};

/// What was read and written can be read, and is written as it was.
macro_rules! round {
    ($Type:ident, $bytes:expr) => {
        if let Ok(value) = Reader::new($bytes).read::<$Type<'_>>() {
            let _ = format!("{value:?}");
            let written = to_vec(&value);
            let again = Reader::new(&written).read::<$Type<'_>>().expect("what was written can be read");
            assert_eq!(to_vec(&again), written);
        }
    };
}

fn body(bytes: &[u8]) {
    round!(Performative, bytes);
    round!(SaslFrame, bytes);
    round!(Value, bytes);
    round!(DeliveryState, bytes);
    round!(Properties, bytes);
    let _ = Reader::new(bytes).read::<Header>();
    // Values one behind the other, skipped and read: both end at the same place.
    let (mut skipped, mut read) = (Reader::new(bytes), Reader::new(bytes));
    while !skipped.rest().is_empty() {
        let (skip, value) = (skipped.skip(), read.value());
        if value.is_ok() {
            assert_eq!((skip, skipped.rest()), (Ok(()), read.rest()));
        } else {
            break;
        }
    }
    if let Ok(message) = MessageView::parse(bytes) {
        let _ = (message.header(), message.properties(), message.body());
        for map in [
            message.delivery_annotations(),
            message.message_annotations(),
            message.application_properties(),
            message.footer(),
        ] {
            for entry in map.iter().flat_map(|map| map.iter()) {
                let _ = format!("{entry:?}");
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    body(bytes);
    let mut rest = bytes;
    while let Ok(Some(frame)) = Frame::parse(rest, 1 << 16) {
        body(frame.body);
        rest = rest.get(frame.size..).unwrap_or_default();
    }
});
