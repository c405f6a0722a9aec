//! Names of what Service Bus keeps in the maps of a message.
// docs/evidence/wire-protocol.md §4.7

/// `x-opt-partition-key`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// sender.send(&Message::new("two of the blue ones").with_partition_key("emea")).await?;
/// assert_eq!(receiver.next().await?.annotation(key::PARTITION_KEY), Some("emea".into()));
/// # Ok(())
/// # });
/// ```
pub const PARTITION_KEY: &str = "x-opt-partition-key";
/// `x-opt-via-partition-key`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// sender.send(&Message::new("two of the blue ones").with_transaction_partition_key("emea")).await?;
/// assert_eq!(receiver.next().await?.annotation(key::VIA_PARTITION_KEY), Some("emea".into()));
/// # Ok(())
/// # });
/// ```
pub const VIA_PARTITION_KEY: &str = "x-opt-via-partition-key";
/// `x-opt-partition-id`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// // The queue is not partitioned.
/// assert_eq!(receiver.next().await?.annotation(key::PARTITION_ID), None);
/// # Ok(())
/// # });
/// ```
pub const PARTITION_ID: &str = "x-opt-partition-id";
/// `x-opt-scheduled-enqueue-time`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::time::Duration;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// let at = sender.now() + Duration::from_secs(3_600);
/// sender.schedule("two of the blue ones", at).await?;
/// assert_eq!(receiver.next().await?.annotation(key::SCHEDULED_ENQUEUE_TIME), Some(at.into()));
/// # Ok(())
/// # });
/// ```
pub const SCHEDULED_ENQUEUE_TIME: &str = "x-opt-scheduled-enqueue-time";
/// `x-opt-enqueued-time`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// let order = receiver.next().await?;
/// assert_eq!(order.annotation(key::ENQUEUED_TIME), order.enqueued_time().map(Into::into));
/// # Ok(())
/// # });
/// ```
pub const ENQUEUED_TIME: &str = "x-opt-enqueued-time";
/// `x-opt-sequence-number`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// assert_eq!(receiver.next().await?.annotation(key::SEQUENCE_NUMBER), Some(1_i64.into()));
/// # Ok(())
/// # });
/// ```
pub const SEQUENCE_NUMBER: &str = "x-opt-sequence-number";
/// `x-opt-enqueue-sequence-number`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// let order = receiver.next().await?;
/// assert_eq!(order.annotation(key::ENQUEUED_SEQUENCE_NUMBER), order.enqueued_sequence_number().map(Into::into));
/// # Ok(())
/// # });
/// ```
pub const ENQUEUED_SEQUENCE_NUMBER: &str = "x-opt-enqueue-sequence-number";
/// `x-opt-locked-until`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// let order = receiver.next().await?;
/// assert_eq!(order.annotation(key::LOCKED_UNTIL), order.locked_until().map(Into::into));
/// # Ok(())
/// # });
/// ```
pub const LOCKED_UNTIL: &str = "x-opt-locked-until";
/// `x-opt-lock-token`, a delivery annotation
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// let order = receiver.next().await?;
/// let token = order.lock_token().ok_or("no lock")?;
/// assert_eq!(order.delivery_annotation(key::LOCK_TOKEN), Some(token.uuid().into()));
/// # Ok(())
/// # });
/// ```
pub const LOCK_TOKEN: &str = "x-opt-lock-token";
/// `x-opt-deadletter-source`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// let order = receiver.next().await?;
/// assert_eq!(order.annotation(key::DEAD_LETTER_SOURCE).is_some(), order.dead_letter_source().is_some());
/// # Ok(())
/// # });
/// ```
pub const DEAD_LETTER_SOURCE: &str = "x-opt-deadletter-source";
/// `x-opt-message-state`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// receiver.defer(&receiver.next().await?).await?;
/// assert_eq!(receiver.peek(0, 1).await?[0].annotation(key::MESSAGE_STATE), Some(1.into()));
/// # Ok(())
/// # });
/// ```
pub const MESSAGE_STATE: &str = "x-opt-message-state";
/// `DeadLetterReason`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::{DeadLetterOptions, Entity, key};
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// receiver.dead_letter(&receiver.next().await?, DeadLetterOptions::new().with_reason("sold out")).await?;
/// let letters = client.receiver(Entity::queue("orders").dead_letter())?;
/// assert_eq!(letters.next().await?.property(key::DEAD_LETTER_REASON), Some("sold out".into()));
/// # Ok(())
/// # });
/// ```
pub const DEAD_LETTER_REASON: &str = "DeadLetterReason";
/// `DeadLetterErrorDescription`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::{DeadLetterOptions, Entity, key};
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// # sender.send("two of the blue ones").await?;
/// let options = DeadLetterOptions::new().with_description("none left in Berlin");
/// receiver.dead_letter(&receiver.next().await?, options).await?;
/// let letters = client.receiver(Entity::queue("orders").dead_letter())?;
/// let description = letters.next().await?;
/// assert_eq!(description.property(key::DEAD_LETTER_ERROR_DESCRIPTION), Some("none left in Berlin".into()));
/// # Ok(())
/// # });
/// ```
pub const DEAD_LETTER_ERROR_DESCRIPTION: &str = "DeadLetterErrorDescription";

/// `traceparent`: the W3C trace context, as an application property
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// sender.send(&Message::new("two of the blue ones").with_traceparent(context)).await?;
/// assert_eq!(receiver.next().await?.property(key::TRACEPARENT), Some(context.into()));
/// # Ok(())
/// # });
/// ```
// docs/evidence/sdk-features.md §9
pub const TRACEPARENT: &str = "traceparent";
/// `tracestate`
///
/// # Examples
///
/// ```
/// # use servicebus_core::servicebus::key;
/// # use servicebus_core::servicebus::Message;
/// # servicebus_simulation::example(async |client| {
/// # let (sender, receiver) = (client.sender("orders")?, client.receiver("orders")?);
/// sender.send(&Message::new("two of the blue ones").with_tracestate("contoso=7")).await?;
/// assert_eq!(receiver.next().await?.property(key::TRACESTATE), Some("contoso=7".into()));
/// # Ok(())
/// # });
/// ```
pub const TRACESTATE: &str = "tracestate";
