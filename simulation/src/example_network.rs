//! A network for the examples of transports.

use crate::World;
use crate::network::{Half, SimulatedTransport};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use servicebus_core::driver::{Dial as _, Transport};
use servicebus_core::machine::Target;
use std::io;

/// The certificate of an authority that is made up, in PEM.
pub const EXAMPLE_AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBjDCCATGgAwIBAgIUKe0ej/372lLT/m5UZI3BraLHRkwwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPQ29udG9zbyBSb290IENBMCAXDTI2MTEzMDExMzY1NVoYDzIx
MjYxMTA2MTEzNjU1WjAaMRgwFgYDVQQDDA9Db250b3NvIFJvb3QgQ0EwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAARVoTKlVSo2szOQqdqIvyE/JVObv2hgcQm/VEvT
pr5497g/VfUifD8M+3n02N2Xf0RtkzaXkIm777duWb0KGa28o1MwUTAdBgNVHQ4E
FgQUwYdpOq8SNYJzrG66QZJmJJtG+kkwHwYDVR0jBBgwFoAUwYdpOq8SNYJzrG66
QZJmJJtG+kkwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEA0HMv
7HRKzD8sUR26kMOPbQZonJlZpbpoGl1abXE2uqMCIQD2erZcNcS12JPFgv4Myj0N
V5uxdIfyzGFGYayg2i8sUg==
-----END CERTIFICATE-----
";

/// A connection with the errors of the standard library, as transports of its runtimes have them.
#[derive(Debug)]
pub struct ExampleStream(SimulatedTransport);

/// One half of it.
#[derive(Debug)]
pub struct ExampleHalf<'a>(Half<'a>);

impl World {
    /// Connects to what [`World::set_server`] says.
    ///
    /// # Errors
    /// As of [`crate::SimulatedDialer`].
    pub async fn connect(&self) -> io::Result<ExampleStream> {
        let target = Target { host: "localhost", port: 5672, tls: false };
        self.dialer().dial(target).await.map(ExampleStream)
    }
}

fn io_error(kind: ErrorKind) -> io::Error {
    io::ErrorKind::from(kind).into()
}

impl Transport for ExampleStream {
    type Error = io::Error;
    type Reader<'a> = ExampleHalf<'a>;
    type Writer<'a> = ExampleHalf<'a>;

    fn split(&mut self) -> (ExampleHalf<'_>, ExampleHalf<'_>) {
        let (reader, writer) = self.0.split();
        (ExampleHalf(reader), ExampleHalf(writer))
    }
}

impl ErrorType for ExampleHalf<'_> {
    type Error = io::Error;
}

impl Read for ExampleHalf<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await.map_err(io_error)
    }
}

impl Write for ExampleHalf<'_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).await.map_err(io_error)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await.map_err(io_error)
    }
}

/// Declares a network of a world, for examples of `servicebus_core::transport`; it keeps what it was asked for. It is a
/// macro because that module needs a feature, which this package does without.
#[macro_export]
macro_rules! example_network {
    ($name:ident) => {
        #[derive(Clone, Debug)]
        struct $name($crate::World, std::rc::Rc<std::cell::RefCell<Vec<String>>>);

        impl $name {
            #[allow(dead_code, reason = "not every example needs each")]
            fn new(world: &$crate::World) -> Self {
                Self(world.clone(), std::rc::Rc::default())
            }

            #[allow(dead_code, reason = "not every example needs each")]
            fn asked(&self) -> Vec<String> {
                self.1.borrow().clone()
            }
        }

        impl servicebus_core::transport::Network for $name {
            type Stream = $crate::ExampleStream;

            async fn connect(&self, host: &str, port: u16) -> std::io::Result<$crate::ExampleStream> {
                self.1.borrow_mut().push(format!("{host}:{port}"));
                self.0.connect().await
            }
        }
    };
}
