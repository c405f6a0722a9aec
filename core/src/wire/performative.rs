//! The performatives (AMQP 1.0 §2.7) and what they are made of.
//!
//! # Examples
//! ```
//! use servicebus_core::wire::performative::{Close, ErrorCondition, Performative};
//! use servicebus_core::wire::{Reader, to_vec};
//!
//! let error = Some(ErrorCondition::new("amqp:connection:forced"));
//! let bytes = to_vec(&Close { error });
//! assert_eq!(Reader::new(&bytes).read(), Ok(Performative::Close(Close { error })));
//! ```

use super::composite::Mandatory;
use super::messaging::{DeliveryState, Source, Target};
use super::transaction::Coordinator;
use super::view::Items;
use super::{Composite, Decode, DecodeError, Decoder, Encode, Expected, Fields, Map, Multiple, Sink, View};

pub use super::error_condition::ErrorCondition;

composite! {
    /// Negotiates connection parameters (AMQP 1.0 §2.7.1).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::performative::Open;
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let bytes = to_vec(&Open { hostname: Some("shop.servicebus.windows.net"), ..Open::new("till-3") });
    /// let mut open: View<'_, Open<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!(open.container_id(), "till-3");
    /// assert_eq!((open.max_frame_size(), open.idle_time_out()), (u32::MAX, None));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Open<'a> = 0x10 "amqp:open:list" {
        /// The id of the source container.
        container_id: &'a str [mandatory],
        /// The name of the target host.
        hostname: &'a str [optional],
        /// The largest frame the sender of this can accept, in bytes.
        max_frame_size: u32 [default "4294967295" = u32::MAX],
        /// The highest channel number that may be used.
        channel_max: u16 [default "65535" = u16::MAX],
        /// Milliseconds of silence after which the sender of this closes the connection.
        idle_time_out: u32 [optional],
        /// Locales for outgoing text.
        outgoing_locales: Multiple<'a> [optional],
        /// Locales for incoming text.
        incoming_locales: Multiple<'a> [optional],
        /// Extensions the sender supports.
        offered_capabilities: Multiple<'a> [optional],
        /// Extensions the sender may use if the receiver supports them.
        desired_capabilities: Multiple<'a> [optional],
        /// Connection properties.
        properties: Map<'a> [optional],
    }

    /// Begins a session on a channel (AMQP 1.0 §2.7.2).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::performative::Begin;
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let bytes = to_vec(&Begin {
    ///     remote_channel: None,
    ///     next_outgoing_id: 1,
    ///     incoming_window: 5_000,
    ///     outgoing_window: 5_000,
    ///     handle_max: 255,
    ///     offered_capabilities: None,
    ///     desired_capabilities: None,
    ///     properties: None,
    /// });
    /// let mut begin: View<'_, Begin<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!((begin.incoming_window(), begin.handle_max()), (5_000, 255));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Begin<'a> = 0x11 "amqp:begin:list" {
        /// The channel of the peer's begin that this one answers.
        remote_channel: u16 [optional],
        /// The transfer-id of the first transfer frame.
        next_outgoing_id: u32 [mandatory],
        /// Transfer frames that can be received.
        incoming_window: u32 [mandatory],
        /// Transfer frames that can be sent.
        outgoing_window: u32 [mandatory],
        /// The highest handle that may be used.
        handle_max: u32 [default "4294967295" = u32::MAX],
        /// Extensions the sender supports.
        offered_capabilities: Multiple<'a> [optional],
        /// Extensions the sender may use if the receiver supports them.
        desired_capabilities: Multiple<'a> [optional],
        /// Session properties.
        properties: Map<'a> [optional],
    }

    /// Attaches a link to a session (AMQP 1.0 §2.7.3).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::{Source, Target};
    /// use servicebus_core::wire::performative::{Attach, Role, TargetArchetype};
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let bytes = to_vec(&Attach {
    ///     source: Some(Source::new(Some("orders"))),
    ///     target: Some(TargetArchetype::Target(Target::new(None))),
    ///     ..Attach::new("orders-1", Role::Receiver)
    /// });
    /// let mut attach: View<'_, Attach<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!((attach.name(), attach.role()), ("orders-1", Role::Receiver));
    /// assert_eq!(attach.source(), Some(Source::new(Some("orders"))));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Attach<'a> = 0x12 "amqp:attach:list" {
        /// The name of the link.
        name: &'a str [mandatory],
        /// The handle for the link while attached.
        handle: u32 [mandatory],
        /// The role of the link endpoint that sends this.
        role: Role [mandatory],
        /// Settlement policy of the sender.
        snd_settle_mode: SenderSettleMode [default "mixed" = SenderSettleMode::Mixed],
        /// Settlement policy of the receiver.
        rcv_settle_mode: ReceiverSettleMode [default "first" = ReceiverSettleMode::First],
        /// Where messages come from; null in a refusal.
        source: Source<'a> [optional],
        /// Where messages go; null in a refusal.
        target: TargetArchetype<'a> [optional],
        /// Unsettled delivery state; never used by Service Bus.
        unsettled: Map<'a> [optional],
        /// Whether `unsettled` is cut short.
        incomplete_unsettled: bool [default "false" = false],
        /// The sender's delivery-count at the start; mandatory from senders.
        initial_delivery_count: u32 [optional],
        /// The largest message in bytes; zero or null for no limit.
        max_message_size: u64 [optional],
        /// Extensions the sender supports.
        offered_capabilities: Multiple<'a> [optional],
        /// Extensions the sender may use if the receiver supports them.
        desired_capabilities: Multiple<'a> [optional],
        /// Link properties.
        properties: Map<'a> [optional],
    }

    /// Updates link or session flow state (AMQP 1.0 §2.7.4).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::performative::Flow;
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let bytes = to_vec(&Flow {
    ///     next_incoming_id: Some(1),
    ///     incoming_window: 5_000,
    ///     next_outgoing_id: 1,
    ///     outgoing_window: 5_000,
    ///     handle: Some(0),
    ///     delivery_count: Some(7),
    ///     link_credit: Some(100),
    ///     available: None,
    ///     drain: false,
    ///     echo: false,
    ///     properties: None,
    /// });
    /// let mut flow: View<'_, Flow<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!((flow.handle(), flow.link_credit()), (Some(0), Some(100)));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Flow<'a> = 0x13 "amqp:flow:list" {
        /// The next transfer-id expected; null only before the peer's begin was seen.
        next_incoming_id: u32 [optional],
        /// Transfer frames that can be received.
        incoming_window: u32 [mandatory],
        /// The transfer-id of the next transfer frame.
        next_outgoing_id: u32 [mandatory],
        /// Transfer frames that can be sent.
        outgoing_window: u32 [mandatory],
        /// The link; null for session state alone.
        handle: u32 [optional],
        /// The sender's delivery-count.
        delivery_count: u32 [optional],
        /// Messages that may be sent beyond `delivery_count`.
        link_credit: u32 [optional],
        /// Messages that wait for credit at the sender.
        available: u32 [optional],
        /// Whether unused credit is to be consumed at once.
        drain: bool [default "false" = false],
        /// Whether the peer is to answer with its own state.
        echo: bool [default "false" = false],
        /// Link state properties.
        properties: Map<'a> [optional],
    }

    /// Transfers a message or a part of one (AMQP 1.0 §2.7.5). The payload follows it in the frame.
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::performative::Transfer;
    /// use servicebus_core::wire::{Decoder, View, to_vec};
    ///
    /// let mut body = to_vec(&Transfer {
    ///     handle: 0,
    ///     delivery_id: Some(7),
    ///     delivery_tag: Some(b"order-7"),
    ///     message_format: Some(0),
    ///     settled: Some(false),
    ///     more: false,
    ///     rcv_settle_mode: None,
    ///     state: None,
    ///     resume: false,
    ///     aborted: false,
    ///     batchable: false,
    /// });
    /// body.extend(b"\x00\x53\x75\xa0\x04blue");
    ///
    /// let mut decoder = Decoder::new(&body);
    /// let transfer: Option<View<'_, Transfer<'_>>> = decoder.read();
    /// let delivery_id = transfer.and_then(|mut transfer| transfer.delivery_id());
    /// assert_eq!((delivery_id, decoder.rest().len()), (Some(7), 9));
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Transfer<'a> = 0x14 "amqp:transfer:list" {
        /// The link.
        handle: u32 [mandatory],
        /// Identifies the delivery in the session; mandatory on the first frame.
        delivery_id: u32 [optional],
        /// Identifies the delivery on the link, up to 32 bytes; mandatory on the first frame.
        delivery_tag: &'a [u8] [optional],
        /// The message format.
        message_format: u32 [optional],
        /// Whether the sender has settled.
        settled: bool [optional],
        /// Whether more frames follow.
        more: bool [default "false" = false],
        /// Settlement policy for this delivery alone.
        rcv_settle_mode: ReceiverSettleMode [optional],
        /// The delivery's state at the sender.
        state: DeliveryState<'a> [optional],
        /// Whether a delivery is resumed.
        resume: bool [default "false" = false],
        /// Whether the delivery is given up.
        aborted: bool [default "false" = false],
        /// Whether an answer may wait for more.
        batchable: bool [default "false" = false],
    }

    /// Informs of the state of a range of deliveries (AMQP 1.0 §2.7.6).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::messaging::DeliveryState;
    /// use servicebus_core::wire::performative::{Disposition, Role};
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let bytes = to_vec(&Disposition {
    ///     role: Role::Receiver,
    ///     first: 7,
    ///     last: Some(9),
    ///     settled: true,
    ///     state: Some(DeliveryState::ACCEPTED),
    ///     batchable: false,
    /// });
    /// let mut disposition: View<'_, Disposition<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!((disposition.first(), disposition.last()), (7, Some(9)));
    /// assert_eq!(disposition.state(), Some(DeliveryState::ACCEPTED));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Disposition<'a> = 0x15 "amqp:disposition:list" {
        /// The role of the endpoint that sends this.
        role: Role [mandatory],
        /// The first delivery-id.
        first: u32 [mandatory],
        /// The last delivery-id; `first` when null.
        last: u32 [optional],
        /// Whether the deliveries are settled.
        settled: bool [default "false" = false],
        /// The state of all of them.
        state: DeliveryState<'a> [optional],
        /// Whether an answer may wait for more.
        batchable: bool [default "false" = false],
    }

    /// Detaches a link from its session (AMQP 1.0 §2.7.7).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::performative::{Detach, ErrorCondition};
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let stolen = ErrorCondition::new("amqp:link:stolen");
    /// let bytes = to_vec(&Detach { handle: 0, closed: true, error: Some(stolen) });
    /// let mut detach: View<'_, Detach<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!((detach.closed(), detach.error()), (true, Some(stolen)));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Detach<'a> = 0x16 "amqp:detach:list" {
        /// The link.
        handle: u32 [mandatory],
        /// Whether the link is closed, not only detached.
        closed: bool [default "false" = false],
        /// Why.
        error: ErrorCondition<'a> [optional],
    }

    /// Ends a session (AMQP 1.0 §2.7.8).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::performative::End;
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let bytes = to_vec(&End { error: None });
    /// let mut end: View<'_, End<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!(end.error(), None);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    End<'a> = 0x17 "amqp:end:list" {
        /// Why.
        error: ErrorCondition<'a> [optional],
    }

    /// Closes a connection (AMQP 1.0 §2.7.9).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::performative::{Close, ErrorCondition};
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let forced = ErrorCondition::new("amqp:connection:forced").with_description("the service restarts");
    /// let bytes = to_vec(&Close { error: Some(forced) });
    /// let mut close: View<'_, Close<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!(close.error(), Some(forced));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Close<'a> = 0x18 "amqp:close:list" {
        /// Why.
        error: ErrorCondition<'a> [optional],
    }
}

