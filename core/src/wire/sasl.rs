//! SASL frames (AMQP 1.0 §5.3).
//!
//! # Examples
//! ```
//! use servicebus_core::wire::frame::{Kind, Outgoing};
//! use servicebus_core::wire::sasl::{SaslCode, SaslFrame, SaslOutcome};
//! use servicebus_core::wire::{Reader, to_vec};
//!
//! let outcome = SaslOutcome { code: SaslCode::Ok, additional_data: None };
//! let frame = to_vec(&Outgoing { kind: Kind::Sasl, channel: 0, body: &outcome });
//! assert_eq!(Reader::new(&frame[8..]).read(), Ok(SaslFrame::Outcome(outcome)));
//! ```

use super::composite::Mandatory;
use super::view::Items;
use super::{Decode, DecodeError, Decoder, Encode, Expected, Multiple, Sink, Symbol, View};
use core::fmt;

composite! {
    /// The mechanisms a server offers (AMQP 1.0 §5.3.3.1).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::sasl::SaslMechanisms;
    /// use servicebus_core::wire::{Multiple, Reader, Symbol, View, to_vec};
    ///
    /// let names = [Symbol::new("MSSBCBS"), Symbol::new("ANONYMOUS")];
    /// let bytes = to_vec(&SaslMechanisms { sasl_server_mechanisms: Multiple::new(&names) });
    /// let mut offered: View<'_, SaslMechanisms<'_>> = Reader::new(&bytes).read()?;
    /// assert!(offered.sasl_server_mechanisms().iter().any(|name| name.as_str() == "ANONYMOUS"));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    SaslMechanisms<'a> = 0x40 "amqp:sasl-mechanisms:list" {
        /// Their names.
        sasl_server_mechanisms: Multiple<'a> [mandatory],
    }

    /// The mechanism a client chooses (AMQP 1.0 §5.3.3.2).
    ///
    /// # Examples
    /// Its `Debug` leaves the password out.
    ///
    /// ```
    /// use servicebus_core::wire::Symbol;
    /// use servicebus_core::wire::sasl::SaslInit;
    ///
    /// let init = SaslInit {
    ///     mechanism: Symbol::new("PLAIN"),
    ///     initial_response: Some(b"\0clerk\0secret"),
    ///     hostname: None,
    /// };
    /// assert_eq!(format!("{init:?}"), "SaslInit { mechanism: :PLAIN, hostname: None, .. }");
    /// ```
    SaslInit<'a> = 0x41 "amqp:sasl-init:list" {
        /// Its name.
        mechanism: Symbol<'a> [mandatory],
        /// The mechanism's first message.
        initial_response: &'a [u8] [optional],
        /// The host the client means.
        hostname: &'a str [optional],
    }

    /// A server's question (AMQP 1.0 §5.3.3.3).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::sasl::{SaslChallenge, SaslFrame};
    /// use servicebus_core::wire::{Reader, to_vec};
    ///
    /// let challenge = SaslChallenge { challenge: b"nonce" };
    /// let bytes = to_vec(&challenge);
    /// assert_eq!(Reader::new(&bytes).read(), Ok(SaslFrame::Challenge(challenge)));
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    SaslChallenge<'a> = 0x42 "amqp:sasl-challenge:list" {
        /// The mechanism's data.
        challenge: &'a [u8] [mandatory],
    }

    /// A client's answer (AMQP 1.0 §5.3.3.4).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::sasl::{SaslFrame, SaslResponse};
    /// use servicebus_core::wire::{Reader, to_vec};
    ///
    /// let response = SaslResponse { response: b"proof" };
    /// let bytes = to_vec(&response);
    /// assert_eq!(Reader::new(&bytes).read(), Ok(SaslFrame::Response(response)));
    /// ```
    SaslResponse<'a> = 0x43 "amqp:sasl-response:list" {
        /// The mechanism's data.
        response: &'a [u8] [mandatory],
    }

    /// How it ended (AMQP 1.0 §5.3.3.5).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::sasl::{SaslCode, SaslOutcome};
    /// use servicebus_core::wire::{Reader, View, to_vec};
    ///
    /// let bytes = to_vec(&SaslOutcome { code: SaslCode::Auth, additional_data: None });
    /// let mut outcome: View<'_, SaslOutcome<'_>> = Reader::new(&bytes).read()?;
    /// assert_eq!(outcome.code(), SaslCode::Auth);
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    #[derive(Debug)]
    #[cfg_attr(feature = "defmt", derive(defmt::Format))]
    SaslOutcome<'a> = 0x44 "amqp:sasl-outcome:list" {
        /// The result.
        code: SaslCode [mandatory],
        /// The mechanism's last data.
        additional_data: &'a [u8] [optional],
    }
}

choice! {
    /// The result of a SASL exchange (AMQP 1.0 §5.3.3.6).
    ///
    /// # Examples
    /// ```
    /// use servicebus_core::wire::sasl::SaslCode;
    ///
    /// fn is_worth_another_try(code: SaslCode) -> bool {
    ///     match code {
    ///         SaslCode::Sys | SaslCode::SysTemp => true,
    ///         SaslCode::Ok | SaslCode::Auth | SaslCode::SysPerm => false,
    ///     }
    /// }
    ///
    /// assert!(!is_worth_another_try(SaslCode::Auth));
    /// ```
    SaslCode: u8 {
        /// Authenticated.
        Ok = 0,
        /// Refused for the credentials.
        Auth = 1,
        /// Failed for the system.
        Sys = 2,
        /// Failed for the system, for good.
        SysPerm = 3,
        /// Failed for the system, for now.
        SysTemp = 4,
    }
}

