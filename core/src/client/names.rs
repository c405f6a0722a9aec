//! The names under which an adapter crate exports the client for its runtime.

/// Names everything of the client for one runtime on the heap, in the crate `$name`, and asserts that it may cross
/// threads. Each adapter crate has these names, so that moving a program from one runtime to another is a change of
/// `use` lines.
///
/// ```
/// # use servicebus_core::{client::State, machine::Clock, runtime::Runtime, storage::Heap, time::Instant};
/// # use std::sync::{Arc, Mutex};
/// /// The runtime of an adapter.
/// #[derive(Clone, Debug)]
/// pub struct Own;
///
/// servicebus_core::client_names!(Own, "servicebus_own");
/// # impl Runtime for Own {
/// #     type Storage = Heap;
/// #     type Shared = Arc<Mutex<State<Self>>>;
/// #     fn clock(&self) -> Clock {
/// #         Clock { now: Instant::ZERO, utc: Timestamp::UNIX_EPOCH }
/// #     }
/// #     async fn sleep_until(&self, _: Instant) {}
/// # }
///
/// // What users of the adapter write, without generics.
/// pub fn open(client: &Client) -> Result<(Sender, Receiver), Error> {
///     Ok((client.sender("orders")?, client.receiver("orders")?))
/// }
/// ```
#[cfg(feature = "alloc")]
#[macro_export]
macro_rules! client_names {
    ($runtime:ty, $name:literal) => {
        pub use $crate::client::{
            AutoLockRenewer, DeadLetter, DeadLetterOptions, ErrorKind, ErrorOutcome, HandlerError, Panic,
            ProcessorOptions, SessionProcessorOptions,
        };
        pub use $crate::engine::Capacity;
        pub use $crate::machine::{ReceiveMode, SizeLimits};
        pub use $crate::runtime::HeapRuntime;
        pub use $crate::servicebus::{
            Address, Argument, AsMessage, BatchError, Body, BodyError, CorrelationRuleFilterRef, Disposition, Entries,
            FilterProperties, InvalidLockToken, InvalidMessage, LockToken, Message, MessageBody, MessageId,
            MessageIdBuf, MessageRef, MessageState, Properties, Reason, RetryMode, RetryPolicy, Rule, RuleFilterRef,
            RuleRef, SubQueue,
        };
        pub use $crate::storage::Limits;
        pub use $crate::time::{TimeOutOfRange, Timestamp};
        pub use $crate::wire::message::{Body as ReceivedBody, MessageView};
        pub use $crate::wire::{DecodeError, InvalidUuid, Uuid, Value, WrongValue};

        /// A connection to a namespace; see [`servicebus_core::client::Client`]($crate::client::Client).
        ///
        /// Makes what a program works with: `sender`, `receiver`, `processor`, `session_processor`, `rule_manager`,
        /// `transactions`, `begin_transaction`; sessions by `accept_session`, `accept_next_session`,
        /// `accept_non_exclusive_session`, `accept_next_non_exclusive_session`, `take_over_session`, `list_sessions`,
        /// `list_sessions_each`. Of the connection: `ready`, `state`, `state_changed`, `disconnect`,
        /// `set_connection_string`, `entity`, `last_description`, `close`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// use std::time::Duration;
        ///
        /// # async fn example(connection_string: &str) -> Result<(), Error> {
        /// let client = connect(connection_string)?;
        /// client.ready(Duration::from_secs(5)).await?; // connects now instead of with the first call
        /// let receiver = client.receiver(Entity::subscription("events", "audit"))?;
        /// # drop(receiver);
        /// client.close().await;
        /// # Ok(())
        /// # }
        /// ```
        pub type Client = $crate::client::Client<$runtime>;
        /// What is received from, and how; see
        /// [`servicebus_core::client::ReceiverOptions`]($crate::client::ReceiverOptions).
        ///
        /// `new`, `with_mode`, `with_prefetch`, `with_identifier`; `entity`, `mode`, `prefetch`, `identifier`.
        ///
        /// ```
        #[doc = concat!("use ", $name, "::*;")]
        ///
        /// let audit = ReceiverOptions::new(Entity::subscription("events", "audit")).with_prefetch(100);
        /// assert_eq!((audit.mode(), audit.prefetch()), (ReceiveMode::PeekLock, 100));
        /// ```
        pub type ReceiverOptions = $crate::client::ReceiverOptions<$crate::storage::Heap>;
        /// Sends messages; see [`servicebus_core::client::Sender`]($crate::client::Sender).
        ///
        /// `send`, `send_all`, `enqueue`; `create_batch` and `send_batch`; `schedule`, `schedule_all`, `schedule_each`
        /// and `cancel_scheduled`; `timeout`, `size_limits`, `now`, `close`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// use std::time::Duration;
        ///
        /// # async fn example(sender: Sender) -> Result<(), Error> {
        /// sender.send("hello").await?;
        /// sender.timeout(Duration::from_secs(2)).send(&Message::new("now or never").with_property("tries", 1)).await?;
        /// sender.send_all(&["one", "two"]).await?;
        /// let number = sender.schedule("good morning", sender.now() + Duration::from_secs(8 * 60 * 60)).await?;
        /// sender.cancel_scheduled(&[number]).await?;
        /// # Ok(())
        /// # }
        /// ```
        pub type Sender = $crate::client::Sender<$runtime>;
        /// The outcome of a message that was enqueued; see
        /// [`servicebus_core::client::Delivery`]($crate::client::Delivery).
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// # async fn example(sender: Sender) -> Result<(), Error> {
        /// let deliveries: [Delivery; 2] = [sender.enqueue("one").await?, sender.enqueue("two").await?];
        /// for delivery in deliveries {
        ///     delivery.await?;
        /// }
        /// # Ok(())
        /// # }
        /// ```
        pub type Delivery = $crate::client::Delivery<$runtime>;
        /// Receives messages; see [`servicebus_core::client::Receiver`]($crate::client::Receiver).
        ///
        /// `receive`, `receive_messages`, `receive_each`, `next`, `messages` (a stream, feature `stream`); `complete`,
        /// `abandon`, `abandon_with`, `defer`, `defer_with`, `dead_letter`, `settle_by_token`; `receive_deferred`,
        /// `receive_deferred_each`; `peek`, `peek_each`, `peeker`; `renew_lock`, `renew_lock_by_token`,
        /// `lock_renewal_error`; `delete_messages`, `purge`; `timeout`, `entity`, `close`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// use std::time::Duration;
        ///
        /// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
        /// let receiver = client.receiver(ReceiverOptions::new("orders").with_prefetch(100))?;
        /// while let Some(message) = receiver.receive(Duration::from_secs(5)).await? {
        ///     match message.text()? {
        ///         "never" => receiver.dead_letter(&message, DeadLetterOptions::new().with_reason("never")).await?,
        ///         _ => receiver.complete(&message).await?,
        ///     }
        /// }
        /// # Ok(())
        /// # }
        /// ```
        pub type Receiver = $crate::client::Receiver<$runtime>;
        /// The messages of a receiver as a stream; see [`servicebus_core::client::Messages`]($crate::client::Messages).
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// # async fn example(receiver: Receiver) {
        /// // `StreamExt` of `futures` has `next`, `for_each_concurrent` and more for it.
        /// let messages: Messages = receiver.messages();
        /// # drop(messages);
        /// # }
        /// ```
        #[cfg(feature = "stream")]
        pub type Messages = $crate::client::Messages<$runtime>;
        /// Receives the messages of a session; see
        /// [`servicebus_core::client::SessionReceiver`]($crate::client::SessionReceiver).
        ///
        /// It derefs to [`Receiver`], whose methods receive and settle. Of the session: `session_id`, `state`,
        /// `set_state`, `state_json` and `set_state_json` (feature `serde`), `renew_session_lock`,
        /// `session_lock_renewal_error`, `locked_until`, `lock_token`; `timeout`, `close`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// use std::time::Duration;
        ///
        /// # async fn example(client: Client) -> Result<(), Error> {
        /// while let Some(session) = client.accept_next_session("jobs", Duration::from_secs(10)).await? {
        ///     for message in session.receive_messages(10, Duration::from_secs(1)).await? {
        ///         session.complete(&message).await?;
        ///     }
        ///     session.set_state(Some(b"done")).await?;
        ///     session.close().await;
        /// }
        /// # Ok(())
        /// # }
        /// ```
        pub type SessionReceiver = $crate::client::SessionReceiver<$runtime>;
        /// Looks at messages; see [`servicebus_core::client::Peeker`]($crate::client::Peeker).
        ///
        /// `peek`, `peek_each`, `position`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// use std::time::Duration;
        ///
        /// # async fn example(receiver: Receiver) -> Result<(), Error> {
        /// let mut peeker = receiver.peeker();
        /// loop {
        ///     let page = peeker.peek(100).await?;
        ///     if page.is_empty() {
        ///         break;
        ///     }
        ///     page.iter().for_each(|message| println!("{message}"));
        /// }
        /// # Ok(())
        /// # }
        /// ```
        pub type Peeker = $crate::client::Peeker<$runtime>;
        /// The renewal of a lock; see [`servicebus_core::client::LockRenewal`]($crate::client::LockRenewal).
        ///
        /// `during`, `ended`, `is_active`, `locked_until`, `error`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// use std::time::Duration;
        ///
        /// # async fn work() {}
        /// # async fn example(receiver: Receiver, message: ReceivedMessage) -> Result<(), Error> {
        /// let renewal = AutoLockRenewer::new(Duration::from_secs(600)).message(&receiver, &message)?;
        /// work().await;
        /// drop(renewal);
        /// receiver.complete(&message).await?;
        /// # Ok(())
        /// # }
        /// ```
        pub type LockRenewal<'m> = $crate::client::LockRenewal<'m, $runtime>;
        /// A message pump; see [`servicebus_core::client::Processor`]($crate::client::Processor).
        ///
        /// `on_error`, `control`, `run`, `run_inline`. A handler is a closure that returns a future; what it uses is
        /// cloned for each message, before `async move`. An async closure (`async |message| …`) works while it
        /// captures nothing.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// use std::time::Duration;
        ///
        /// # async fn handle(text: String) -> Result<(), std::io::Error> { Ok(()) }
        /// # async fn example(client: Client) -> Result<(), Error> {
        /// let processor = client.processor("orders", ProcessorOptions::new().with_max_concurrent_calls(8));
        /// let control = processor.control(); // to `stop` it from elsewhere
        /// # drop(control);
        /// processor
        ///     .on_error(|error| eprintln!("{error}"))
        ///     .run(|message| async move {
        ///         handle(message.text()?.to_owned()).await?; // an error abandons the message, `Ok` completes it
        ///         Ok(())
        ///     })
        ///     .await
        /// # }
        /// ```
        pub type Processor<F = fn(ProcessorError)> = $crate::client::Processor<$runtime, F>;
        /// A message pump over sessions; see
        /// [`servicebus_core::client::SessionProcessor`]($crate::client::SessionProcessor).
        ///
        /// `on_error`, `on_session_opened`, `on_session_closing`, `control`, `run`, `run_inline`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// use std::time::Duration;
        ///
        /// # async fn example(client: Client) -> Result<(), Error> {
        /// client
        ///     .session_processor("jobs", SessionProcessorOptions::new().with_max_concurrent_sessions(8))
        ///     .on_session_closing(|session| async move {
        ///         session.set_state(Some(b"seen")).await?;
        ///         Ok(())
        ///     })
        ///     .run(|message| async move {
        ///         println!("{}: {}", message.session_id().unwrap_or_default(), message.text()?);
        ///         Ok(())
        ///     })
        ///     .await
        /// # }
        /// ```
        pub type SessionProcessor<F = fn(ProcessorError), O = NoSessionHandler, C = NoSessionHandler> =
            $crate::client::SessionProcessor<$runtime, F, O, C>;
        /// The handler of sessions of a processor that has none for them; see
        /// [`servicebus_core::client::NoSessionHandler`]($crate::client::NoSessionHandler).
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        ///
        /// /// A session processor without handlers for sessions, to be kept in a field.
        /// struct Worker {
        ///     jobs: SessionProcessor<fn(ProcessorError), NoSessionHandler, NoSessionHandler>,
        /// }
        ///
        /// # fn example(client: Client) {
        /// let worker = Worker { jobs: client.session_processor("jobs", SessionProcessorOptions::new()) };
        /// # drop(worker.jobs);
        /// # }
        /// ```
        pub type NoSessionHandler = $crate::client::NoSessionHandler<$runtime>;
        /// Pauses, resumes and stops a message pump; see
        /// [`servicebus_core::client::ProcessorControl`]($crate::client::ProcessorControl).
        ///
        /// `stop`, `is_stopping`, `pause`, `resume`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// # async fn example(client: Client) -> Result<(), Error> {
        /// let processor = client.processor("orders", ProcessorOptions::new());
        /// let control: ProcessorControl = processor.control();
        /// std::thread::spawn(move || {
        ///     std::io::stdin().read_line(&mut String::new()).ok();
        ///     control.stop(); // at the return key
        /// });
        /// processor.run(|_| async { Ok(()) }).await
        /// # }
        /// ```
        pub type ProcessorControl = $crate::client::ProcessorControl<$runtime>;
        /// A message in a handler's hands; see
        /// [`servicebus_core::client::ProcessorMessage`]($crate::client::ProcessorMessage).
        ///
        /// It derefs to [`ReceivedMessage`], whose methods read it. A handler that decides itself: `complete`,
        /// `abandon`, `abandon_with`, `defer`, `defer_with`, `dead_letter`, `complete_in`, `settle_in`. Besides:
        /// `receiver`, `session`, `is_stopping`, `stopping`, `lock_renewal_error`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        ///
        /// async fn handle(message: ProcessorMessage) -> Result<(), HandlerError> {
        ///     println!("{:?}: {}", message.message_id(), message.text()?);
        ///     Ok(())
        /// }
        ///
        /// # async fn example(client: Client) -> Result<(), Error> {
        /// client.processor("orders", ProcessorOptions::new()).run(handle).await
        /// # }
        /// ```
        pub type ProcessorMessage = $crate::client::ProcessorMessage<$runtime>;
        /// An error in a message pump; see
        /// [`servicebus_core::client::ProcessorError`]($crate::client::ProcessorError).
        ///
        /// `cause`, `into_cause`; `entity`, `session_id`, `message_id`, `sequence_number`, `delivery_count`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        ///
        /// fn report(error: ProcessorError) {
        ///     eprintln!("{error}"); // names entity, session and message
        /// }
        ///
        /// # async fn example(client: Client) -> Result<(), Error> {
        /// client.processor("orders", ProcessorOptions::new()).on_error(report).run(|_| async { Ok(()) }).await
        /// # }
        /// ```
        pub type ProcessorError = $crate::client::ProcessorError<$crate::storage::Heap>;
        /// What went wrong in a message pump; see
        /// [`servicebus_core::client::ProcessorErrorCause`]($crate::client::ProcessorErrorCause).
        ///
        /// ```
        #[doc = concat!("use ", $name, "::*;")]
        ///
        /// /// Whether the error needs an operator at once.
        /// fn is_urgent(error: &ProcessorError) -> bool {
        ///     match error.cause() {
        ///         ProcessorErrorCause::Receive(outage) => !outage.is_transient(),
        ///         ProcessorErrorCause::Panicked(_) => true,
        ///         _ => false,
        ///     }
        /// }
        /// ```
        pub type ProcessorErrorCause = $crate::client::ProcessorErrorCause<$crate::storage::Heap>;
        /// The rules of a subscription; see [`servicebus_core::client::RuleManager`]($crate::client::RuleManager).
        ///
        /// `add`, `remove`, `list`, `list_each`, `timeout`; `AdministrationClient` (feature `administration`) does the same
        /// over HTTP.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// use std::time::Duration;
        ///
        /// # async fn example(client: Client) -> Result<(), Error> {
        /// let rules = client.rule_manager(Entity::subscription("events", "big"));
        /// rules.add(&RuleRef::new("thousands", RuleFilterRef::Sql("total >= 1000"))).await?;
        /// rules.remove("$Default").await?;
        /// assert_eq!(rules.list().await?[0].name(), "thousands");
        /// # Ok(())
        /// # }
        /// ```
        pub type RuleManager = $crate::client::RuleManager<$runtime>;
        /// Begins transactions; see
        /// [`servicebus_core::client::TransactionController`]($crate::client::TransactionController).
        ///
        /// `begin`, `timeout`, `close`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// # async fn example(client: Client, sender: Sender) -> Result<(), Error> {
        /// let transactions: TransactionController = client.transactions("orders")?;
        /// for pair in [["one", "another one"], ["two", "another two"]] {
        ///     let transaction = transactions.begin().await?;
        ///     transaction.send(&sender, pair[0]).await?;
        ///     transaction.send(&sender, pair[1]).await?;
        ///     transaction.commit().await?;
        /// }
        /// # Ok(())
        /// # }
        /// ```
        pub type TransactionController = $crate::client::TransactionController<$runtime>;
        /// A transaction; see [`servicebus_core::client::Transaction`]($crate::client::Transaction).
        ///
        /// `send`, `send_batch`, `schedule`, `complete`, `settle`, `commit`, `roll_back`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// use std::time::Duration;
        ///
        /// # async fn example(client: Client, receiver: Receiver, message: ReceivedMessage) -> Result<(), Error> {
        /// let outbox = client.sender("outbox")?;
        /// let transaction = client.begin_transaction().await?;
        /// transaction.complete(&receiver, &message).await?;
        /// transaction.send(&outbox, "done").await?;
        /// transaction.commit().await?;
        /// # Ok(())
        /// # }
        /// ```
        pub type Transaction = $crate::client::Transaction<$runtime>;
        /// A message that was received; see
        /// [`servicebus_core::servicebus::ReceivedMessage`]($crate::servicebus::ReceivedMessage).
        ///
        /// The body: `data`, `text`, `json` (feature `serde`), `body`, `bytes`. What its sender set: `message_id`,
        /// `correlation_id`, `session_id`, `reply_to_session_id`, `subject`, `to`, `reply_to`, `content_type`,
        /// `content_encoding`, `user_id`, `group_sequence`, `creation_time`, `absolute_expiry_time`, `time_to_live`,
        /// `priority`, `durable`, `first_acquirer`, `partition_key`, `transaction_partition_key`,
        /// `scheduled_enqueue_time`, `traceparent`, `tracestate`; `property` and `properties`; `footer`. What the
        /// service set: `sequence_number`, `enqueued_sequence_number`, `enqueued_time`, `expires_at`,
        /// `delivery_count`, `locked_until`, `lock_token`, `state`, `dead_letter_source`, `dead_letter_reason`,
        /// `dead_letter_description`; `annotation`, `delivery_annotation`. Where it is from: `entity`. To send it
        /// again: `to_message`, or it is sent as it is. Encoded: `as_bytes`, `view`, `from_bytes`.
        ///
        /// ```
        #[doc = concat!("use ", $name, "::*;")]
        ///
        /// /// What is done with an order, and can be tested without a namespace.
        /// fn amount(order: &ReceivedMessage) -> Option<i64> {
        ///     order.property("amount")?.as_i64()
        /// }
        /// ```
        pub type ReceivedMessage = $crate::servicebus::ReceivedMessage<$crate::storage::Heap>;
        /// Messages that travel together; see
        /// [`servicebus_core::servicebus::MessageBatch`]($crate::servicebus::MessageBatch).
        ///
        /// `try_add`; `len`, `is_empty`, `size_in_bytes`, `max_size_in_bytes`; made by `Sender::create_batch`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// # async fn example(sender: Sender) -> Result<(), Box<dyn std::error::Error>> {
        /// let mut batch: MessageBatch = sender.create_batch().await?;
        /// for order in ["one", "two", "three"] {
        ///     batch.try_add(order)?;
        /// }
        /// sender.send_batch(batch).await?;
        /// # Ok(())
        /// # }
        /// ```
        pub type MessageBatch = $crate::servicebus::MessageBatch<$crate::storage::Heap>;
        /// A queue, topic or subscription; see
        /// [`servicebus_core::servicebus::Entity`]($crate::servicebus::Entity).
        ///
        /// `queue`, `subscription`; `dead_letter`, `transfer_dead_letter`; `address`. A name is a queue or topic:
        /// `"orders"`.
        ///
        /// ```
        #[doc = concat!("use ", $name, "::*;")]
        ///
        /// let (orders, audit) = (Entity::queue("orders"), Entity::subscription("events", "audit"));
        /// assert_eq!(audit.to_string(), "events/Subscriptions/audit");
        /// assert_eq!(orders.dead_letter().to_string(), "orders/$DeadLetterQueue");
        /// ```
        pub type Entity = $crate::servicebus::Entity<$crate::storage::Heap>;
        /// Why something did not work; see
        /// [`servicebus_core::client::Error`]($crate::client::Error).
        ///
        /// `kind`, `reason`, `is_transient`, `outcome`, `entity`, `description`, `argument`, `capacity`; its sources by
        /// [`source`](core::error::Error::source).
        ///
        /// ```
        #[doc = concat!("use ", $name, "::*;")]
        ///
        /// /// The HTTP status that a service answers with.
        /// fn status(error: &Error) -> u16 {
        ///     match error.kind() {
        ///         ErrorKind::InvalidArgument | ErrorKind::TooLarge => 400,
        ///         _ if error.is_transient() => 503,
        ///         _ => 500,
        ///     }
        /// }
        /// ```
        pub type Error = $crate::client::Error<$crate::storage::Heap>;
        /// What is sent to, and how; see [`servicebus_core::client::SenderOptions`]($crate::client::SenderOptions).
        ///
        /// `new`, `with_identifier`, `ordered`; `entity`, `identifier`, `is_ordered`.
        ///
        /// ```
        #[doc = concat!("use ", $name, "::*;")]
        ///
        /// let steps = SenderOptions::new("steps").ordered().with_identifier("intake-7");
        /// assert_eq!(steps.identifier(), Some("intake-7"));
        /// ```
        pub type SenderOptions = $crate::client::SenderOptions<$crate::storage::Heap>;
        /// Why a lock is not renewed any more; see
        /// [`servicebus_core::client::RenewalEnd`]($crate::client::RenewalEnd).
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// # async fn example(receiver: Receiver, message: ReceivedMessage) -> Result<(), Error> {
        /// let mut renewal = AutoLockRenewer::default().message(&receiver, &message)?;
        /// match renewal.ended().await {
        ///     RenewalEnd::Lost(error) => eprintln!("it comes again: {error}"),
        ///     RenewalEnd::Elapsed => eprintln!("five minutes are over"),
        ///     _ => {}
        /// }
        /// # Ok(())
        /// # }
        /// ```
        pub type RenewalEnd = $crate::client::RenewalEnd<$crate::storage::Heap>;
        /// How the connection stands; see
        /// [`servicebus_core::client::ConnectionState`]($crate::client::ConnectionState).
        ///
        /// ```
        #[doc = concat!("use ", $name, "::*;")]
        ///
        /// /// Asked by each request of a service before it sends.
        /// fn is_available(client: &Client) -> bool {
        ///     !matches!(client.state(), ConnectionState::Recovering { .. } | ConnectionState::Closed)
        /// }
        /// ```
        pub type ConnectionState = $crate::client::ConnectionState<$crate::storage::Heap>;
        /// Why a message was not sent, with the message; see
        /// [`servicebus_core::client::SendError`]($crate::client::SendError).
        ///
        /// `error`, `into_inner`, `into_parts`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        /// # async fn example(sender: Sender, batch: MessageBatch) {
        /// if let Err(unsent) = sender.send_batch(batch).await {
        ///     let (error, batch): (Error, MessageBatch) = SendError::into_parts(unsent);
        ///     eprintln!("{error}: {} messages are left", batch.len());
        /// }
        /// # }
        /// ```
        pub type SendError<M> = $crate::client::SendError<$crate::storage::Heap, M>;
        /// Not all of several messages were sent; see
        /// [`servicebus_core::client::SendAllError`]($crate::client::SendAllError).
        ///
        /// `error`, `stored`.
        ///
        /// ```no_run
        #[doc = concat!("use ", $name, "::*;")]
        ///
        /// async fn send_lines(sender: &Sender, lines: &[String]) -> Result<(), SendAllError> {
        ///     sender.send_all(lines).await?;
        ///     Ok(())
        /// }
        ///
        /// # async fn example(sender: Sender, lines: Vec<String>) {
        /// if let Err(error) = send_lines(&sender, &lines).await {
        ///     eprintln!("{} of {} are stored: {}", error.stored(), lines.len(), error.error());
        /// }
        /// # }
        /// ```
        pub type SendAllError = $crate::client::SendAllError<$crate::storage::Heap>;
        /// A token from outside; see [`servicebus_core::servicebus::Token`]($crate::servicebus::Token).
        ///
        /// ```
        #[doc = concat!("use ", $name, "::*;")]
        ///
        /// let token = Token::jwt("eyJ0eXAiOiJKV1Qi…".to_owned(), Timestamp::from_secs(2_000_000_000));
        /// assert_eq!(token.expires_at(), Timestamp::from_secs(2_000_000_000));
        /// ```
        pub type Token = $crate::servicebus::Token<<$crate::storage::Heap as $crate::storage::Storage>::Payload>;

        const _: () = {
            const fn crosses_threads<T: Send + Sync>() {}
            crosses_threads::<Client>();
            crosses_threads::<Transaction>();
            crosses_threads::<Sender>();
            crosses_threads::<Delivery>();
            crosses_threads::<Receiver>();
            #[cfg(feature = "stream")]
            crosses_threads::<Messages>();
            crosses_threads::<Peeker>();
            crosses_threads::<SessionReceiver>();
            crosses_threads::<LockRenewal<'static>>();
            crosses_threads::<Processor>();
            crosses_threads::<SessionProcessor>();
            crosses_threads::<ProcessorControl>();
            crosses_threads::<ProcessorMessage>();
            crosses_threads::<ProcessorError>();
            crosses_threads::<RuleManager>();
            crosses_threads::<TransactionController>();
            crosses_threads::<ReceivedMessage>();
            crosses_threads::<MessageBatch>();
            crosses_threads::<Error>();
        };
    };
}