impl<'a> Open<'a> {
    /// An open of this container with every other field at its default.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::performative::Open;
    /// let open = Open { hostname: Some("shop.servicebus.windows.net"), ..Open::new("till-3") };
    /// assert_eq!((open.container_id, open.channel_max), ("till-3", u16::MAX));
    /// ```
    pub const fn new(container_id: &'a str) -> Self {
        Self {
            container_id,
            hostname: None,
            max_frame_size: u32::MAX,
            channel_max: u16::MAX,
            idle_time_out: None,
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        }
    }
}

impl<'a> Attach<'a> {
    /// An attach of this name and role with every other field at its default, without source and target. A sender's
    /// delivery-count starts at zero.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::messaging::Source;
    /// # use servicebus_core::wire::performative::{Attach, Role};
    /// let attach = Attach { source: Some(Source::new(Some("orders"))), ..Attach::new("orders-1", Role::Receiver) };
    /// assert_eq!((attach.name, attach.target), ("orders-1", None));
    /// ```
    pub const fn new(name: &'a str, role: Role) -> Self {
        Self {
            name,
            handle: 0,
            role,
            snd_settle_mode: SenderSettleMode::Mixed,
            rcv_settle_mode: ReceiverSettleMode::First,
            source: None,
            target: None,
            unsettled: None,
            incomplete_unsettled: false,
            initial_delivery_count: match role {
                Role::Sender => Some(0),
                Role::Receiver => None,
            },
            max_message_size: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        }
    }
}

