//! A network driver that keeps from the stack what it does not survive.

use core::task::Context;
use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken};

/// A network driver in front of embassy-net: frames on which the stack (smoltcp 0.13) panics are dropped, whoever sent them.
/// A board that asks for its address by DHCP needs it.
///
/// There is one kind of them: answers of DHCP that name a router whose address is none to send to, such as 0.0.0.0. The first
/// packet to another network would end the firmware.
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
            let length = if names_no_router(frame).is_some() { 0 } else { frame.len() };
            f(frame.get_mut(..length).unwrap_or_default())
        })
    }
}

/// Whether a frame is an answer of DHCP with a router (RFC 2132 §3.5) that nothing can be sent to.
fn names_no_router(frame: &[u8]) -> Option<()> {
    const IPV4: [u8; 2] = [8, 0];
    const UDP: u8 = 17;
    const UDP_HEADER: usize = 8;
    /// Behind the fixed fields of BOOTP come these bytes, and then the options.
    const FIXED: usize = 236;
    const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
    const ROUTER: u8 = 3;
    let ip = frame.get(12..)?.strip_prefix(&IPV4)?;
    let header = usize::from(*ip.first()? & 15) * 4;
    if *ip.get(9)? != UDP {
        return None;
    }
    let mut options = ip.get(header + UDP_HEADER + FIXED..)?.strip_prefix(&COOKIE)?;
    loop {
        let (kind, rest) = options.split_first()?;
        options = match *kind {
            0 => rest,
            255 => return None,
            kind => {
                let (length, rest) = rest.split_first()?;
                let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                if let (ROUTER, Ok(address)) = (kind, <[u8; 4]>::try_from(value)) {
                    let address = core::net::Ipv4Addr::from(address);
                    if address.is_unspecified() || address.is_broadcast() || address.is_multicast() {
                        return Some(());
                    }
                }
                rest
            }
        }
    }
}
