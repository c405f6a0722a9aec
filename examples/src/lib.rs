//! What the examples share: a namespace to run against.

use servicebus_emulator::{Emulator, EmulatorBuilder};
use std::env;
use std::error::Error;

/// What an example ends with when something goes wrong.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A namespace: the one that the environment names, or an emulator in this process.
#[derive(Debug)]
pub struct Namespace {
    /// How to connect.
    pub connection_string: String,
    /// How to connect for administration.
    pub admin_connection_string: String,
    /// Where it is, for people.
    pub place: String,
    /// Goes, and takes everything with it, when this is dropped.
    emulator: Option<Emulator>,
    /// What runs the emulator where the example itself runs on something else than tokio.
    _server: Option<tokio::runtime::Runtime>,
}

impl Namespace {
    /// The namespace of `SERVICEBUS_CONNECTION_STRING`, or an emulator with what `build` adds.
    ///
    /// # Errors
    /// An emulator that cannot be started.
    pub async fn open(build: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Result<Self> {
        if let Ok(connection_string) = env::var("SERVICEBUS_CONNECTION_STRING") {
            let place = "the namespace of SERVICEBUS_CONNECTION_STRING".into();
            // A namespace of the cloud is managed at the same address.
            let admin_connection_string = connection_string.clone();
            return Ok(Self { connection_string, admin_connection_string, place, emulator: None, _server: None });
        }
        let emulator = build(Emulator::builder()).start().await?;
        let connection_string = emulator.connection_string();
        let admin_connection_string = emulator.admin_connection_string();
        let place = "an emulator in this process".into();
        Ok(Self { connection_string, admin_connection_string, place, emulator: Some(emulator), _server: None })
    }

    /// The port of plain AMQP on this machine, when the namespace is an emulator's.
    pub fn amqp_port(&self) -> Option<u16> {
        self.emulator.as_ref().map(|emulator| emulator.amqp_address().port())
    }

    /// As [`Namespace::open`], for examples that do not run on tokio: the emulator gets a thread of its own.
    ///
    /// # Errors
    /// An emulator that cannot be started.
    ///
    /// # Panics
    /// On a thread that runs tokio.
    pub fn open_in_thread(build: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Result<Self> {
        let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let namespace = server.block_on(Self::open(build))?;
        Ok(Self { _server: Some(server), ..namespace })
    }
}

/// The queue of `SERVICEBUS_QUEUE_NAME`, or `default`.
pub fn queue_name(default: &str) -> String {
    env::var("SERVICEBUS_QUEUE_NAME").unwrap_or_else(|_| default.into())
}
