//! The client by itself: every call of its API over `Fixed` storage, a transport of two bytes of memory and a clock that
//! stands still. The image `client` and the static library are made of it.
//!
//! Without features it holds the calls of a sensor (send and batch), with `commands` those of a device that receives as well
//! (receive and settle), with `full` the whole API.

use core::cell::RefCell;
use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::hint::black_box;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use embedded_io_async::{ErrorType, Read, Write};
use servicebus_core::machine::Settings;
use servicebus_core::servicebus::MessageRef;
#[cfg(feature = "commands")]
use servicebus_core::time::Duration;
use servicebus_core::time::Timestamp;
#[cfg(feature = "commands")]
use servicebus_embassy::Sender;
use servicebus_embassy::{Client, Connect, FixedUtc, Plain, Resources, Runner, Stream, StreamError, new};
use static_cell::ConstStaticCell;

// The vector table's interrupts and the critical section.
use cortex_m as _;

#[cfg(not(feature = "commands"))]
servicebus_core::fixed_storage! {
    /// One queue out, messages of up to 1 KiB.
    pub(crate) type Board { sessions: 1, links: 3, deliveries: 8, receive: 2048, transmit: 2048, message: 1024 }
}
#[cfg(all(feature = "commands", not(feature = "full")))]
servicebus_core::fixed_storage! {
    /// One queue out, one in, messages of up to 1 KiB.
    pub(crate) type Board {
        sessions: 1, links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true,
    }
}
#[cfg(feature = "full")]
servicebus_core::fixed_storage! {
    /// The same with every capability.
    pub(crate) type Board {
        sessions: 1, links: 4, deliveries: 8, receive: 2048, transmit: 2048, message: 1024,
        receivers: true, management: true, session_receivers: 2, lock_renewal: true, transactions: true,
        prefetch: true, receive_and_delete: true, external_tokens: true,
    }
}

/// A register that bytes come from and go to.
struct Register;

/// Maybe at once, maybe later, for all that the compiler knows: it would leave out what never gets its turn.
async fn ready(count: usize) -> Result<usize, Infallible> {
    poll_fn(|_| black_box(Poll::Ready(Ok(count)))).await
}

impl ErrorType for Register {
    type Error = Infallible;
}

impl Read for Register {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        ready(black_box(buffer).len()).await
    }
}

impl Write for Register {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        ready(black_box(bytes).len()).await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Registers(RefCell<Register>, RefCell<Register>);

impl Connect for Registers {
    type Stream<'a> = Stream<'a, Register, Register>;
    type StreamError = StreamError<Infallible>;
    type Error = Infallible;

    async fn connect<'a>(&'a mut self, _: &str, _: u16) -> Result<Self::Stream<'a>, Infallible> {
        Ok(Stream::new(&self.0, &self.1))
    }
}

pub(crate) async fn run(runner: Runner<Board>) {
    runner.run(Plain::new(Registers(RefCell::new(Register), RefCell::new(Register)))).await;
}

pub(crate) async fn telemetry(client: Client<Board>) -> Option<()> {
    let sender = client.sender(black_box("readings")).ok()?;
    let message = MessageRef::new(black_box("21.5")).with_subject(black_box("celsius"));
    black_box(sender.send(&message).await).ok()?;
    let mut batch = sender.create_batch().await.ok()?;
    black_box(batch.try_add(&message)).ok()?;
    black_box(sender.send_batch(batch).await).ok()?;
    #[cfg(feature = "commands")]
    commands(&client, &sender).await?;
    sender.close().await;
    client.close().await;
    Some(())
}

#[cfg(feature = "commands")]
async fn commands(client: &Client<Board>, _sender: &Sender<Board>) -> Option<()> {
    let receiver = client.receiver(black_box("commands")).ok()?;
    let message = receiver.receive(Duration::from_secs(1)).await.ok()??;
    black_box((message.data(), message.subject(), message.property("unit")));
    black_box(receiver.complete(&message).await).ok()?;
    black_box(receiver.abandon(&message).await).ok()?;
    black_box(receiver.defer(&message).await).ok()?;
    black_box(receiver.dead_letter(&message, Default::default()).await).ok()?;
    #[cfg(feature = "full")]
    rest::rest(client, _sender, &receiver, message).await?;
    receiver.close().await;
    Some(())
}

