//! The public API: async, written once for every runtime.
//!
//! A [`Client`] is a cheap handle, and so are the senders and receivers that are made from it: they are cloned, outlive
//! connections, and are closed for all clones by `close`, or in the background with the last one. `timeout` of a sender
//! or receiver bounds its calls; [`Client::state`], [`Client::state_changed`] and [`Client::ready`] are about the
//! connection. Each adapter crate exports aliases of these types for its runtime.

mod accept;
mod access;
#[cfg(feature = "administration")]
pub mod administration;
mod attempts;
mod call;
#[cfg(feature = "alloc")]
mod collected_messages;
mod connection_state;
#[cfg(feature = "std")]
mod credential;
#[cfg(feature = "alloc")]
mod delivery;
mod error;
#[cfg(feature = "alloc")]
mod handler_error;
#[cfg(feature = "alloc")]
mod handler_future;
mod lock_renewer;
#[cfg(feature = "stream")]
mod messages;
mod names;
mod peeker;
mod pending;
#[cfg(feature = "alloc")]
mod processor;
#[cfg(feature = "alloc")]
mod processor_control;
#[cfg(feature = "alloc")]
mod processor_error;
#[cfg(feature = "alloc")]
mod processor_message;
#[cfg(feature = "alloc")]
mod processor_options;
#[cfg(feature = "alloc")]
mod pump;
mod receiver;
mod receiver_options;
mod receiver_requests;
mod receiving;
#[cfg(feature = "alloc")]
mod room;
mod rule_manager;
mod scheduling;
mod send_all_error;
mod sender;
mod sender_options;
mod session;
#[cfg(feature = "alloc")]
mod session_processor;
#[cfg(feature = "serde")]
mod session_state;
mod settling;
mod transaction;

use crate::machine::{ClientMachine, Entity, Kind, Settings};
use crate::runtime::Runtime;
use crate::servicebus::{Argument, ConnectionString};
use crate::storage::{Features, Management, Receivers, Storage, Text};
use crate::time::Duration;
use core::fmt;

pub use crate::runtime::state::State;
pub use crate::servicebus::DeadLetterOptions;
pub(crate) use access::Access;
pub use connection_state::ConnectionState;
#[cfg(feature = "std")]
pub use credential::{Credential, CredentialError, HeapToken};
#[cfg(feature = "alloc")]
pub use delivery::Delivery;
pub use error::{Error, ErrorKind, ErrorOutcome, SendError};
#[cfg(feature = "alloc")]
pub use handler_error::{DeadLetter, HandlerError};
#[cfg(feature = "alloc")]
pub use handler_future::{HandlerFuture, Panic};
pub use lock_renewer::{AutoLockRenewer, LockRenewal, RenewalEnd};
#[cfg(feature = "stream")]
pub use messages::Messages;
pub use peeker::Peeker;
#[cfg(feature = "alloc")]
pub use processor::Processor;
#[cfg(feature = "alloc")]
pub use processor_control::ProcessorControl;
#[cfg(feature = "alloc")]
pub use processor_error::{ProcessorError, ProcessorErrorCause};
#[cfg(feature = "alloc")]
pub use processor_message::ProcessorMessage;
#[cfg(feature = "alloc")]
pub use processor_options::{ProcessorOptions, SessionProcessorOptions};
pub use receiver::Receiver;
pub use receiver_options::ReceiverOptions;
pub use rule_manager::RuleManager;
pub use send_all_error::SendAllError;
pub use sender::Sender;
pub use sender_options::SenderOptions;
pub use session::SessionReceiver;
#[cfg(feature = "alloc")]
pub use session_processor::{NoSessionHandler, SessionProcessor};
pub use transaction::{Transaction, TransactionController};

/// How long a connection may take to end: drains, the peer's close, and the end of the transport have a bound each.
const DISCONNECT: Duration = Duration::from_secs(12);