impl Mandatory for SaslCode {
    const ABSENT: Self = Self::Sys;
}

impl fmt::Debug for SaslInit<'_> {
    /// Without the response: it holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslInit")
            .field("mechanism", &self.mechanism)
            .field("hostname", &self.hostname)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SaslResponse<'_> {
    /// Without the response, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslResponse").finish_non_exhaustive()
    }
}

/// Any SASL frame's body.
///
/// # Examples
/// ```
/// use servicebus_core::wire::sasl::{SaslCode, SaslFrame, SaslOutcome};
/// use servicebus_core::wire::{Reader, to_vec};
///
/// let bytes = to_vec(&SaslOutcome { code: SaslCode::Ok, additional_data: Some(b"Welcome!") });
/// let welcome = match Reader::new(&bytes).read()? {
///     SaslFrame::Outcome(outcome) if outcome.code == SaslCode::Ok => outcome.additional_data,
///     _ => None,
/// };
/// assert_eq!(welcome, Some(&b"Welcome!"[..]));
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SaslFrame<'a> {
    /// `sasl-mechanisms`
    Mechanisms(SaslMechanisms<'a>),
    /// `sasl-init`
    Init(SaslInit<'a>),
    /// `sasl-challenge`
    Challenge(SaslChallenge<'a>),
    /// `sasl-response`
    Response(SaslResponse<'a>),
    /// `sasl-outcome`
    Outcome(SaslOutcome<'a>),
}

/// Any SASL frame's body as it came.
///
/// # Examples
/// ```
/// use servicebus_core::wire::sasl::{SaslChallenge, SaslView};
/// use servicebus_core::wire::{Reader, to_vec};
///
/// let bytes = to_vec(&SaslChallenge { challenge: b"nonce" });
/// match Reader::new(&bytes).read()? {
///     SaslView::Challenge(mut challenge) => assert_eq!(challenge.challenge(), b"nonce"),
///     other => panic!("not what was sent: {other:?}"),
/// }
/// # Ok::<(), servicebus_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub enum SaslView<'a> {
    /// `sasl-mechanisms`
    Mechanisms(View<'a, SaslMechanisms<'a>>),
    /// `sasl-init`
    Init(View<'a, SaslInit<'a>>),
    /// `sasl-challenge`
    Challenge(View<'a, SaslChallenge<'a>>),
    /// `sasl-response`
    Response(View<'a, SaslResponse<'a>>),
    /// `sasl-outcome`
    Outcome(View<'a, SaslOutcome<'a>>),
}

impl<'a> SaslView<'a> {
    /// All of it.
    ///
    /// # Errors
    /// What is wrong with one of its fields.
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::wire::sasl::{SaslChallenge, SaslFrame, SaslView};
    /// # use servicebus_core::wire::{Reader, to_vec};
    /// # let bytes = to_vec(&SaslChallenge { challenge: b"nonce" });
    /// let mut view: SaslView<'_> = Reader::new(&bytes).read()?;
    /// assert_eq!(view.whole()?, SaslFrame::Challenge(SaslChallenge { challenge: b"nonce" }));
    /// # Ok::<(), servicebus_core::wire::DecodeError>(())
    /// ```
    pub fn whole(&mut self) -> Result<SaslFrame<'a>, DecodeError> {
        Ok(match self {
            Self::Mechanisms(view) => SaslFrame::Mechanisms(view.whole()?),
            Self::Init(view) => SaslFrame::Init(view.whole()?),
            Self::Challenge(view) => SaslFrame::Challenge(view.whole()?),
            Self::Response(view) => SaslFrame::Response(view.whole()?),
            Self::Outcome(view) => SaslFrame::Outcome(view.whole()?),
        })
    }
}

impl<'a> Decode<'a> for SaslView<'a> {
    #[inline]
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        let code = decoder.descriptor(Expected::SaslFrame)?;
        if !(0x40..=0x44).contains(&code) {
            return decoder.unexpected_descriptor(Expected::SaslFrame, code);
        }
        let items = Items::list(decoder, code)?;
        Some(match code {
            0x40 => Self::Mechanisms(items.into()),
            0x41 => Self::Init(items.into()),
            0x42 => Self::Challenge(items.into()),
            0x43 => Self::Response(items.into()),
            _ => Self::Outcome(items.into()),
        })
    }
}

impl<'a> Decode<'a> for SaslFrame<'a> {
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        match SaslView::decode(decoder)?.whole() {
            Ok(frame) => Some(frame),
            Err(error) => decoder.fail(error),
        }
    }
}

impl Encode for SaslFrame<'_> {
    fn encode(&self, sink: &mut Sink<'_>) {
        match self {
            Self::Mechanisms(v) => v.encode(sink),
            Self::Init(v) => v.encode(sink),
            Self::Challenge(v) => v.encode(sink),
            Self::Response(v) => v.encode(sink),
            Self::Outcome(v) => v.encode(sink),
        }
    }
}
