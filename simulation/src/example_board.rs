//! A serial line, and a client in fixed storage, for the examples of boards.

use embedded_io_async::{ErrorType, Read, Write};
use std::convert::Infallible;

/// One half of a line: nothing comes in, and all that is written goes out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExampleLine;

impl ErrorType for ExampleLine {
    type Error = Infallible;
}

impl Read for ExampleLine {
    async fn read(&mut self, _buffer: &mut [u8]) -> Result<usize, Infallible> {
        Ok(0)
    }
}

impl Write for ExampleLine {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Declares a `Connect` of `servicebus-embassy` over a line: a modem. It is a macro because this package does without that
/// one.
#[macro_export]
macro_rules! example_uart {
    ($name:ident) => {
        #[derive(Default)]
        struct $name {
            receive: core::cell::RefCell<$crate::ExampleLine>,
            transmit: core::cell::RefCell<$crate::ExampleLine>,
        }

        impl servicebus_embassy::Connect for $name {
            type Stream<'a> = servicebus_embassy::Stream<'a, $crate::ExampleLine, $crate::ExampleLine>;
            type StreamError = servicebus_embassy::StreamError<core::convert::Infallible>;
            type Error = core::convert::Infallible;

            async fn connect<'a>(&'a mut self, _: &str, _: u16) -> Result<Self::Stream<'a>, Self::Error> {
                Ok(servicebus_embassy::Stream::new(&self.receive, &self.transmit))
            }
        }
    };
}

servicebus_core::fixed_storage! {
    /// The storage of the examples of boards, with every capability that they need. They share it: a client is compiled once
    /// for each storage, not for each example.
    pub type ExampleBoard {
        links: 10, deliveries: 16, receive: 2048, transmit: 2048, message: 1024, receivers: true,
        management: true, lock_renewal: true, transactions: true, session_receivers: 2, prefetch: true,
    }
}

/// Names [`ExampleBoard`], and declares a function that runs an example with a client over it, in the world of
/// [`example`](crate::example). It is a macro for the same reason.
#[macro_export]
macro_rules! example_board {
    ($storage:ident, $run:ident) => {
        type $storage = $crate::ExampleBoard;

        fn $run(example: impl AsyncFnOnce(servicebus_embassy::Client<$storage>) -> $crate::Outcome + 'static) {
            static UTC: servicebus_embassy::FixedUtc =
                servicebus_embassy::FixedUtc(servicebus_embassy::Timestamp::from_secs(1_767_225_600));
            let resources: &'static servicebus_embassy::Resources<$storage> =
                Box::leak(Box::new(servicebus_embassy::Resources::new()));
            $crate::example_in_world(async move |world| {
                let settings = servicebus_embassy::Settings::new($crate::CONNECTION_STRING, 1);
                let (client, runner) = servicebus_embassy::new(resources, settings, &UTC)?;
                world.spawn(runner.run(world.dialer()));
                example(client).await
            });
        }
    };
}
