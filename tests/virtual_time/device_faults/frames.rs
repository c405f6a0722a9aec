//! Frames of Ethernet that anyone on the line can send to a board. What `examples/firmware/audit panics` says of the network stack
//! is tried here.

use crate::names::datagram;
use crate::network::{BOARD, PEER, Port, Running, cable, poll_until, stack_with, take_clock};
use embassy_net::Config;
use embassy_net::dns::DnsQueryType;
use servicebus_core::time::Duration;
use servicebus_embassy::Guarded;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Waker};

/// An answer to a board that asks for an address, which names this router; `None` for what is no question.
fn lease(frame: &[u8], router: [u8; 4]) -> Option<Vec<u8>> {
    const MASK: [u8; 4] = [255, 255, 255, 0];
    // A name server in another network.
    const NAMES: [u8; 4] = [192, 0, 2, 1];
    let question =
        frame.get(42..).filter(|_| frame[12..14] == [8, 0] && frame[23] == 17 && frame[36..38] == [0, 67])?;
    // The kind of question is the first option; an offer follows a discovery, and a lease a request.
    let kind = if question.get(240..243)? == [53, 1, 1] { 2 } else { 5 };
    let mut answer = question[..240].to_vec();
    answer[0] = 2;
    answer[16..20].copy_from_slice(&BOARD.octets());
    answer.extend([53, 1, kind, 54, 4].into_iter().chain(PEER.octets()));
    for (option, value) in [(1, MASK), (3, router), (6, NAMES), (51, [0, 0, 14, 16])] {
        answer.extend([option, 4].into_iter().chain(value));
    }
    answer.push(255);
    Some(datagram(&frame[6..12], [&PEER.octets(), &[255; 4]], [&[0, 67], &[0, 68]], &answer))
}

/// Looks a name up by a lease with this router: whether the board had an address, and asked.
fn ask_by_lease(running: impl FnOnce(Port) -> Running, router: [u8; 4]) -> (bool, bool) {
    let (board, near) = cable();
    let (stack, mut background) = running(board);
    let asked = Cell::new(false);
    let each = || {
        assert!(background.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let sent: Vec<_> = near.incoming.borrow_mut().drain(..).collect();
        for frame in sent {
            near.outgoing.borrow_mut().extend(lease(&frame, router));
            // The router's hardware address is asked for.
            asked.set(asked.get() || frame[12..14] == [8, 6] && frame[38..42] == router);
        }
    };
    let test = async {
        stack.wait_config_up().await;
        _ = stack.dns_query("emulator.example", DnsQueryType::A).await;
    };
    let ended = poll_until(pin!(test), &Cell::new(50), Duration::from_secs(120), each);
    (ended.is_some() || stack.is_config_up(), asked.get())
}

/// The stack itself panics: when it does not any more, the guard can go.
#[test]
fn a_lease_without_a_router_does_not_panic_d1() {
    let _one = take_clock();
    let guarded = |port| stack_with(Guarded::new(port), Config::dhcpv4(Default::default()));
    let bare = |port| stack_with(port, Config::dhcpv4(Default::default()));
    let good = PEER.octets();
    assert_eq!((ask_by_lease(bare, good), ask_by_lease(guarded, good)), ((true, true), (true, true)));
    for router in [[0; 4], [255; 4], [224, 0, 0, 1]] {
        let ended = catch_unwind(AssertUnwindSafe(|| ask_by_lease(bare, router)));
        assert!(ended.is_err(), "{router:?}: {ended:?}");
        assert_eq!(ask_by_lease(guarded, router), (false, false), "{router:?}");
    }
}
