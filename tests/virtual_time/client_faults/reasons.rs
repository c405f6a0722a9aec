//! The service's reason for a failure reaches the application.

use crate::scripted::{self, Server};
use crate::stage::{Ending, MINUTE, SECOND, ending, observe, on_both_storages, settings_of, within, world};
use servicebus_core::client::ErrorKind;
use servicebus_core::servicebus::{MessageRef, Reason, RetryPolicy};
use servicebus_core::time::Duration;
use servicebus_core::wire::messaging::{DeliveryState, Modified, Outcome, Rejected};
use servicebus_core::wire::performative::{ErrorCondition, Performative};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::engine::Item;
use servicebus_tests::fault::Judge;
use servicebus_tests::storages::Complete;
use servicebus_tests::told::Told;

/// How a call ends when each link to `q` is answered and detached for this reason so long after.
fn refused<S: Complete>(condition: &'static str, wait: Duration, sends: bool) -> Ending {
    let script = move |server: &mut Server, item: &Item<'_>| {
        let Item::Frame(_, Performative::Attach(attach), _) = item else { return false };
        let Some(link) = server.link(attach.handle).filter(|link| link.address == "q") else { return false };
        // Credit comes with the answer, so that a message may be on its way.
        server.accept(&link, 10);
        server.send_bytes(wait, Vec::new());
        server.detach(&link, condition);
        true
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, _) = scripted::client(&world, settings_of::<S>(&world, RetryPolicy::none()), script);
        if sends {
            ending(&world, MINUTE, client.sender("q").unwrap().send(&MessageRef::new("x"))).await
        } else {
            ending(&world, MINUTE, client.receiver("q").unwrap().receive(SECOND * 10)).await
        }
    })
}

fn a_link_reports_the_reason<S: Complete>() {
    let mut judge = Judge::new();
    for reason in [
        Reason::Unauthorized,
        Reason::EntityNotFound,
        Reason::EntityDisabled,
        Reason::NotAllowed,
        Reason::QuotaExceeded,
        Reason::InternalError,
        Reason::ServerBusy,
    ] {
        for wait in [Duration::ZERO, SECOND / 10] {
            for sends in [true, false] {
                let result = refused::<S>(reason.condition(), wait, sends).map(|(_, result)| result);
                let case = format!("{reason:?} {wait:?} after the answer, a send: {sends}");
                judge.equal(
                    case,
                    result,
                    Some(Err(Told::Service(reason))),
                    Some(Err(Told::Kind(ErrorKind::Disconnected))),
                );
            }
        }
    }
    judge.finish();
}

/// The error with which a send fails for an outcome, and its text.
fn outcome<S: Complete>(state: &DeliveryState<'static>) -> Option<(Told, String)> {
    let state = *state;
    let script = move |server: &mut Server, item: &Item<'_>| {
        let Item::Frame(_, Performative::Transfer(transfer), _) = item else { return false };
        if server.link(transfer.handle).is_none_or(|link| link.address != "q") {
            return false;
        }
        server.settle(transfer.delivery_id.expect("one frame"), state);
        true
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, _) = scripted::client(&world, settings_of::<S>(&world, RetryPolicy::none()), script);
        let sender = client.sender("q").unwrap();
        let ended = within(&world, MINUTE, sender.send(&MessageRef::new("x"))).await;
        ended.expect("it ends").1.err().map(|error| (Told::of(&error), error.to_string()))
    })
}

fn every_outcome_has_a_name<S: Complete>() {
    let rejected =
        |condition| DeliveryState::Outcome(Outcome::Rejected(Rejected { error: Some(ErrorCondition::new(condition)) }));
    let modified = |delivery_failed, undeliverable_here| {
        let modified = Modified { delivery_failed, undeliverable_here, message_annotations: None };
        DeliveryState::Outcome(Outcome::Modified(modified))
    };
    let mut judge = Judge::new();
    let (released, modified_is) = ("the service released the message", "the service modified the message");
    let not_accepted = Told::Kind(ErrorKind::NotAccepted);
    for (name, state, told, text) in [
        ("released", DeliveryState::RELEASED, not_accepted, released),
        ("modified", modified(None, None), not_accepted, modified_is),
        ("modified, failed", modified(Some(true), None), not_accepted, modified_is),
        ("modified, undeliverable", modified(None, Some(true)), not_accepted, modified_is),
        (
            "rejected for its size",
            rejected("amqp:link:message-size-exceeded"),
            Told::Service(Reason::MessageSizeExceeded),
            "MessageSizeExceeded",
        ),
        (
            "rejected by a quota",
            rejected("amqp:resource-limit-exceeded"),
            Told::Service(Reason::QuotaExceeded),
            "QuotaExceeded",
        ),
    ] {
        let right = |ended: &Option<(Told, String)>| {
            ended.as_ref().is_some_and(|(is, words)| *is == told && words.contains(text))
        };
        let lost = |ended: &Option<(Told, String)>| {
            ended.as_ref().is_some_and(|(is, _)| *is == Told::Kind(ErrorKind::Disconnected))
        };
        judge.case(name, outcome::<S>(&state), right, lost);
    }
    judge.finish();
}

on_both_storages! {
    a_link_that_is_detached_at_once_reports_the_reason_h7 => a_link_reports_the_reason;
    every_outcome_of_a_send_has_a_name_of_its_own_h7 => every_outcome_has_a_name;
}
