//! SASL frames (AMQP 1.0 §5.3).

use super::composite::FromFields;
use super::performative::choice;
use super::{Decode, Decoder, Encode, Expected, Fields, Multiple, Sink, Symbol};

composite! {
    /// The mechanisms a server offers (AMQP 1.0 §5.3.3.1).
    SaslMechanisms<'a> = 0x40 "amqp:sasl-mechanisms:list" {
        /// Their names.
        sasl_server_mechanisms: Multiple<'a> [mandatory],
    }

    /// The mechanism a client chooses (AMQP 1.0 §5.3.3.2).
    SaslInit<'a> = 0x41 "amqp:sasl-init:list" {
        /// Its name.
        mechanism: Symbol<'a> [mandatory],
        /// The mechanism's first message.
        initial_response: &'a [u8] [optional],
        /// The host the client means.
        hostname: &'a str [optional],
    }

    /// A server's question (AMQP 1.0 §5.3.3.3).
    SaslChallenge<'a> = 0x42 "amqp:sasl-challenge:list" {
        /// The mechanism's data.
        challenge: &'a [u8] [mandatory],
    }

    /// A client's answer (AMQP 1.0 §5.3.3.4).
    SaslResponse<'a> = 0x43 "amqp:sasl-response:list" {
        /// The mechanism's data.
        response: &'a [u8] [mandatory],
    }

    /// How it ended (AMQP 1.0 §5.3.3.5).
    SaslOutcome<'a> = 0x44 "amqp:sasl-outcome:list" {
        /// The result.
        code: SaslCode [mandatory],
        /// The mechanism's last data.
        additional_data: &'a [u8] [optional],
    }
}

choice! {
    /// The result of a SASL exchange (AMQP 1.0 §5.3.3.6).
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

/// Any SASL frame's body.
#[derive(Clone, Copy, Debug, PartialEq)]
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

impl<'a> Decode<'a> for SaslFrame<'a> {
    fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        let code = decoder.descriptor(Expected::SaslFrame)?;
        if !(0x40..=0x44).contains(&code) {
            return decoder.unexpected_descriptor(Expected::SaslFrame, code);
        }
        let mut fields = Fields::list(decoder, code)?;
        let value = match code {
            0x40 => Self::Mechanisms(FromFields::from_fields(&mut fields)),
            0x41 => Self::Init(FromFields::from_fields(&mut fields)),
            0x42 => Self::Challenge(FromFields::from_fields(&mut fields)),
            0x43 => Self::Response(FromFields::from_fields(&mut fields)),
            _ => Self::Outcome(FromFields::from_fields(&mut fields)),
        };
        fields.finish();
        Some(value)
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
