//! Repeated failures are retried with growing pauses, and no longer than the policy allows.

use crate::scripted::{self, Server};
use crate::stage::{
    DAY, Ending, MINUTE, SECOND, add_queue, ended_by, ending, longest, observe, on_both_storages, policy, settings_of,
    world,
};
use crate::valve::Valve;
use servicebus_core::client::{ProcessorMessage, SessionProcessorOptions};
use servicebus_core::servicebus::{Entity, MessageRef, RetryMode, RetryPolicy};
use servicebus_core::time::Duration;
use servicebus_core::wire::performative::{Performative, Role};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::World;
use servicebus_tests::engine::Item;
use servicebus_tests::fault::Judge;
use servicebus_tests::handler::handler;
use servicebus_tests::storages::Complete;
use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

/// How often a session processor accepts in a minute when each session is detached for `condition` after `life`.
fn accepts_in_a_minute<S: Complete>(condition: &'static str, life: Duration, concurrent: usize) -> u32 {
    let accepts = Rc::new(Cell::new(0));
    let counted = Rc::clone(&accepts);
    let script = move |server: &mut Server, item: &Item<'_>| {
        let Item::Frame(_, Performative::Attach(attach), _) = item else { return false };
        let Some(link) = server.link(attach.handle).filter(|link| link.address == "q") else { return false };
        counted.set(counted.get() + 1);
        let session = format!("s{}", counted.get());
        server.accept_session(&link, &session);
        server.send_bytes(life, Vec::new());
        server.detach(&link, condition);
        true
    };
    observe(&world(QueueDescription::default()), async move |world| {
        let (client, _) = scripted::client(&world, settings_of::<S>(&world, RetryPolicy::default()), script);
        let options = SessionProcessorOptions::new().with_max_concurrent_sessions(concurrent);
        let processor = client.session_processor(Entity::queue("q"), options);
        world.spawn(async move {
            let handler = handler(async |_: ProcessorMessage<_>| Ok::<(), Infallible>(()));
            drop(processor.on_error(|_| {}).run(handler).await);
        });
        world.sleep(MINUTE).await;
    });
    accepts.get()
}

fn sessions_are_accepted_with_pauses<S: Complete>() {
    for (condition, life, concurrent) in [
        ("com.microsoft:session-lock-lost", Duration::ZERO, 1),
        ("com.microsoft:session-lock-lost", Duration::from_millis(20), 1),
        ("com.microsoft:session-lock-lost", Duration::from_millis(20), 4),
        ("amqp:link:detach-forced", Duration::ZERO, 1),
        ("amqp:link:detach-forced", Duration::from_millis(50), 2),
        ("com.microsoft:message-lock-lost", Duration::from_millis(5), 1),
        ("amqp:internal-error", Duration::from_millis(20), 1),
    ] {
        let accepts = accepts_in_a_minute::<S>(condition, life, concurrent);
        // With the default policy's pauses there are about eight in a minute.
        let each = accepts / concurrent as u32;
        assert!((3..=20).contains(&each), "{condition} after {life:?}, {concurrent} at once: {each}");
    }
}

/// How often a client dials in two minutes when every connection is cut after this life.
fn dials_in_two_minutes<S: Complete>(life: Duration, hang_up: fn(&World)) -> u64 {
    observe(&world(QueueDescription::default()), async move |world| {
        let client = world.client_with(settings_of::<S>(&world, RetryPolicy::default()));
        let receiver = client.receiver("q").unwrap();
        world.spawn(async move {
            loop {
                drop(receiver.receive(DAY).await);
            }
        });
        let end = world.clock().now + MINUTE * 2;
        let mut known = 0;
        while world.clock().now < end {
            let opened = world.connections_opened();
            if opened > known {
                known = opened;
                world.sleep(life).await;
                hang_up(&world);
            }
            world.sleep(Duration::from_millis(1)).await;
        }
        known
    })
}

fn connections_are_dialled_with_pauses<S: Complete>() {
    let mut judge = Judge::new();
    for millis in [1_050, 1_100, 1_500, 2_000, 3_000] {
        let life = Duration::from_millis(millis);
        let every_life = MINUTE.as_millis() as u64 * 2 / millis;
        let cut = dials_in_two_minutes::<S>(life, World::cut);
        let closed = dials_in_two_minutes::<S>(life, |world| {
            world.broker(|broker, clock| {
                for id in broker.connections() {
                    broker.close_connection(id, clock);
                }
            });
        });
        for (how, dials) in [("cut", cut), ("closed", closed)] {
            // Pauses that double up to a minute leave room for about ten.
            let right = |dials: &u64| (4..=20).contains(dials);
            judge.case(format!("{how} after {life:?}"), dials, right, |dials| *dials * 10 >= every_life * 7);
        }
    }
    judge.finish();
}

