//! The AMQP sessions of the connection: which one a link is attached on.

use crate::engine::{Capacity, Connection, EngineError, LinkId, SessionId};
use crate::storage::{Storage, Table, TableOf, room};
use crate::wire::messaging::Source;
use crate::wire::performative::{Attach, ReceiverSettleMode, Role, SenderSettleMode, TargetArchetype};
use crate::wire::transaction::Coordinator;
use core::fmt;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    /// Messages of the application.
    Messages,
    /// Requests and their responses.
    Requests,
}

/// An AMQP session.
#[derive(Clone, Copy, Debug)]
struct Session {
    id: SessionId,
    traffic: Traffic,
}

/// The AMQP sessions of a connection. Requests have one of their own, so that neither messages that wait to be taken nor
/// a peer that grants no window for messages can stop tokens and settlements. Where there is one place for a session,
/// they share it. With transactions, requests to entities are on the session of the coordinator.
pub(super) struct Sessions<S: Storage> {
    /// Each session for messages begins with a coordinator: transactions span entities then.
    coordinated: bool,
    table: TableOf<S, room::Sessions, Session>,
}

impl<S: Storage> Sessions<S> {
    pub(super) fn new(limit: usize, coordinated: bool) -> Self {
        Self { coordinated, table: Table::bounded(limit) }
    }

    /// Attaches on the newest session for this traffic that has a free handle, or on a new one: the service allows 255
    /// links each. Where no other can begin, on any.
    ///
    /// # Errors
    /// No room for a session, a link or a frame.
    pub(super) fn attach(
        &mut self,
        connection: &mut Connection<S>,
        traffic: Traffic,
        attach: &Attach<'_>,
    ) -> Result<LinkId, EngineError> {
        let shares = self.table.capacity() == 1;
        let traffic = if shares { Traffic::Messages } else { traffic };
        let mut full = None;
        for own in [true, false] {
            for place in (0..self.table.end()).rev() {
                let found = self.table.get(place).filter(|session| (session.traffic == traffic) == own);
                let Some(&Session { id, .. }) = found else { continue };
                match connection.attach(id, attach) {
                    Err(error @ (EngineError::NoCapacity(Capacity::Links) | EngineError::Detached)) => {
                        full = Some(error);
                    }
                    other => return other,
                }
            }
            if own {
                let error = match self.begin(connection, traffic) {
                    Ok(session) => {
                        if self.coordinated && traffic == Traffic::Messages {
                            coordinate(connection, session, attach.name)?;
                        }
                        return connection.attach(session, attach);
                    }
                    Err(error) => error,
                };
                full.get_or_insert(error);
                if shares || error != EngineError::NoCapacity(Capacity::Sessions) {
                    break;
                }
            }
        }
        Err(full.unwrap_or(EngineError::NoCapacity(Capacity::Sessions)))
    }

    fn begin(&mut self, connection: &mut Connection<S>, traffic: Traffic) -> Result<SessionId, EngineError> {
        let id = match traffic {
            Traffic::Messages => connection.begin(),
            Traffic::Requests => connection.begin_apart(),
        }?;
        if self.table.insert(Session { id, traffic }).is_err() {
            connection.end(id, None);
            return Err(EngineError::NoCapacity(Capacity::Sessions));
        }
        Ok(id)
    }

    /// A session is over.
    pub(super) fn ended(&mut self, id: SessionId) {
        for place in 0..self.table.end() {
            if self.table.get(place).is_some_and(|session| session.id == id) {
                self.table.free(place);
            }
        }
    }
}

/// Attaches the coordinator that a session begins with. No transaction uses it, as in the official SDKs (recording
/// `transaction-cross-entity`): the service looks at the session's first link.
fn coordinate<S: Storage>(connection: &mut Connection<S>, session: SessionId, name: &str) -> Result<(), EngineError> {
    // Known to the compiler: without transactions none of this is linked.
    if size_of::<crate::storage::TransactionOf<S>>() == 0 {
        return Ok(());
    }
    let mut own = heapless::String::<40>::new();
    fmt::write(&mut own, format_args!("{name}-c")).map_err(|_| EngineError::IllegalState)?;
    let coordinator = Attach {
        name: &own,
        handle: 0,
        role: Role::Sender,
        snd_settle_mode: SenderSettleMode::Unsettled,
        rcv_settle_mode: ReceiverSettleMode::First,
        source: Some(Source::new(Some(&own))),
        target: Some(TargetArchetype::Coordinator(Coordinator { capabilities: None })),
        unsettled: None,
        incomplete_unsettled: false,
        initial_delivery_count: Some(0),
        max_message_size: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    };
    connection.attach(session, &coordinator)?;
    Ok(())
}
