//! A transport to the emulator whose writes can be held up, as by a peer that stops reading.

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use servicebus_core::client::Client;
use servicebus_core::driver::{self, Dial, NoCredential, Transport};
use servicebus_core::machine::{Settings, Target};
use servicebus_core::storage::Storage;
use servicebus_simulation::{Simulated, SimulatedDialer, World};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// Blocks the connections of a client, and counts its dials.
#[derive(Clone, Debug, Default)]
pub(crate) struct Valve {
    /// How often the client has dialled.
    pub(crate) dials: Rc<Cell<u32>>,
    /// Connections up to this one carry nothing more, and their writes never end.
    blocked: Rc<Cell<u32>>,
}

impl Valve {
    /// Holds up the connections that there are; later ones work.
    pub(crate) fn block(&self) {
        self.blocked.set(self.dials.get());
    }

    fn blocks(&self, number: u32) -> bool {
        number <= self.blocked.get()
    }

    /// A client behind a valve.
    pub(crate) fn client<S: Storage>(world: &World, settings: Settings<S>) -> (Client<Simulated<S>>, Self) {
        let valve = Self::default();
        let runtime = world.runtime::<S>();
        let shared = Rc::new(RefCell::new(Client::shared_state(settings)));
        let client = Client::new(&shared, runtime.clone());
        let dialer = ValveDialer { inner: world.dialer(), valve: valve.clone() };
        world.spawn(driver::run(shared, runtime, dialer, NoCredential));
        (client, valve)
    }
}

struct ValveDialer {
    inner: SimulatedDialer,
    valve: Valve,
}

type Inner = <SimulatedDialer as Dial>::Transport<'static>;

pub(crate) struct ValveTransport {
    inner: Inner,
    valve: Valve,
    number: u32,
}

impl Dial for ValveDialer {
    type Transport<'a> = ValveTransport;
    type Error = std::io::Error;

    async fn dial(&mut self, target: Target<'_>) -> std::io::Result<ValveTransport> {
        let number = self.valve.dials.get() + 1;
        self.valve.dials.set(number);
        let inner = self.inner.dial(target).await?;
        Ok(ValveTransport { inner, valve: self.valve.clone(), number })
    }
}

pub(crate) struct Half<H> {
    inner: H,
    valve: Valve,
    number: u32,
}

impl Transport for ValveTransport {
    type Error = ErrorKind;
    type Reader<'a> = Half<<Inner as Transport>::Reader<'a>>;
    type Writer<'a> = Half<<Inner as Transport>::Writer<'a>>;

    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
        let half = |valve: &Valve| (valve.clone(), self.number);
        let ((one, number), (other, _)) = (half(&self.valve), half(&self.valve));
        let (reader, writer) = self.inner.split();
        (Half { inner: reader, valve: one, number }, Half { inner: writer, valve: other, number })
    }
}

impl<H> ErrorType for Half<H> {
    type Error = ErrorKind;
}

impl<H: Read<Error = ErrorKind>> Read for Half<H> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let Self { inner, valve, number } = self;
        let mut read = pin!(inner.read(buffer));
        poll_fn(|cx| if valve.blocks(*number) { Poll::Pending } else { read.as_mut().poll(cx) }).await
    }
}

impl<H: Write<Error = ErrorKind>> Write for Half<H> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let Self { inner, valve, number } = self;
        let mut write = pin!(inner.write(bytes));
        poll_fn(|cx| if valve.blocks(*number) { Poll::Pending } else { write.as_mut().poll(cx) }).await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        self.inner.flush().await
    }
}