/// How a call ends while connections are refused, and after how many dials.
fn unreachable<S: Complete>(retry: RetryPolicy, verb: &'static str) -> (Ending, u32) {
    observe(&world(QueueDescription::default()), async move |world| {
        world.set_reachable(false);
        let (client, valve) = Valve::client(&world, settings_of::<S>(&world, retry));
        let limit = MINUTE * 60;
        let later = world.clock().utc + MINUTE;
        let ended = match verb {
            "send" => ending(&world, limit, client.sender("q").unwrap().send(&MessageRef::new("x"))).await,
            "schedule" => {
                ending(&world, limit, client.sender("q").unwrap().schedule(&MessageRef::new("x"), later)).await
            }
            "peek" => ending(&world, limit, client.receiver("q").unwrap().peek(0, 1)).await,
            "size_limits" => ending(&world, limit, client.sender("q").unwrap().size_limits()).await,
            "accept_session" => ending(&world, limit, client.accept_session(Entity::queue("q"), "s")).await,
            _ => ending(&world, limit, client.receiver("q").unwrap().receive(limit)).await,
        };
        (ended, valve.dials.get())
    })
}

fn a_call_takes_no_longer_than_its_policy<S: Complete>() {
    let mut judge = Judge::new();
    let fixed = policy(3).with_mode(RetryMode::Fixed);
    for retry in [policy(0), policy(1), policy(2), policy(3), policy(5), fixed, RetryPolicy::default()] {
        // A connection that is refused at once takes none of an attempt's time.
        let pauses = longest(&retry) - retry.try_timeout * (retry.max_retries + 1);
        let attempts = retry.max_retries + 1;
        for verb in ["send", "schedule", "peek", "size_limits", "accept_session", "receive"] {
            let (ended, dials) = unreachable::<S>(retry, verb);
            let name = format!("{verb}, {} retries, {:?}", retry.max_retries, retry.mode);
            judge.case(
                name,
                (ended, dials),
                |(ended, dials)| {
                    // No pause is left out; a jitter takes a fifth from each or adds it.
                    let least = pauses * 2 / 3;
                    let took = ended.map(|(took, _)| took);
                    ended_by(ended, pauses + SECOND / 2) && took >= Some(least) && (1..=attempts).contains(dials)
                },
                |(ended, dials)| {
                    let early = ended.is_some_and(|(took, _)| took < pauses * 2 / 3);
                    ended.is_some() && (early || *dials > attempts || !ended_by(ended, pauses + SECOND / 2))
                },
            );
        }
    }
    judge.finish();
}

/// How often a node's link is attached in seven seconds when each is answered and detached in one segment.
fn node_attaches<S: Complete>(node: &'static str, condition: &'static str, calls: usize) -> u32 {
    let attaches = Rc::new(Cell::new(0));
    let counted = Rc::clone(&attaches);
    let script = move |server: &mut Server, item: &Item<'_>| {
        let Item::Frame(_, Performative::Attach(attach), _) = item else { return false };
        let Some(link) = server.link(attach.handle).filter(|link| link.address.ends_with(node)) else { return false };
        counted.set(counted.get() + u32::from(link.role == Role::Sender));
        server.accept(&link, 0);
        server.detach(&link, condition);
        true
    };
    let queue = world(QueueDescription::default());
    add_queue(&queue, "a", QueueDescription::default());
    observe(&queue, async move |world| {
        let (client, _) = scripted::client(&world, settings_of::<S>(&world, policy(2)), script);
        for number in 0..calls {
            let (client, name) = (client.clone(), if number % 2 == 0 { "q" } else { "a" });
            world.spawn(async move {
                let receiver = client.receiver(name).unwrap();
                loop {
                    drop(receiver.peek(0, 1).await);
                }
            });
        }
        world.sleep(SECOND * 7).await;
    });
    attaches.get()
}

fn a_node_is_attached_with_pauses<S: Complete>() {
    let mut judge = Judge::new();
    for (node, condition, calls) in [
        ("$cbs", "amqp:not-allowed", 1),
        ("$cbs", "amqp:not-allowed", 2),
        ("$cbs", "amqp:unauthorized-access", 1),
        ("$cbs", "amqp:internal-error", 1),
        ("$cbs", "com.microsoft:server-busy", 1),
        ("$cbs", "amqp:resource-limit-exceeded", 2),
        ("$management", "amqp:internal-error", 1),
        ("$management", "com.microsoft:server-busy", 2),
    ] {
        let attaches = node_attaches::<S>(node, condition, calls);
        let each = attaches / calls as u32;
        judge.case(format!("{node} {condition} {calls}"), each, |each| (1..=20).contains(each), |each| *each >= 200);
    }
    judge.finish();
}

on_both_storages! {
    sessions_that_are_lost_again_and_again_are_accepted_with_pauses_c3 => sessions_are_accepted_with_pauses;
    connections_that_live_a_second_are_dialled_again_with_growing_pauses_c17 => connections_are_dialled_with_pauses;
    a_call_to_an_unreachable_service_takes_no_longer_than_its_policy_c20_n4 => a_call_takes_no_longer_than_its_policy;
    a_node_that_is_refused_is_attached_again_with_pauses_h2 => a_node_is_attached_with_pauses;
}