choice! {
    /// A link endpoint's role (AMQP 1.0 §2.8.1).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::performative::Role;
    ///
    /// let initial_delivery_count = match Role::Receiver {
    ///     Role::Sender => Some(0),
    ///     Role::Receiver => None,
    /// };
    /// assert_eq!(initial_delivery_count, None);
    /// ```
    Role: bool {
        /// Sends messages.
        Sender = false,
        /// Receives messages.
        Receiver = true,
    }

    /// When a sender settles (AMQP 1.0 §2.8.2).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::performative::{Attach, Role, SenderSettleMode};
    ///
    /// let attach = Attach { snd_settle_mode: SenderSettleMode::Settled, ..Attach::new("logs-1", Role::Sender) };
    /// let at_most_once = match attach.snd_settle_mode {
    ///     SenderSettleMode::Settled => true,
    ///     SenderSettleMode::Unsettled | SenderSettleMode::Mixed => false,
    /// };
    /// assert!(at_most_once);
    /// ```
    SenderSettleMode: u8 {
        /// Every delivery is sent unsettled.
        Unsettled = 0,
        /// Every delivery is sent settled.
        Settled = 1,
        /// The sender decides for each delivery.
        Mixed = 2,
    }

    /// When a receiver settles (AMQP 1.0 §2.8.3).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::performative::{Attach, ReceiverSettleMode, Role};
    ///
    /// let receiver_is_first = match Attach::new("orders-1", Role::Receiver).rcv_settle_mode {
    ///     ReceiverSettleMode::First => true,
    ///     ReceiverSettleMode::Second => false,
    /// };
    /// assert!(receiver_is_first);
    /// ```
    ReceiverSettleMode: u8 {
        /// Spontaneously, with its outcome.
        First = 0,
        /// After the sender has settled.
        Second = 1,
    }
}

