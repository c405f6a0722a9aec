//! A network driver that drops or mends the frames on which the stack panics.

use core::net::Ipv4Addr;
use core::ops::Range;
use core::task::Context;
use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken};

/// A network driver in front of embassy-net that drops or mends the frames on which its stack (smoltcp 0.13) panics.
/// A board that asks for its address by DHCP needs it.
///
/// There are two kinds of such frames, both of them answers of DHCP that anyone on the line can send:
///
/// - Those that come from 0.0.0.0, by their IPv4 header. The stack would ask there for more time at half of the lease, and
///   end the firmware; it looks at no server identifier for that. They are dropped.
/// - Those that name a router whose address is none to send to, such as 0.0.0.0. The first packet to another network would end
///   the firmware. They are passed on without the router: the board has its address, and its own network.
///
/// ```no_run
/// use embassy_net::driver::Driver;
/// use embassy_net::{Config, Runner, Stack, StackResources};
/// use servicebus_embassy::Guarded;
///
/// fn stack<D: Driver>(
///     driver: D,
///     config: Config,
///     resources: &'static mut StackResources<4>,
///     seed: u64,
/// ) -> (Stack<'static>, Runner<'static, Guarded<D>>) {
///     embassy_net::new(Guarded::new(driver), config, resources, seed)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Guarded<D>(D);

impl<D> Guarded<D> {
    /// Guards what this driver receives.
    ///
    /// # Examples
    ///
    /// ```
    /// use embassy_net::driver::Driver;
    /// use servicebus_embassy::Guarded;
    ///
    /// fn guard<D: Driver>(ethernet: D) -> Guarded<D> {
    ///     Guarded::new(ethernet)
    /// }
    /// ```
    pub const fn new(driver: D) -> Self {
        Self(driver)
    }
}

impl<D: Driver> Driver for Guarded<D> {
    type RxToken<'a>
        = GuardedFrame<D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (frame, reply) = self.0.receive(cx)?;
        Some((GuardedFrame(frame), reply))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        self.0.transmit(cx)
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.0.link_state(cx)
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.0.hardware_address()
    }
}

/// A frame that [`Guarded`] has received.
#[derive(Debug)]
pub struct GuardedFrame<T>(T);

impl<T: RxToken> RxToken for GuardedFrame<T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        self.0.consume(|frame| {
            // The stack passes over a frame of nothing.
            let length = if survives(frame) { frame.len() } else { 0 };
            f(frame.get_mut(..length).unwrap_or_default())
        })
    }
}

/// Where IPv4 begins behind the header of Ethernet.
const IP: usize = 14;
/// Behind the fixed fields of BOOTP come four bytes, and then the options.
const FIXED: usize = 236;
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];

/// Whether the stack survives a frame, once routers that nothing can be sent to are taken out of it.
fn survives(frame: &mut [u8]) -> bool {
    const SOURCE: Range<usize> = IP + 12..IP + 16;
    let Some(answer) = answer_of_dhcp(frame) else { return true };
    // A broadcast or a group is no source to the stack.
    if frame.get(SOURCE) == Some(&[0; 4]) {
        return false;
    }
    take_routers_out(frame, answer);
    true
}

/// Where BOOTP begins in a frame that is an answer of DHCP.
fn answer_of_dhcp(frame: &[u8]) -> Option<usize> {
    const IPV4: [u8; 2] = [8, 0];
    const UDP: u8 = 17;
    const UDP_HEADER: usize = 8;
    const REPLY: u8 = 2;
    let ip = frame.get(IP - 2..)?.strip_prefix(&IPV4)?;
    let at = usize::from(*ip.first()? & 15) * 4 + UDP_HEADER;
    let is_answer = *ip.get(9)? == UDP && *ip.get(at)? == REPLY && ip.get(at + FIXED..)?.starts_with(&COOKIE);
    is_answer.then_some(IP + at)
}

/// Pads over each router (RFC 2132 §3.5) that nothing can be sent to. The stack reads an option with one router, and none
/// with several.
fn take_routers_out(frame: &mut [u8], answer: usize) {
    const PAD: u8 = 0;
    const END: u8 = 255;
    const ROUTER: u8 = 3;
    let mut at = answer + FIXED + COOKIE.len();
    loop {
        let end = match (frame.get(at), frame.get(at + 1)) {
            (Some(&PAD), _) => at + 1,
            (Some(&END) | None, _) | (_, None) => return,
            (_, Some(length)) => at + 2 + usize::from(*length),
        };
        let Some(option) = frame.get_mut(at..end) else { return };
        if let [ROUTER, 4, a, b, c, d] = *option {
            let address = Ipv4Addr::new(a, b, c, d);
            if address.is_unspecified() || address.is_broadcast() || address.is_multicast() {
                option.fill(PAD);
                // UDP without a checksum, which is allowed over IPv4.
                if let Some(checksum) = frame.get_mut(answer - 2..answer) {
                    checksum.fill(0);
                }
            }
        }
        at = end;
    }
}
