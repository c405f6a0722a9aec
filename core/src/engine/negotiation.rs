//! Before the first frame of a connection: protocol headers and the SASL layer (AMQP 1.0 §2.2, §5.3).

use super::link::name_hash;
use super::phase::{ConnectionRole, Phase};
use super::{Connection, ConnectionError, Handler, Violation};
use crate::storage::{Buffer, RxOf, Storage};
use crate::wire::frame::{Frame, Kind, Protocol};
use crate::wire::sasl::{SaslCode, SaslFrame, SaslMechanisms, SaslOutcome, SaslView};
use crate::wire::{Multiple, Reader, Symbol};

/// What a server offers, in the service's order.
// docs/evidence/service-evidence.md §1
const MECHANISMS: [Symbol<'static>; 4] =
    [Symbol::new("MSSBCBS"), Symbol::new("PLAIN"), Symbol::new("ANONYMOUS"), Symbol::new("EXTERNAL")];

impl<S: Storage> Connection<S> {
    #[inline(never)]
    pub(super) fn header<H: Handler>(&mut self, rx: &mut RxOf<S>) -> Result<bool, ConnectionError> {
        // Four bytes tell, and a TLS alert has only seven: the rest is not waited for, nor shown when it is there.
        let header = match rx.filled() {
            [b'A', b'M', b'Q', b'P', a, b, c, d, ..] => [b'A', b'M', b'Q', b'P', *a, *b, *c, *d],
            [] | [_] | [_, _] | [_, _, _] | [b'A', b'M', b'Q', b'P', ..] => return Ok(false),
            [a, b, c, d, ..] => [*a, *b, *c, *d, 0, 0, 0, 0],
        };
        let protocol = Protocol::parse(header);
        if protocol.is_none() {
            if H::SERVES && self.role == ConnectionRole::Server {
                // The answer to an unknown header is the one we would have liked (AMQP 1.0 §2.2).
                let _ = self.outbox.append(&Protocol::Sasl);
            }
            return Err(ConnectionError::NotAmqp(header));
        }
        rx.consume(8);
        self.phase = match (self.phase, protocol) {
            (Phase::AwaitFirstHeader, Some(Protocol::Sasl)) if H::SERVES => {
                let _ = self.outbox.append(&Protocol::Sasl);
                self.push_sasl(&SaslFrame::Mechanisms(SaslMechanisms {
                    sasl_server_mechanisms: Multiple::new(&MECHANISMS),
                }));
                Phase::AwaitInit
            }
            (Phase::AwaitFirstHeader, Some(Protocol::Amqp)) if H::SERVES => {
                let _ = self.outbox.append(&Protocol::Amqp);
                Phase::Amqp
            }
            (Phase::AwaitHeader, Some(Protocol::Amqp)) => {
                if H::SERVES && self.role == ConnectionRole::Server {
                    let _ = self.outbox.append(&Protocol::Amqp);
                }
                Phase::Amqp
            }
            (Phase::AwaitSaslHeader, Some(Protocol::Sasl)) => Phase::AwaitMechanisms,
            _ => return Err(ConnectionError::UnexpectedProtocol),
        };
        Ok(true)
    }

    #[inline(never)]
    pub(super) fn sasl<H: Handler>(&mut self, rx: &mut RxOf<S>, handler: &mut H) -> Result<bool, ConnectionError> {
        // SASL frames are never larger than 512 bytes (AMQP 1.0 §5.3.1); tokens inside PLAIN can be, so be generous.
        let limit = self.config.max_frame_size.min(rx.capacity() as u32);
        let Some(frame) = Frame::parse(rx.filled(), limit)? else { return Ok(false) };
        if frame.kind != Kind::Sasl {
            return Err(ConnectionError::Violation(Violation::IllegalState));
        }
        let size = frame.size;
        let body: SaslView<'_> = Reader::new(frame.body).read()?;
        match (self.phase, body) {
            (Phase::AwaitMechanisms, SaslView::Mechanisms(mut mechanisms)) => {
                let wanted = self.mechanism;
                let offered = mechanisms.sasl_server_mechanisms();
                mechanisms.check()?;
                if !offered.iter().any(|name| name_hash(name.as_str()) == wanted) {
                    return Err(ConnectionError::NoMechanism);
                }
                self.released += self.init_len;
                self.phase = Phase::AwaitSaslOutcome;
            }
            (Phase::AwaitInit, SaslView::Init(mut init)) if H::SERVES => {
                let init = init.whole()?;
                let offered = MECHANISMS.contains(&init.mechanism);
                let code = if offered { handler.authenticate(&init) } else { SaslCode::Auth };
                let welcome = (code == SaslCode::Ok).then_some(&b"Welcome!"[..]);
                self.push_sasl(&SaslFrame::Outcome(SaslOutcome { code, additional_data: welcome }));
                if code != SaslCode::Ok {
                    return Err(ConnectionError::Sasl(code));
                }
                self.phase = Phase::AwaitHeader;
            }
            (Phase::AwaitSaslOutcome, SaslView::Outcome(mut outcome)) => {
                let code = outcome.code();
                outcome.check()?;
                if code != SaslCode::Ok {
                    return Err(ConnectionError::Sasl(code));
                }
                self.released = usize::MAX;
                self.phase = Phase::AwaitHeader;
            }
            _ => return Err(ConnectionError::Violation(Violation::IllegalState)),
        }
        rx.consume(size);
        Ok(true)
    }
}