/// The storage of a runtime.
pub(crate) type StorageOf<R> = <R as Runtime>::Storage;
/// The words that come with an error in the storage of a runtime.
pub(crate) type DescriptionOf<R> = <StorageOf<R> as Storage>::Description;
/// A text of the application's in the storage of a runtime.
pub(crate) type LiteralOf<R> = <StorageOf<R> as Storage>::Literal;

/// A connection to a namespace, made when it is needed and made again when it is lost. Clones are handles to the same
/// connection; when the last handle, sender and receiver is dropped, it is closed.
///
/// ```
/// # servicebus_simulation::example(async |client| {
/// use core::time::Duration;
///
/// client.sender("orders")?.send("two of the blue ones").await?;
///
/// let handle = client.clone(); // of the same connection
/// let receiver = handle.receiver("orders")?;
/// while let Some(message) = receiver.receive(Duration::from_secs(5)).await? {
///     println!("{}", message.text()?);
///     receiver.complete(&message).await?;
/// }
/// client.close().await;
/// # Ok(())
/// # });
/// ```
pub struct Client<R: Runtime> {
    shared: Access<R>,
}

impl<R: Runtime> Clone for Client<R> {
    fn clone(&self) -> Self {
        Self { shared: pending::handle::<R>(&self.shared) }
    }
}

impl<R: Runtime> Drop for Client<R> {
    fn drop(&mut self) {
        pending::drop_handle::<R>(&self.shared);
    }
}

impl<R: Runtime> fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl<R: Runtime<Storage = S>, S: Storage> Client<R> {
    /// A client over shared state; its maker runs [`driver::run`](crate::driver::run) over the same state and runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::{machine::Settings, storage::Heap};
    /// use servicebus_core::client::{Client, State};
    /// use servicebus_core::driver::{self, Dial, NoCredential};
    /// use servicebus_core::runtime::Runtime;
    /// use std::cell::RefCell;
    /// use std::rc::Rc;
    ///
    /// /// A client and the future that carries its bytes, on any runtime of one thread.
    /// fn start<R>(runtime: R, dialer: impl Dial, settings: Settings<Heap>) -> (Client<R>, impl Future<Output = ()>)
    /// where
    ///     R: Runtime<Storage = Heap, Shared = Rc<RefCell<State<R>>>>,
    /// {
    ///     let shared = Rc::new(RefCell::new(Client::shared_state(settings)));
    ///     let client = Client::new(&shared, runtime.clone());
    ///     (client, driver::run(shared, runtime, dialer, NoCredential))
    /// }
    /// ```
    pub fn new(shared: &R::Shared, runtime: R) -> Self {
        Self { shared: pending::handle(&Access::new(shared.clone(), runtime)) }
    }

    /// The state of a client before it is shared.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::{client::Client, storage::Heap};
    /// # type Own = servicebus_simulation::Simulated<Heap>;
    /// use servicebus_core::machine::Settings;
    ///
    /// let settings = Settings::new("Endpoint=sb://localhost;UseDevelopmentEmulator=true".into(), 42);
    /// let state = Client::<Own>::shared_state(settings);
    /// assert!(!state.is_over());
    /// ```
    pub fn shared_state(settings: Settings<S>) -> State<R> {
        State::new(ClientMachine::new(settings))
    }

