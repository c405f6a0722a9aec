//! What the futures of the client's calls take, read from the image's symbols by `audit sizes`. A future lives in that of
//! the task that awaits it, so its size is RAM of the application beside `Resources` and the runner.

use crate::whole_client::{Board, telemetry};
use core::future::Future;
use servicebus_core::servicebus::{MessageBatch, MessageRef};
use servicebus_embassy::{Client, Sender};

type Call<A, F> = fn(A) -> F;

/// The size of the future that a call returns.
const fn size_of_future<A, F: Future>(_: &Call<A, F>) -> usize {
    size_of::<F>()
}

/// An array of each future's size, of no use but to have a size and a name.
macro_rules! sizes {
    ($($name:ident: $call:expr;)*) => { $(
        #[used]
        static $name: [u8; size_of_future::<_, _>(&($call as Call<_, _>))] = [0; _];
    )* };
}

type Sending = (&'static Sender<Board>, &'static MessageRef<'static>);

// What the image `client` awaits without features.
sizes! {
    SIZE_OF_USED_SEND: |(sender, message): Sending| sender.send(message);
    SIZE_OF_USED_CREATE_BATCH: |sender: &'static Sender<Board>| sender.create_batch();
    SIZE_OF_USED_SEND_BATCH: |(sender, batch): (&'static Sender<Board>, MessageBatch<Board>)| sender.send_batch(batch);
    SIZE_OF_USED_CLOSE_SENDER: |sender: &'static Sender<Board>| sender.close();
    SIZE_OF_USED_CLOSE_CLIENT: |client: &'static Client<Board>| client.close();
}

sizes! {
    SIZE_OF_TASK_TELEMETRY: telemetry;
}

sizes! {
    SIZE_OF_CALL_SEND_ALL: |(sender, messages): (&'static Sender<Board>, &'static [MessageRef<'static>])| {
        sender.send_all(messages)
    };
    SIZE_OF_CALL_SIZE_LIMITS: |sender: &'static Sender<Board>| sender.size_limits();
}

// What it awaits with the feature `commands`, and what it may await then.
#[cfg(feature = "commands")]
mod commands {
    use super::{Board, Call, Sender, Sending, size_of_future};
    use servicebus_core::servicebus::ReceivedMessage;
    use servicebus_core::time::{Duration, Timestamp};
    use servicebus_embassy::{Receiver, RuleManager};

    type Receiving = &'static Receiver<Board>;
    type Settling = (Receiving, &'static ReceivedMessage<Board>);

    sizes! {
        SIZE_OF_USED_RECEIVE: |receiver: Receiving| receiver.receive(Duration::from_secs(1));
        SIZE_OF_USED_COMPLETE: |(receiver, message): Settling| receiver.complete(message);
        SIZE_OF_USED_ABANDON: |(receiver, message): Settling| receiver.abandon(message);
        SIZE_OF_USED_DEFER: |(receiver, message): Settling| receiver.defer(message);
        SIZE_OF_USED_DEAD_LETTER: |(receiver, message): Settling| receiver.dead_letter(message, Default::default());
        SIZE_OF_USED_CLOSE_RECEIVER: |receiver: Receiving| receiver.close();
        SIZE_OF_CALL_SCHEDULE: |(sender, message): Sending| sender.schedule(message, Timestamp::UNIX_EPOCH);
        SIZE_OF_CALL_CANCEL_SCHEDULED: |(sender, numbers): (&'static Sender<Board>, &'static [i64])| {
            sender.cancel_scheduled(numbers)
        };
        SIZE_OF_CALL_NEXT: |receiver: Receiving| receiver.next();
        SIZE_OF_CALL_RECEIVE_EACH: |receiver: Receiving| receiver.receive_each(8, None, drop);
        SIZE_OF_CALL_RENEW_LOCK: |(receiver, message): (Receiving, &'static mut ReceivedMessage<Board>)| {
            receiver.renew_lock(message)
        };
        SIZE_OF_CALL_PEEK_EACH: |receiver: Receiving| receiver.peek_each(1, 8, drop);
        SIZE_OF_CALL_RECEIVE_DEFERRED_EACH: |(receiver, numbers): (Receiving, &'static [i64])| {
            receiver.receive_deferred_each(numbers, drop)
        };
        SIZE_OF_CALL_PURGE: |receiver: Receiving| receiver.purge(Timestamp::UNIX_EPOCH);
        SIZE_OF_CALL_REMOVE_RULE: |rules: &'static RuleManager<Board>| rules.remove("rule");
    }
}

#[cfg(feature = "full")]
mod sessions {
    use super::{Board, Call, Client, size_of_future};
    use servicebus_core::servicebus::{Entity, LockToken};
    use servicebus_core::time::Duration;
    use servicebus_embassy::{LockRenewal, SessionReceiver};

    type Text = &'static str;
    type Session = &'static SessionReceiver<Board>;

    sizes! {
        SIZE_OF_CALL_ACCEPT_SESSION: |(client, id): (&'static Client<Board>, Text)| {
            client.accept_session(Entity::queue("sessions"), id)
        };
        SIZE_OF_CALL_ACCEPT_NEXT_SESSION: |client: &'static Client<Board>| {
            client.accept_next_session(Entity::queue("sessions"), Duration::from_secs(1))
        };
        SIZE_OF_CALL_TAKE_OVER_SESSION: |(client, id, token): (&'static Client<Board>, Text, LockToken)| {
            client.take_over_session(Entity::queue("sessions"), id, token)
        };
        SIZE_OF_CALL_RENEW_SESSION_LOCK: |session: Session| session.renew_session_lock();
        SIZE_OF_CALL_SESSION_STATE: |session: Session| session.state();
        SIZE_OF_CALL_SET_SESSION_STATE: |(session, state): (Session, &'static [u8])| session.set_state(Some(state));
        SIZE_OF_CALL_CLOSE_SESSION: |session: Session| session.close();
        SIZE_OF_CALL_RENEWAL_ENDED: |renewal: &'static mut LockRenewal<'static, Board>| renewal.ended();
    }
}

#[cfg(feature = "full")]
mod transactions {
    use super::{Board, Call, MessageRef, Sender, size_of_future};
    use servicebus_core::servicebus::ReceivedMessage;
    use servicebus_embassy::{Receiver, Transaction, TransactionController};

    type Within = &'static Transaction<Board>;

    sizes! {
        SIZE_OF_CALL_BEGIN_TRANSACTION: |transactions: &'static TransactionController<Board>| transactions.begin();
        SIZE_OF_CALL_SEND_IN_TRANSACTION: |(within, sender, message): (
            Within,
            &'static Sender<Board>,
            &'static MessageRef<'static>,
        )| within.send(sender, message);
        SIZE_OF_CALL_COMPLETE_IN_TRANSACTION: |(within, receiver, message): (
            Within,
            &'static Receiver<Board>,
            &'static ReceivedMessage<Board>,
        )| within.complete(receiver, message);
        SIZE_OF_CALL_COMMIT: |transaction: Transaction<Board>| transaction.commit();
    }
}
