//! What one connection causes for another, and what a timer causes, comes in milliseconds over sockets too. The server's
//! heartbeats are tens of seconds apart: below these bounds none can make up for a wake-up or a timer that was lost.

use servicebus_emulator::Emulator;
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_tokio::{Client, Entity, MessageRef, connect};
use std::time::Duration;
use tokio::time::timeout;

/// Between a cause and its effect: generous for a loaded machine, and far below any heartbeat.
const PROMPT: Duration = Duration::from_secs(5);
/// Between taking a lock and the next receiver having what was locked.
const LOCK_AND_PROMPT: Duration = Duration::from_millis(5_500);
/// To connect and attach.
const PATIENCE: Duration = Duration::from_secs(20);
const LOCK: Duration = Duration::from_millis(400);

async fn emulator() -> Emulator {
    let queue = || QueueDescription { lock_duration: LOCK, ..QueueDescription::default() };
    Emulator::builder()
        // Its locks outlast whatever a loaded machine does between a delivery and its settlement.
        .queue("lasting")
        .queue_with("q", queue())
        .queue_with("sessions", QueueDescription { requires_session: true, ..queue() })
        .start()
        .await
        .unwrap()
}

fn client(emulator: &Emulator) -> Client {
    connect(emulator.connection_string()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_wakes_the_connection_of_a_waiting_receiver() {
    let emulator = emulator().await;
    let (one, other) = (client(&emulator), client(&emulator));
    let (sender, receiver) = (one.sender("lasting").unwrap(), other.receiver("lasting").unwrap());
    timeout(PATIENCE, sender.size_limits()).await.unwrap().unwrap();
    assert!(timeout(PATIENCE, receiver.receive(Duration::from_millis(1))).await.unwrap().unwrap().is_none());
    for number in 0..20 {
        let text = number.to_string();
        let waiting = tokio::time::timeout(PATIENCE, receiver.next());
        let sending = async {
            // The receiver's credit is there by now, so that only the message can wake its connection.
            tokio::time::sleep(Duration::from_millis(20)).await;
            timeout(PROMPT, sender.send(&MessageRef::new(&text))).await.expect("a prompt answer").unwrap();
            tokio::time::Instant::now()
        };
        let (message, sent) = tokio::join!(async { (waiting.await, tokio::time::Instant::now()) }, sending);
        let (message, received) = message;
        let message = message.expect("in time").unwrap();
        assert_eq!(message.text().ok(), Some(&*text));
        let took = received.saturating_duration_since(sent);
        assert!(took < PROMPT, "delivered {took:?} after it was stored");
        timeout(PROMPT, receiver.complete(&message)).await.expect("a prompt answer").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_400_milliseconds_is_free_soon_after() {
    let emulator = emulator().await;
    let (one, other) = (client(&emulator), client(&emulator));
    let (sender, first, second) = (one.sender("q").unwrap(), one.receiver("q").unwrap(), other.receiver("q").unwrap());
    assert!(timeout(PATIENCE, second.receive(Duration::from_millis(1))).await.unwrap().unwrap().is_none());
    for _ in 0..3 {
        timeout(PATIENCE, sender.send(&MessageRef::new("x"))).await.unwrap().unwrap();
        let held = timeout(PATIENCE, first.next()).await.unwrap().unwrap();
        let message = timeout(LOCK_AND_PROMPT, second.next()).await.expect("the lock has ended long ago").unwrap();
        assert_eq!((held.text().ok(), message.delivery_count()), (Some("x"), 1));
        timeout(PROMPT, second.complete(&message)).await.expect("a prompt answer").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_not_renewed_goes_to_the_waiting_receiver() {
    let emulator = emulator().await;
    let (one, other) = (client(&emulator), client(&emulator));
    let sender = one.sender("sessions").unwrap();
    timeout(PATIENCE, sender.send(&MessageRef::new("x").with_session_id("s"))).await.unwrap().unwrap();
    timeout(PATIENCE, other.sender("q").unwrap().size_limits()).await.unwrap().unwrap();
    let _held = timeout(PATIENCE, one.accept_session(Entity::queue("sessions"), "s")).await.unwrap().unwrap();
    let next = other.accept_next_session(Entity::queue("sessions"), PATIENCE);
    let next = timeout(LOCK_AND_PROMPT, next).await.expect("the lock has ended long ago").unwrap().expect("a session");
    assert_eq!(next.session_id(), "s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_message_comes_at_its_time() {
    let emulator = emulator().await;
    let (one, other) = (client(&emulator), client(&emulator));
    let (sender, receiver) = (one.sender("lasting").unwrap(), other.receiver("lasting").unwrap());
    assert!(timeout(PATIENCE, receiver.receive(Duration::from_millis(1))).await.unwrap().unwrap().is_none());
    timeout(PATIENCE, sender.size_limits()).await.unwrap().unwrap();
    for _ in 0..3 {
        let at = sender.now() + LOCK;
        timeout(PATIENCE, sender.schedule(&MessageRef::new("x"), at)).await.unwrap().unwrap();
        let message = timeout(LOCK_AND_PROMPT, receiver.next()).await.expect("its time has come long ago").unwrap();
        timeout(PROMPT, receiver.complete(&message)).await.expect("a prompt answer").unwrap();
    }
}
