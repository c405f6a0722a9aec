//! What each call guarantees and how long it takes, what to do about an error, and what is logged at which level.
//!
//! # Calls
//!
//! Every async method states three things in fixed words: what a dropped future leaves behind (*cancel safety*), how long it
//! takes at most (*bound*), and, where a message moves, how often that happens (*guarantee*).
//!
//! | call | guarantee | bound | a dropped future |
//! |---|---|---|---|
//! | `Sender::send`, `send_batch` | at least once: an attempt whose answer was lost is repeated. With duplicate detection on the entity exactly once, since each attempt has the same message id | the retry policy | may still have sent |
//! | `Sender::schedule` | at most once: an attempt whose answer was lost is not repeated, and its outcome is unknown | the retry policy | may still have scheduled |
//! | `Sender::send_all` | at least once; the error tells how many were stored | the retry policy for each batch | may still have sent |
//! | `Sender::enqueue`, and its `Delivery` | at least once where the delivery was awaited; at most once where it was dropped | the retry policy for the place, and for the outcome | may have sent once |
//! | `Sender::create_batch`, `size_limits` | | the retry policy | nothing is lost |
//! | `Sender::cancel_scheduled` | at least once | the retry policy | may still have cancelled |
//! | `Receiver::receive`, `receive_messages`, `receive_each` | at least once with locks; at most once with receive-and-delete | the time given | has taken no message |
//! | `Receiver::next`, `messages` | the same | none: until the client closes | has taken no message |
//! | `Receiver::receive_deferred`, `receive_deferred_each` | the same | the retry policy | locks may have been taken until they end |
//! | `Receiver::complete`, `abandon`, `defer`, `dead_letter`, `settle_by_token` | at least once, which is harmless: a message is settled once, and a lost lock is an error | the retry policy | may still have settled |
//! | `Receiver::renew_lock`, `SessionReceiver::renew_session_lock` | | the retry policy | may still have renewed |
//! | `Receiver::peek`, `Peeker::peek`, `RuleManager::list`, `list_each`, `Client::list_sessions`, `list_sessions_each` | | the retry policy | nothing is lost |
//! | `Receiver::delete_messages` | at most once | one attempt | may still have deleted |
//! | `Receiver::purge` | at least once | the retry policy for each round | may still have deleted |
//! | `RuleManager::add`, `remove`, `SessionReceiver::state`, `set_state`, `state_json`, `set_state_json` | at least once | the retry policy | may still have changed it |
//! | `Client::accept_session`, `take_over_session` | | the retry policy | leaves no lock behind |
//! | `Client::accept_next_session` | | the time given | leaves no lock behind |
//! | `Client::begin_transaction`, `TransactionController::begin` | | the retry policy | the transaction ends by itself |
//! | `Transaction::send`, `send_batch`, `schedule`, `settle`, `complete`, `ProcessorMessage::settle_in`, `complete_in` | at most once, and only when the transaction commits | one attempt | may still have happened |
//! | `Transaction::commit`, `roll_back` | all or nothing; unknown when the answer is lost | one attempt | may have committed, or rolls back |
//! | `Processor::run`, `SessionProcessor::run` | at least once with locks; at most once with receive-and-delete | none: until it is stopped | cancels its handlers; their messages come again |
//! | `Client::ready` | | the time given | nothing is lost |
//! | `Client::disconnect` | | twelve seconds | the connection ends all the same |
//! | `close` of every handle | what is under way is waited for | one attempt, and ten seconds | closes all the same |
//! | `AdministrationClient` | at least once; an update with an ETag at most once | the retry policy | may still have happened |
//!
//! `timeout(limit)` of a sender, receiver, session receiver, rule manager or transaction controller is a clone whose calls end
//! within `limit`, whatever the policy allows. Whether a call that failed has happened is [`Error::outcome`](crate::client::Error::outcome).
//!
//! # The retry policy, in seconds
//!
//! A call makes `max_retries + 1` attempts of `try_timeout` each at most. Between attempt *n* (from zero) and the next one it
//! waits for `delay · 2ⁿ` (`delay` in fixed mode), at most `max_delay`, up to a fifth longer by chance, and for 4 s at least
//! when the service was busy:
//!
//! ```text
//! worst case = (max_retries + 1) · try_timeout + Σ max(1.2 · min(delay · 2ⁿ, max_delay), min(4 s, max_delay))
//! ```
//!
//! The default is 3 retries, exponential from 0.8 s up to 60 s, with 60 s for each attempt: **252 seconds** at worst, 246.72
//! seconds from a service that is silent and not busy. Opening the connection, its retries included, counts within the
//! attempts of the call that waits for it. A program that has to answer sooner uses `timeout`, or a policy of its own.
//!
//! # Errors
//!
//! | [`ErrorKind`](crate::client::ErrorKind) | what to do |
//! |---|---|
//! | `Rejected` | Correct the request or the entity: [`reason`](crate::client::Error::reason) and the text tell what the service refused. Not worth a repetition |
//! | `NotAccepted` | Send the message again |
//! | `LockLost` | Drop the message: it comes again. Renew locks (`AutoLockRenewer`), or handle faster |
//! | `SessionLockLost` | Accept the session again; what was not settled comes again |
//! | `SessionLocked` | Accept another session, or try again later |
//! | `NotFound` | Create the entity, or correct its name. For a message: it is settled or expired |
//! | `AlreadyExists` | Use what exists, or change it |
//! | `Unauthorized` | Correct the key, or the rights of the identity; a clock that is far off also shows here |
//! | `Credential` | Look at the credential's own error in [`source`](core::error::Error::source) |
//! | `Throttled` | Send less; the client has made its pauses already |
//! | `QuotaExceeded` | Receive from the entity, or raise its size |
//! | `TooLarge` | Split the message, or use another tier; the text names the limit |
//! | `Timeout` | Try again when the work still matters; ask [`outcome`](crate::client::Error::outcome) first where twice is harmful |
//! | `Disconnected` | The same; the client reconnects by itself |
//! | `Unavailable` | Try again later |
//! | `Protocol` | Correct the host, the port or the proxy |
//! | `NotOffered` | Do without it on this tier or entity |
//! | `InvalidArgument` | Correct the program: nothing was sent, and [`argument`](crate::client::Error::argument) names it |
//! | `Capacity` | Raise the number that [`capacity`](crate::client::Error::capacity) names, or use less at once |
//! | `Closed` | End: the client or the handle is closed, or its driver was dropped |
//!
//! [`is_transient`](crate::client::Error::is_transient) tells whether the same call can succeed later. A handler of a processor
//! returns errors with `?`: the message is abandoned and comes again; a `DeadLetter` moves it to the dead-letter queue.
//!
//! # Events in the log
//!
//! With feature `tracing` the client logs under the target `servicebus`, so that a filter is `servicebus=info`. With feature
//! `defmt` the same events go there, at the same levels and without spans: `DEFMT_LOG=info`. No event has a key, a token or a
//! body.
//!
//! | level | event | when |
//! |---|---|---|
//! | `warn` | `disconnected`, with `failure` and `pause_ms` | a connection was lost or could not be opened: once for each outage |
//! | `warn` | `session lost`, `a lock is lost`, `a lock was not renewed` | a session or message can go to another receiver; a renewal has failed and is tried again while the lock lasts |
//! | `warn` | `processor`, with `error` | an error of a processor without `on_error`: during an outage again and again |
//! | `warn` | `the credential does not answer`, `a link does not answer a drain: it is replaced` | an answer is overdue |
//! | `warn` | `the local clock is wrong`, with `utc` and `service` | the end of a lock shows that the local clock is not the service's |
//! | `warn` | `the driver was dropped before the client was closed` | the client's calls fail from then on |
//! | `info` | `connecting`, `still disconnected` | each attempt to connect, and each further one that fails |
//! | `info` | `connected` | the connection is open: also the end of an outage |
//! | `info` | `disconnected` without `failure`, `closed` | a clean end of the connection, and of the client |
//! | `debug` | `link attached`, `link detached`, `trying again` | links, and attempts of calls that are repeated |
//! | `debug` | `sent`, `received`, `settled`, `not settled`, `a lock was renewed` | each message |
//! | `trace` | `sends`, `receives`, `sends a transfer` | each frame, without payload |
//!
//! Spans of calls (`ServiceBus.send` and others), connections and handlers (`process`) have the level `info`, those of links
//! `debug`. There is no `warn` for the end of an outage: a program that logs each outage and its end once follows
//! [`Client::state_changed`](crate::client::Client::state_changed) and sets the filter to `servicebus=error`, which silences
//! the client.
//!
//! `servicebus-emulator` in the same process logs to the same subscriber under the target `servicebus_emulator`:
//! `servicebus_emulator=off` silences it.
