//! The emulator, to which anybody says anything: it answers, and what one connection says does not grow its memory or
//! end another.
#![no_main]

use libfuzzer_sys::fuzz_target;
use servicebus_core::storage::Buffer as _;
use servicebus_core::time::{Duration, Instant, Timestamp};
use servicebus_emulator::broker::{Broker, BrokerConfig, Clock, ConnectionId};
use servicebus_fuzz::{SEED, add_entities};

fn answers(broker: &mut Broker, clock: Clock) -> usize {
    let (mut tx, mut count) = (Broker::tx(), 0);
    while let Some(id) = broker.poll_ready() {
        while broker.poll_transmit(id, clock, &mut tx) {
            count += tx.filled().len();
            tx.clear();
        }
    }
    count
}

fn say(broker: &mut Broker, id: ConnectionId, clock: Clock, mut bytes: &[u8]) -> usize {
    let (mut rx, mut count) = (Broker::rx(), 0);
    while !bytes.is_empty() {
        let spare = rx.spare();
        let (now, later) = bytes.split_at(bytes.len().min(spare.len()));
        spare[..now.len()].copy_from_slice(now);
        rx.commit(now.len());
        bytes = later;
        let over = broker.handle_input(id, clock, &mut rx).is_err();
        count += answers(broker, clock);
        if over {
            break;
        }
    }
    count
}

fuzz_target!(|bytes: &[u8]| {
    let mut clock = Clock { now: Instant::from_millis(1_000), utc: Timestamp::from_secs(1_767_225_600) };
    let mut broker = Broker::new(BrokerConfig::default(), SEED);
    add_entities(&mut broker, clock);
    let id = broker.connect(clock).expect("a connection");
    let said = say(&mut broker, id, clock, bytes);
    assert!(said < (1 << 20) + 1_000 * bytes.len(), "{said} bytes to {}", bytes.len());
    // An hour goes by, deadline by deadline.
    let end = clock.now + Duration::from_secs(3_600);
    for _ in 0..1_000 {
        let Some(at) = broker.poll_timeout().filter(|at| *at < end) else { break };
        clock = clock.after(at.saturating_duration_since(clock.now).max(Duration::from_micros(1)));
        broker.handle_timeout(clock);
        answers(&mut broker, clock);
    }
    broker.disconnect(id, clock);
    answers(&mut broker, clock);
    assert_eq!(broker.connections(), []);
    // Others are served all the same.
    let other = broker.connect(clock).expect("a connection");
    assert!(say(&mut broker, other, clock, b"AMQP\x03\x01\x00\x00") > 8);
});