impl Mandatory for Role {
    const ABSENT: Self = Self::Sender;
}

impl Role {
    /// The role of the other end.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::performative::Role;
    /// assert_eq!(Role::Sender.other(), Role::Receiver);
    /// ```
    pub const fn other(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}

/// What can stand in an attach's target: a node, or a transaction coordinator (AMQP 1.0 §4.5.1).
///
/// # Examples
/// ```
/// use servicebus_core::wire::messaging::Target;
/// use servicebus_core::wire::performative::{Attach, Role, TargetArchetype};
///
/// let target = Some(TargetArchetype::Target(Target::new(Some("orders"))));
/// let node = match (Attach { target, ..Attach::new("orders-1", Role::Sender) }).target {
///     Some(TargetArchetype::Target(target)) => target.address.and_then(|address| address.as_str()),
///     Some(TargetArchetype::Coordinator(_)) | None => None,
/// };
/// assert_eq!(node, Some("orders"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TargetArchetype<'a> {
    /// An ordinary target.
    Target(Target<'a>),
    /// The transaction coordinator.
    Coordinator(Coordinator<'a>),
}

impl Encode for TargetArchetype<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        match self {
            Self::Target(target) => target.encode(sink),
            Self::Coordinator(coordinator) => coordinator.encode(sink),
        }
    }
}

