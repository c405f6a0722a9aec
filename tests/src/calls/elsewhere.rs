//! Public futures outside of the matrices over clients: those of the emulator and the drivers, and those that applications
//! or adapters implement. Each row names the file that judges it, or the reason why none does.

/// A public future outside of the tables of calls.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere {
    /// The type or module, and the function.
    pub name: &'static str,
    /// Its bound, and what judges that.
    pub why: &'static str,
}

macro_rules! elsewhere {
    ($($name:literal: $why:literal,)*) => { &[$( Elsewhere { name: $name, why: $why }, )*] };
}

/// All of them.
pub const ELSEWHERE: &[Elsewhere] = elsewhere! {
    "Emulator::start": "the time of binding sockets; tests/sockets/matrix/emulator.rs",
    "EmulatorBuilder::start": "the time of binding sockets; tests/sockets/matrix/emulator.rs",
    "Emulator::close": "a second, and what its clients take before; emulator/tests/server.rs",
    "Emulator::serve": "until the stream or the emulator ends; emulator/tests/server.rs",
    "ClockSource::sleep_until": "until the clock shows the time; tests/sockets/matrix/emulator.rs",
    "driver::run": "until the client is closed, which waits for it: the rows of Client::close; tests/sockets/matrix/driver.rs",
    "Options::into_parts": "the driver, as driver::run; tests/sockets/matrix/driver.rs",
    "Options::into_parts_with_credential": "the driver, as driver::run; tests/sockets/matrix/driver.rs",
    "Runner::run": "the driver, as driver::run, on embassy; runtime-embassy/tests/client.rs",
    "Runner::run_with_credential": "the driver, as driver::run, on embassy; runtime-embassy/tests/client.rs",
    "Spool::push": "none of its own: as long as the flash takes; runtime-embassy/tests/client/spool.rs",
    "Spool::each": "none of its own: as long as the flash takes; runtime-embassy/tests/client/spool.rs",
    "Spool::is_empty": "none of its own: as long as the flash takes; runtime-embassy/tests/client/spool.rs",
    "Spool::fill": "none of its own: as long as the flash takes; runtime-embassy/tests/client/spool.rs",
    "Spool::remove": "none of its own: as long as the flash takes; runtime-embassy/tests/client/spool.rs",
    "Spool::clear": "none of its own: as long as the flash takes; runtime-embassy/tests/client/spool.rs",
    "Spool::send": "for each batch what Sender::send_batch has, and the flash; runtime-embassy/tests/client/spool.rs",
    "Spool::send_with": "as Spool::send; runtime-embassy/tests/client/spool.rs",
    "wake::within": "the time given, whatever the network does; runtime-embassy/tests/client.rs",
    "Sntp::synchronise": "its own time-out of some seconds; needs a network stack of embassy-net: its unit tests",
    "handshake::handshake": "none: Dial::dial is dropped after the try time-out, and the handshake with it",
    "Dial::dial": "implemented by adapters and applications; the driver drops it after the try time-out",
    "Network::connect": "implemented by adapters: dropped with Dial::dial after the try time-out",
    "Dialer::open": "none: part of Dial::dial and of HttpClient::send, which are dropped after the try time-out",
    "addresses::first_to_connect": "as long as an attempt to connect takes; part of Dial::dial: its unit tests",
    "TlsStream::open": "none: Dial::dial is dropped after the try time-out, and the handshake with it",
    "Transport::close": "implemented by adapters; the driver drops it after a second",
    "Close::close": "implemented by applications; part of Transport::close",
    "Connect::connect": "implemented by applications; part of Dial::dial",
    "Credential::token": "implemented by applications; the driver drops it after the try time-out: row C4",
    "AdministrationClient::close": "a time-out of an attempt: tests/sockets/administration.rs",
    "Pages::stream": "for each page what Pages::next_page has: tests/sockets/administration.rs",
    "HttpClient::close": "implemented by adapters; dropped after the try time-out",
    "HttpClient::send": "implemented by adapters; dropped after the try time-out",
    "Runtime::sleep_until": "implemented by runtimes: until the clock shows the time",
    "Task::poll": "as long as the task takes; tests/sockets/processors.rs",
    "Timer::sleep": "implemented for every runtime: the given time",
};
