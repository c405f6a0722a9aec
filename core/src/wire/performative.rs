//! The performatives (AMQP 1.0 §2.7) and what they are made of.

use super::composite::Mandatory;
use super::messaging::{DeliveryState, Source, Target};
use super::transaction::Coordinator;
use super::view::Items;
use super::{Composite, Decode, DecodeError, Decoder, Encode, Expected, Fields, Map, Multiple, Sink, View};

pub use super::error_condition::ErrorCondition;

composite! {
    /// Negotiates connection parameters (AMQP 1.0 §2.7.1).
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
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    End<'a> = 0x17 "amqp:end:list" {
        /// Why.
        error: ErrorCondition<'a> [optional],
    }

    /// Closes a connection (AMQP 1.0 §2.7.9).
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    Close<'a> = 0x18 "amqp:close:list" {
        /// Why.
        error: ErrorCondition<'a> [optional],
    }
}

choice! {
    /// A link endpoint's role (AMQP 1.0 §2.8.1).
    Role: bool {
        /// Sends messages.
        Sender = false,
        /// Receives messages.
        Receiver = true,
    }

    /// When a sender settles (AMQP 1.0 §2.8.2).
    SenderSettleMode: u8 {
        /// Every delivery is sent unsettled.
        Unsettled = 0,
        /// Every delivery is sent settled.
        Settled = 1,
        /// The sender decides for each delivery.
        Mixed = 2,
    }

    /// When a receiver settles (AMQP 1.0 §2.8.3).
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
    pub const fn other(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}

/// What can stand in an attach's target: a node, or a transaction coordinator (AMQP 1.0 §4.5.1).
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
    pub fn is_refusal(&mut self) -> bool {
        const SOURCE: u8 = Attach::DEFINITION.place("source");
        const TARGET: u8 = Attach::DEFINITION.place("target");
        let terminus = if self.role() == Role::Sender { SOURCE } else { TARGET };
        !self.has(terminus)
    }

    /// The filters of the source; none when it is null.
    pub fn filter(&mut self) -> Map<'a> {
        const SOURCE: u8 = Attach::DEFINITION.place("source");
        let source: Option<View<'a, Source<'a>>> = self.field(SOURCE);
        source.and_then(|mut source| source.filter()).unwrap_or(Map::EMPTY)
    }
}