#[cfg(feature = "full")]
mod rest {
    use super::{Board, Client, Duration, Timestamp, black_box};
    use servicebus_core::machine::ReceiveMode;
    use servicebus_core::servicebus::{Entity, ReceivedMessage};
    use servicebus_embassy::{AutoLockRenewer, Receiver, ReceiverOptions, Sender};

    pub(super) async fn rest(
        client: &Client<Board>,
        sender: &Sender<Board>,
        receiver: &Receiver<Board>,
        mut message: ReceivedMessage<Board>,
    ) -> Option<()> {
        black_box(receiver.renew_lock(&mut message).await).ok()?;
        black_box(receiver.peek_each(1, 1, |message| _ = black_box(message)).await).ok()?;
        black_box(receiver.receive_deferred_each(&[1], |message| _ = black_box(message)).await).ok()?;
        black_box(receiver.purge(Timestamp::from_secs(1)).await).ok()?;
        let again = servicebus_core::servicebus::MessageRef::new("later");
        let number = sender.schedule(&again, Timestamp::from_secs(2)).await.ok()?;
        black_box(sender.cancel_scheduled(&[number]).await).ok()?;
        let session = client.accept_session(Entity::queue("sessions"), "one").await.ok()?;
        black_box(session.renew_session_lock().await).ok()?;
        black_box(session.set_state(Some(b"state")).await).ok()?;
        black_box(session.state().await).ok()?;
        session.close().await;
        let (entity, token) = (Entity::queue("sessions"), black_box(servicebus_core::servicebus::LockToken::from_uuid));
        let token = token(servicebus_core::wire::Uuid([1; 16]));
        let session = client.take_over_session(entity, "one", token).await.ok()?;
        black_box(session.lock_token());
        black_box(session.complete(&message).await).ok()?;
        session.close().await;
        let renewer = AutoLockRenewer::new(black_box(Duration::from_secs(60)));
        let mut renewal = renewer.message(receiver, &message).ok()?;
        black_box(renewal.ended().await);
        let options = ReceiverOptions::new("events").with_mode(ReceiveMode::ReceiveAndDelete).with_prefetch(4);
        let deletes = client.receiver(options).ok()?;
        black_box(deletes.next().await).ok()?;
        deletes.close().await;
        let transactions = client.transactions("commands").ok()?;
        let transaction = transactions.begin().await.ok()?;
        black_box(transaction.send(sender, &again).await).ok()?;
        black_box(transaction.complete(receiver, &message).await).ok()?;
        black_box(transaction.commit().await).ok()?;
        transactions.close().await;
        let rules = client.rule_manager(Entity::subscription("topic", "subscription"));
        black_box(rules.remove("rule").await).ok()
    }
}

struct Clock;

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock);

impl embassy_time_driver::Driver for Clock {
    fn now(&self) -> u64 {
        black_box(0)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        black_box((at, waker));
    }
}

/// Polls client and runner in turns.
pub(crate) fn drive() -> ! {
    static UTC: FixedUtc = FixedUtc(Timestamp::UNIX_EPOCH);
    static RESOURCES: ConstStaticCell<Resources<Board>> = ConstStaticCell::new(Resources::new());
    let settings = Settings::new(black_box("Endpoint=sb://a;SharedAccessKeyName=b;SharedAccessKey=c"), 1);
    let Ok((client, runner)) = new(RESOURCES.take(), settings, &UTC) else { stop() };
    // As tasks of an executor are: somewhere in memory, and polled through a pointer.
    let run: Pin<&mut dyn Future<Output = ()>> = pin!(run(runner));
    let telemetry: Pin<&mut dyn Future<Output = Option<()>>> = pin!(telemetry(client));
    let (mut run, mut telemetry) = black_box((run, telemetry));
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        let _ = black_box((run.as_mut().poll(&mut cx), telemetry.as_mut().poll(&mut cx)));
    }
}

/// Panics end here.
pub(crate) fn stop() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
