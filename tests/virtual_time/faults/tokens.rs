//! Shared access signatures, and the node that takes them.

use servicebus_core::servicebus::sas;
use servicebus_core::time::Duration;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tests::administrator::{Administrator, HOST};
use servicebus_tests::broker::*;
use servicebus_tests::fault::Judge;

/// Audiences without a scheme, and whether they are for the queue `queue`.
fn audiences() -> Vec<(String, bool)> {
    vec![
        (HOST.to_owned(), true),
        (format!("{HOST}/"), true),
        (HOST.to_uppercase(), true),
        (format!("{HOST}/queue"), true),
        (format!("{HOST}/Queue/"), true),
        (format!("{HOST}/other"), false),
    ]
}

#[test]
fn a_signature_for_the_bare_host_is_taken_over_http_f2() {
    let mut judge = Judge::new();
    for (audience, covers) in audiences() {
        let mut world = World::with_queue(QueueDescription::default());
        world.queue("other", QueueDescription::default());
        let administrator = Administrator { audience: audience.clone(), ..Administrator::default() };
        let status = administrator.get(&mut world, "/queue?api-version=2021-05").status;
        if covers {
            judge.equal(audience, status, 200, 401);
        } else {
            judge.control(audience, status, |status| *status == 401);
        }
    }
    judge.finish();
}

#[test]
fn a_signature_for_the_bare_host_is_taken_by_cbs_f2() {
    let mut judge = Judge::new();
    for (audience, covers) in audiences() {
        for name in [format!("sb://{HOST}/queue"), format!("amqps://{HOST}/queue")] {
            let mut world = World::with_queue(QueueDescription::default());
            let client = world.connect_bare();
            let mut token = String::new();
            sas::sign(&audience, KEY_NAME, KEY, world.clock.utc + Duration::from_secs(60), &mut token).unwrap();
            let status = world.put_text(client, &name, &token).status();
            if covers {
                judge.equal(format!("{audience} put for {name}"), status, 202, 401);
            } else {
                judge.control(format!("{audience} put for {name}"), status, |status| *status == 401);
            }
        }
    }
    judge.finish();
}

#[test]
fn a_token_for_another_host_is_refused_a7() {
    let mut judge = Judge::new();
    for audience in [
        "sb://another.servicebus.windows.net/",
        "sb://another.servicebus.windows.net/queue",
        "amqps://another.servicebus.windows.net/queue",
        "https://example.com/",
        "sb://localhost.example.com/queue",
        "sb://127.0.0.2/queue",
    ] {
        let mut world = World::with_queue(QueueDescription::default());
        let client = world.connect_bare();
        let mut token = String::new();
        sas::sign(audience, KEY_NAME, KEY, world.clock.utc + Duration::from_secs(60), &mut token).unwrap();
        let status = world.put_text(client, "sb://localhost/queue", &token).status();
        judge.equal(audience, status, 401, 202);
    }
    judge.finish();
}

/// A second link to `$cbs` of this role: `Ok`, or how it was refused.
fn second(world: &mut World, client: usize, sends: bool) -> Result<(), Failure> {
    let link = if sends { world.sender(client, "$cbs") } else { world.receiver(client, "$cbs") };
    link.map(|_| ())
}

fn is_already_opened(result: &Result<(), Failure>) -> bool {
    result.as_ref().is_err_and(|failure| {
        failure.condition == "amqp:not-allowed" && failure.text.contains("$cbs node has already been opened")
    })
}

#[test]
fn a_connection_has_one_pair_of_links_to_cbs_f3() {
    let mut judge = Judge::new();
    for sends in [true, false] {
        for session in ["the same session", "another session"] {
            for renewed in [false, true] {
                let mut world = World::with_queue(QueueDescription::default());
                if renewed {
                    world.put_token(0, "sb://localhost/", KEY_NAME, KEY, Duration::from_secs(60));
                }
                if session == "another session" {
                    world.clients[0].session = world.clients[0].engine.begin().unwrap();
                }
                let result = second(&mut world, 0, sends);
                let role = if sends { "sender" } else { "receiver" };
                judge.case(format!("{role}, {session}, {renewed}"), result, is_already_opened, Result::is_ok);
            }
        }
    }
    // Another connection has its own.
    let mut world = World::with_queue(QueueDescription::default());
    let other = world.connect_bare();
    judge.control("another connection", second(&mut world, other, true), Result::is_ok);
    judge.finish();
}

#[test]
fn links_to_cbs_that_are_gone_make_room_for_others_f3() {
    for sends in [true, false] {
        let mut world = World::with_queue(QueueDescription::default());
        let (request, response) = world.node(0, "$cbs");
        world.detach(0, request);
        world.detach(0, response);
        assert_eq!(second(&mut world, 0, sends), Ok(()));
        // The end of the session, without a detach.
        let client = world.connect_bare();
        let first = world.clients[client].session;
        let kept = world.clients[client].engine.begin().unwrap();
        world.node(client, "$cbs");
        world.clients[client].engine.end(first, None);
        world.settle_down();
        world.clients[client].session = kept;
        assert_eq!(second(&mut world, client, sends), Ok(()));
    }
}