impl<'a> Decode<'a> for TargetArchetype<'a> {
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        let code = decoder.descriptor(Expected::Target)?;
        if !matches!(code, 0x29 | 0x30) {
            return decoder.unexpected_descriptor(Expected::Target, code);
        }
        match code {
            0x29 => Fields::made(decoder, code).map(Self::Target),
            _ => Fields::made(decoder, code).map(Self::Coordinator),
        }
    }
}

/// Any performative.
///
/// # Examples
/// ```
/// use servicebus_core::wire::performative::Performative;
/// use servicebus_core::wire::{DecodeError, Reader};
///
/// fn ends_connection(body: &[u8]) -> Result<bool, DecodeError> {
///     Ok(match Reader::new(body).read()? {
///         Performative::Close(_) => true,
///         Performative::Open(_) | Performative::Begin(_) | Performative::Attach(_) => false,
///         _ => false,
///     })
/// }
///
/// assert_eq!(ends_connection(&[0x00, 0x53, 0x18, 0x45]), Ok(true));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Performative<'a> {
    /// `open`
    Open(Open<'a>),
    /// `begin`
    Begin(Begin<'a>),
    /// `attach`
    Attach(Attach<'a>),
    /// `flow`
    Flow(Flow<'a>),
    /// `transfer`
    Transfer(Transfer<'a>),
    /// `disposition`
    Disposition(Disposition<'a>),
    /// `detach`
    Detach(Detach<'a>),
    /// `end`
    End(End<'a>),
    /// `close`
    Close(Close<'a>),
}

impl Encode for Performative<'_> {
    #[inline]
    fn encode(&self, sink: &mut Sink<'_>) {
        match self {
            Self::Open(v) => v.encode(sink),
            Self::Begin(v) => v.encode(sink),
            Self::Attach(v) => v.encode(sink),
            Self::Flow(v) => v.encode(sink),
            Self::Transfer(v) => v.encode(sink),
            Self::Disposition(v) => v.encode(sink),
            Self::Detach(v) => v.encode(sink),
            Self::End(v) => v.encode(sink),
            Self::Close(v) => v.encode(sink),
        }
    }
}

/// Any performative as it came.
///
/// # Examples
/// ```
/// use servicebus_core::wire::performative::{Open, PerformativeView};
/// use servicebus_core::wire::{Reader, to_vec};
///
/// let body = to_vec(&Open::new("till-3"));
/// let container = match Reader::new(&body).read()? {
///     PerformativeView::Open(mut open) => open.container_id().to_owned(),
///     _ => String::new(),
/// };
/// assert_eq!(container, "till-3");
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
#[derive(Clone)]
pub enum PerformativeView<'a> {
    /// `open`
    Open(View<'a, Open<'a>>),
    /// `begin`
    Begin(View<'a, Begin<'a>>),
    /// `attach`
    Attach(View<'a, Attach<'a>>),
    /// `flow`
    Flow(View<'a, Flow<'a>>),
    /// `transfer`
    Transfer(View<'a, Transfer<'a>>),
    /// `disposition`
    Disposition(View<'a, Disposition<'a>>),
    /// `detach`
    Detach(View<'a, Detach<'a>>),
    /// `end`
    End(View<'a, End<'a>>),
    /// `close`
    Close(View<'a, Close<'a>>),
}

impl<'a> PerformativeView<'a> {
    /// All of it.
    ///
    /// # Errors
    /// What is wrong with one of its fields.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::performative::{End, Performative, PerformativeView};
    /// # use servicebus_core::wire::{Reader, to_vec};
    /// # let body = to_vec(&End { error: None });
    /// let mut view: PerformativeView<'_> = Reader::new(&body).read()?;
    /// assert_eq!(view.whole()?, Performative::End(End { error: None }));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn whole(&mut self) -> Result<Performative<'a>, DecodeError> {
        Ok(match self {
            Self::Open(view) => Performative::Open(view.whole()?),
            Self::Begin(view) => Performative::Begin(view.whole()?),
            Self::Attach(view) => Performative::Attach(view.whole()?),
            Self::Flow(view) => Performative::Flow(view.whole()?),
            Self::Transfer(view) => Performative::Transfer(view.whole()?),
            Self::Disposition(view) => Performative::Disposition(view.whole()?),
            Self::Detach(view) => Performative::Detach(view.whole()?),
            Self::End(view) => Performative::End(view.whole()?),
            Self::Close(view) => Performative::Close(view.whole()?),
        })
    }
}

impl core::fmt::Debug for PerformativeView<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.clone().whole() {
            Ok(performative) => performative.fmt(f),
            Err(error) => error.fmt(f),
        }
    }
}

impl<'a> Decode<'a> for PerformativeView<'a> {
    /// Takes a performative from a frame's body; the decoder is left at the payload.
    #[inline]
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        let code = decoder.descriptor(Expected::Performative)?;
        if !(0x10..=0x18).contains(&code) {
            return decoder.unexpected_descriptor(Expected::Performative, code);
        }
        let items = Items::list(decoder, code)?;
        Some(match code {
            0x10 => Self::Open(items.into()),
            0x11 => Self::Begin(items.into()),
            0x12 => Self::Attach(items.into()),
            0x13 => Self::Flow(items.into()),
            0x14 => Self::Transfer(items.into()),
            0x15 => Self::Disposition(items.into()),
            0x16 => Self::Detach(items.into()),
            0x17 => Self::End(items.into()),
            _ => Self::Close(items.into()),
        })
    }
}

impl<'a> Decode<'a> for Performative<'a> {
    /// Takes a performative from a frame's body; the decoder is left at the payload.
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        match PerformativeView::decode(decoder)?.whole() {
            Ok(performative) => Some(performative),
            Err(error) => decoder.fail(error),
        }
    }
}