    /// What the service or the transport said last when something did not work. On the heap each error has its own
    /// words in its text; in fixed storage, whose errors are a few bytes, these are all there are.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// if let Err(error) = client.sender("ghosts")?.send("boo").await {
    ///     println!("{:?}: {}", error.kind(), client.last_description());
    /// }
    /// assert!(client.last_description().contains("could not be found"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn last_description(&self) -> S::Text {
        self.shared.with(|state| Text::cut(state.machine.last_description()))
    }

    /// The queue or topic that the connection string is for: its `EntityPath`, which the portal adds where a key is that
    /// of one entity. `None` for the whole namespace, and where tokens come from a credential.
    ///
    /// Such a client refuses every other entity, as the official SDKs do. What is below it is not another one: a
    /// subscription of the topic, a dead-letter queue.
    ///
    /// On a board, [`ConnectionString::parse`] tells it, and other entities are left to the service to refuse.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_core::client::{Client, ErrorKind};
    /// # use servicebus_core::storage::Heap;
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let connect = |text: &str| {
    /// #     let mut settings = world.settings::<Heap>();
    /// #     settings.connection_string = text.into();
    /// #     world.client_with(settings)
    /// # };
    /// # let key = servicebus_simulation::CONNECTION_STRING;
    /// let client = connect(&format!("{key};EntityPath=orders"));
    /// let orders = client.entity().ok_or("a connection string without EntityPath")?;
    /// client.sender(&orders)?.send("two of the blue ones").await?;
    /// client.receiver(orders.dead_letter())?;
    ///
    /// let error = client.sender("invoices").unwrap_err();
    /// assert_eq!(error.to_string(), "invoices: the connection string is for another entity: orders");
    /// # assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    /// # Ok(())
    /// # });
    /// ```
    #[cfg(feature = "alloc")]
    #[doc(alias = "EntityPath")]
    #[doc(alias = "entity_path")]
    pub fn entity(&self) -> Option<Entity<S>>
    where
        S::Literal: for<'a> From<&'a str>,
    {
        self.shared.with(|state| state.machine.settings().entity_path().map(Entity::queue))
    }

    /// A sender to a queue or topic, by its name or as [`SenderOptions`] say. It attaches in the background; the first
    /// send waits for it.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`], a full table of links ([`ErrorKind::Capacity`]), or an argument
    /// ([`ErrorKind::InvalidArgument`]): a name that no entity has, an entity that the connection string
    /// [is not for](Client::entity), an identifier of more than 128 characters.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::SenderOptions;
    ///
    /// let orders = client.sender("orders")?;
    /// orders.send("two of the blue ones").await?;
    ///
    /// let events = client.sender(SenderOptions::new("events").with_identifier("intake-7"))?;
    /// events.send("started").await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn sender(&self, options: impl Into<SenderOptions<S>>) -> Result<Sender<R>, Error<S>> {
        let options = options.into();
        #[cfg(feature = "alloc")]
        let is_ordered = options.is_ordered;
        let endpoint = call::Endpoint::new(&self.shared, Kind::Sender, options.entity, options.identifier)?;
        #[cfg_attr(not(feature = "alloc"), expect(unused_mut))]
        let mut sender = Sender::new(endpoint);
        #[cfg(feature = "alloc")]
        {
            sender.is_ordered = is_ordered;
        }
        Ok(sender)
    }

    /// A receiver of a queue or subscription: in peek-lock mode and without prefetch for an [`Entity`] or a queue's
    /// name, or as [`ReceiverOptions`] say. A subscription is named by
    /// [`Entity::subscription("topic", "subscription")`](crate::servicebus::Entity::subscription), a dead-letter queue by
    /// [`Entity::dead_letter`](crate::servicebus::Entity::dead_letter). It attaches when it receives.
    ///
    /// # Errors
    /// As [`Client::sender`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::ReceiverOptions;
    /// use servicebus_core::servicebus::Entity;
    ///
    /// let orders = client.receiver("orders")?;
    /// let dead = client.receiver(Entity::queue("orders").dead_letter())?;
    ///
    /// let audit = ReceiverOptions::new(Entity::subscription("events", "audit")).with_prefetch(100);
    /// let audit = client.receiver(audit)?;
    /// client.sender("events")?.send("started").await?;
    /// assert_eq!(audit.next().await?.text()?, "started");
    /// # Ok(())
    /// # });
    /// ```
    pub fn receiver(&self, options: impl Into<ReceiverOptions<S>>) -> Result<Receiver<R>, Error<S>>
    where
        S: Receivers,
    {
        const {
            assert!(<S::Features as Features>::RECEIVERS, "the storage's features have no receivers");
        }
        let options = options.into();
        let kind = options.kind();
        Ok(Receiver::new(call::Endpoint::new(&self.shared, kind, options.entity, options.identifier)?))
    }

    /// The rules of a subscription.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::servicebus::Entity;
    ///
    /// let rules = client.rule_manager(Entity::subscription("events", "audit"));
    /// assert_eq!(rules.list().await?[0].name(), "$Default");
    /// # Ok(())
    /// # });
    /// ```
    pub fn rule_manager(&self, subscription: impl Into<Entity<S>>) -> RuleManager<R>
    where
        S: Management,
    {
        RuleManager::new(self.clone(), subscription.into())
    }

    /// Ends the connection cleanly and keeps client, senders and receivers: waits for messages under way, releases
    /// prefetched messages, then closes links, AMQP, TLS and TCP. The next call connects again; a pending one does so
    /// at once. A session receiver releases its session.
    ///
    /// Ends within twelve seconds even if the service does not answer, and at once without a connection.
    ///
    /// Cancel safety: once polled, the connection ends when the future is dropped.
    ///
    /// Bound: twelve seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// # use servicebus_core::client::ConnectionState;
    /// let orders = client.sender("orders")?;
    /// orders.send("the last one for today").await?;
    /// client.disconnect().await;
    /// assert!(matches!(client.state(), ConnectionState::Idle));
    ///
    /// orders.send("the first one of the next day").await?; // connects again
    /// # Ok(())
    /// # });
    /// ```
    pub async fn disconnect(&self) {
        let until = self.shared.now() + DISCONNECT;
        self.shared.change(|state| state.machine.disconnect());
        let poll = |machine: &mut ClientMachine<S>, operation| machine.poll_disconnected(operation);
        // Without a place for another call there is nothing to wait with; the connection ends all the same.
        if let Ok(call) = pending::Call::<R, _>::start(&self.shared, None, Some(until), poll) {
            call.await;
        }
    }

    /// Exchanges the connection string, such as for another key: the next token is made with it, and the next
    /// connection goes where it leads. Tokens that the service has taken count until they are renewed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for one that is not valid, or that is for another host or, by its `EntityPath`, for
    /// another [entity](Client::entity) than the one before.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::ErrorKind;
    ///
    /// let second_key = "Endpoint=sb://localhost;SharedAccessKeyName=app;SharedAccessKey=c2Vjb25k";
    /// client.set_connection_string(second_key)?;
    ///
    /// let elsewhere = "Endpoint=sb://contoso.servicebus.windows.net;SharedAccessKeyName=app;SharedAccessKey=c2Vjb25k";
    /// let error = client.set_connection_string(elsewhere).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    /// # Ok(())
    /// # });
    /// ```
    pub fn set_connection_string(&self, connection_string: impl Into<S::Literal>) -> Result<(), Error<S>> {
        let connection_string = connection_string.into();
        ConnectionString::parse_endpoint(connection_string.as_ref())
            .map_err(|error| Error::invalid(Argument::ConnectionString, &error))?;
        self.shared.change(|state| state.machine.set_connection_string(connection_string)).map_err(Error::of)
    }

    /// Closes the client for all clones: releases prefetched messages, waits for messages under way, detaches links and
    /// closes the connection. Returns when the driver has ended; other pending calls fail with [`ErrorKind::Closed`].
    ///
    /// Cancel safety: once polled, closing goes on when the future is dropped.
    ///
    /// Bound: one attempt, and ten seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::example(async |client| {
    /// use servicebus_core::client::ErrorKind;
    ///
    /// let orders = client.sender("orders")?;
    /// client.close().await;
    /// assert_eq!(orders.send("too late").await.unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn close(&self) {
        pending::close::<R>(&self.shared).await;
    }
}