impl<'a> View<'a, Attach<'a>> {
    /// Whether the terminus at the peer's end is null, as in a refusal (AMQP 1.0 §2.6.3).
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::performative::{Attach, Role};
    /// # use servicebus_core::wire::{Reader, View, to_vec};
    /// let body = to_vec(&Attach::new("orders-1", Role::Sender));
    /// let mut answer: View<'_, Attach<'_>> = Reader::new(&body).read()?;
    /// assert!(answer.is_refusal());
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn is_refusal(&mut self) -> bool {
        const SOURCE: u8 = Attach::DEFINITION.place("source");
        const TARGET: u8 = Attach::DEFINITION.place("target");
        let terminus = if self.role() == Role::Sender { SOURCE } else { TARGET };
        !self.has(terminus)
    }

    /// The filters of the source; none when it is null.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::messaging::Source;
    /// # use servicebus_core::wire::performative::{Attach, Role};
    /// # use servicebus_core::wire::{Map, Reader, View, to_vec};
    /// let source = Some(Source::new(Some("orders")));
    /// let body = to_vec(&Attach { source, ..Attach::new("orders-1", Role::Receiver) });
    /// let mut attach: View<'_, Attach<'_>> = Reader::new(&body).read()?;
    /// assert_eq!(attach.filter(), Map::EMPTY);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn filter(&mut self) -> Map<'a> {
        const SOURCE: u8 = Attach::DEFINITION.place("source");
        let source: Option<View<'a, Source<'a>>> = self.field(SOURCE);
        source.and_then(|mut source| source.filter()).unwrap_or(Map::EMPTY)
    }
}
