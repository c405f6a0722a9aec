//! Readings that survive resets: stored in flash, sent when there is a network, removed when the service has them.

mod log;

use crate::Sender;
use core::fmt::{self, Write as _};
use core::ops::Range;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::NorFlash;
use log::{BadRange, Cursor, Log, NotAppended, Record};
use servicebus_core::client::Error;
use servicebus_core::servicebus::{BatchError, MessageBatch, MessageRef};
use servicebus_core::storage::Storage;
use servicebus_core::time::Timestamp;

/// Readings in one batch, whatever room it has.
const MOST: usize = 32;

/// Which readings are sent first.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::{Spool, Timestamp};
/// # servicebus_simulation::example_in_world(async |_| {
/// # #[allow(unused_mut)]
/// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
/// use servicebus_embassy::Order;
///
/// // The state of a machine is worth more than its history.
/// let spool = Spool::<_, 64>::new(flash, range, epoch)?.with_order(Order::NewestFirst);
/// # drop(spool);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those that have waited longest.
    #[default]
    OldestFirst,
    /// The latest ones; in a batch they are in the order of their pushes all the same.
    NewestFirst,
}

/// What a push does when the flash is full.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::{Spool, Timestamp};
/// # servicebus_simulation::example_in_world(async |_| {
/// # #[allow(unused_mut)]
/// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
/// use servicebus_embassy::WhenFull;
///
/// let spool = Spool::<_, 64>::new(flash, range, epoch)?.with_when_full(WhenFull::DropOldest);
/// for _ in 0..100 {
///     spool.push(b"21.5").await?; // never `SpoolError::Full`
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It fails with [`SpoolError::Full`].
    #[default]
    Refuse,
    /// It erases the oldest page with all readings in it.
    DropOldest,
}

/// The message id of a reading: the log's epoch and its number.
fn message_id(epoch: u64, number: u32) -> heapless::String<25> {
    let mut text = heapless::String::new();
    // It has 25 characters.
    _ = write!(text, "{epoch:016x}-{number:08x}");
    text
}

/// Readings that [`Spool::fill`] has put into a batch, to be removed once the service has stored it.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::{Spool, Timestamp};
/// # servicebus_simulation::example_in_world(async |_| {
/// # #[allow(unused_mut)]
/// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
/// # let spool = Spool::<_, 64>::new(flash, range, epoch)?;
/// # spool.push(b"21.5").await?;
/// # let now = Timestamp::from_secs(1_767_225_600);
/// # let mut batch = servicebus_core::servicebus::MessageBatch::<servicebus_core::storage::Heap>::new(1_000, now);
/// let taken = spool.fill(&mut batch, now).await?;
/// // The batch is sent here; without the next line they would be sent again.
/// spool.remove(taken).await?;
/// assert!(spool.is_empty().await?);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "readings that are not removed are sent again"]
pub struct Taken {
    records: heapless::Vec<Record, MOST>,
    epoch: u64,
}

impl Taken {
    /// How many there are.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Spool, Timestamp};
    /// # servicebus_simulation::example_in_world(async |_| {
    /// # #[allow(unused_mut)]
    /// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
    /// # let spool = Spool::<_, 64>::new(flash, range, epoch)?;
    /// # let now = Timestamp::from_secs(1_767_225_600);
    /// # let mut batch = servicebus_core::servicebus::MessageBatch::<servicebus_core::storage::Heap>::new(1_000, now);
    /// spool.push(b"21.5").await?;
    /// spool.push(b"21.7").await?;
    /// let taken = spool.fill(&mut batch, now).await?;
    /// assert_eq!(taken.len(), 2);
    /// # Ok(())
    /// # });
    /// ```
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::Taken;
    /// assert!(Taken::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// Store and forward: readings are pushed into flash, sent in batches when the service can be reached, and removed when it
/// has stored them. Over any flash of `embedded-storage-async` with pages to erase: no word is written twice.
///
/// A reading is in flash when [`Spool::push`] returns, and stays there until the service has confirmed it, whatever happens
/// to the power. Its message id is stored with it: one that is sent again, because the confirmation was lost or the board was
/// reset before it was removed, has the same id, and an entity that detects duplicates keeps one. The entity's window for that
/// has to be longer than the time between both, such as an outage that began with the send.
///
/// `N` is the size of the buffer for one reading, and so the longest one, rounded down to the flash's words. In flash a
/// reading takes three words more, or 16 bytes where words are shorter, and 20 bytes of each page are taken.
/// Readings in flash that are longer, of a firmware whose `N` was larger, are not sent, and keep their room: after all others,
/// [`Spool::send`] ends with [`SpoolError::Unsendable`]. A firmware with a smaller `N` begins with [`Spool::clear`].
///
/// All methods take `&self`: one task can push while another one sends. The flash is locked while it is read or written, not
/// while the service is waited for.
///
/// Cancel safety: a future that is dropped leaves the flash as a power cut does. Nothing that a push has confirmed is lost;
/// a reading whose push is dropped is stored or not.
///
/// Flash that loses bits later loses readings of the page that they are in, and no others, and message ids go on behind those
/// that were used. Words that flash with an error-correcting code cannot tell any more, as where a write was cut, are read
/// twice and then taken as lost, as long as the flash answers anywhere else in the range: pushes and sends go on.
/// [`SpoolError::Flash`] is for flash that answers nowhere, or does not write or erase. What is lost is not counted, as what
/// a cut has left looks the same: a device that has to know puts a number of its own into its readings. Ids can come again
/// only where damage meets a power cut: the last page has lost its head with that of its first record, or all of its readings,
/// and the power fails when that page is used next; or the power failed in a clear, and the page that this began has lost its
/// head.
///
/// # Examples
///
/// What waits is sent when there is a network:
///
/// ```
/// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
/// # use servicebus_simulation::ExampleBoard as Board;
/// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
/// # servicebus_simulation::example_in_world(async |world| {
/// # let (dialer, settings) = (world.dialer(), Settings::new(servicebus_simulation::CONNECTION_STRING, 1));
/// # let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
/// # use servicebus_embassy::Spool;
/// # let (flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
/// # let (client, runner) = servicebus_embassy::new(resources, settings, &UTC)?;
/// # world.spawn(runner.run(dialer));
/// let spool = Spool::<_, 64>::new(flash, range, epoch)?;
/// spool.push(b"21.5").await?;
/// spool.push(b"21.7").await?;
///
/// let telemetry = client.sender("orders")?;
/// assert_eq!(spool.send(&telemetry).await?, 2);
/// assert!(spool.is_empty().await?);
/// # Ok(())
/// # });
/// ```
pub struct Spool<F: NorFlash, const N: usize> {
    log: Mutex<NoopRawMutex, Log<F, N>>,
    order: Order,
    when_full: WhenFull,
}

impl<F: NorFlash, const N: usize> fmt::Debug for Spool<F, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("order", &self.order).field("when_full", &self.when_full).finish_non_exhaustive()
    }
}

impl<F: NorFlash, const N: usize> Spool<F, N> {
    /// A spool in the pages of `range`, two or more of them, which holds what an earlier boot has left there; erased flash is
    /// an empty one.
    ///
    /// The range stays what it is: in another one, message ids that the entity has seen may come again.
    ///
    /// `epoch` is for flash that is erased, or where no head of a page is whole, and becomes a part of all message ids: a random
    /// number, so that no other board has it, nor this one after its flash was erased.
    ///
    /// # Errors
    /// [`SpoolError::Range`] for a range that is not of whole pages or outside of the flash, for words of more than 32 bytes,
    /// or for pages without room for one reading.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Spool, Timestamp};
    /// # servicebus_simulation::example_in_world(async |_| {
    /// # #[allow(unused_mut)]
    /// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
    /// use servicebus_embassy::SpoolError;
    ///
    /// assert!(matches!(Spool::<_, 64>::new(&mut flash, 0..100, epoch), Err(SpoolError::Range)));
    /// let spool = Spool::<_, 64>::new(&mut flash, range, epoch)?; // `epoch` is a random number
    /// # drop(spool);
    /// # Ok(())
    /// # });
    /// ```
    pub fn new(flash: F, range: Range<u32>, epoch: u64) -> Result<Self, SpoolError<F::Error>> {
        let log = Log::new(flash, range, epoch).map_err(|BadRange| SpoolError::Range)?;
        Ok(Self { log: Mutex::new(log), order: Order::default(), when_full: WhenFull::default() })
    }

    /// Sends in this order.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Spool, Timestamp};
    /// # servicebus_simulation::example_in_world(async |_| {
    /// # #[allow(unused_mut)]
    /// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
    /// # use servicebus_embassy::Order;
    /// let spool = Spool::<_, 64>::new(flash, range, epoch)?.with_order(Order::NewestFirst);
    /// # drop(spool);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Does this when the flash is full.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Spool, Timestamp};
    /// # servicebus_simulation::example_in_world(async |_| {
    /// # #[allow(unused_mut)]
    /// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
    /// # use servicebus_embassy::WhenFull;
    /// let spool = Spool::<_, 64>::new(flash, range, epoch)?.with_when_full(WhenFull::DropOldest);
    /// # drop(spool);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Stores a reading.
    ///
    /// # Errors
    /// [`SpoolError::TooLong`], [`SpoolError::Full`], or the flash's own.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Spool, Timestamp};
    /// # servicebus_simulation::example_in_world(async |_| {
    /// # #[allow(unused_mut)]
    /// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
    /// # let spool = Spool::<_, 64>::new(flash, range, epoch)?;
    /// use servicebus_embassy::SpoolError;
    ///
    /// spool.push(b"21.5").await?;
    /// assert_eq!(spool.push(&[0; 65]).await, Err(SpoolError::TooLong));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn push(&self, reading: &[u8]) -> Result<(), SpoolError<F::Error>> {
        let overwrites = self.when_full == WhenFull::DropOldest;
        self.log.lock().await.append(reading, overwrites).await.map_err(|error| match error {
            NotAppended::TooLong => SpoolError::TooLong,
            NotAppended::Full => SpoolError::Full,
            NotAppended::Flash(error) => SpoolError::Flash(error),
        })
    }

    /// Shows each reading with its message id, the oldest first.
    ///
    /// # Errors
    /// The flash's own.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Spool, Timestamp};
    /// # servicebus_simulation::example_in_world(async |_| {
    /// # #[allow(unused_mut)]
    /// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
    /// # let spool = Spool::<_, 64>::new(flash, range, epoch)?;
    /// spool.push(b"21.5").await?;
    /// spool.each(|message_id, reading| println!("{message_id}: {} bytes", reading.len())).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn each(&self, mut show: impl FnMut(&str, &[u8])) -> Result<(), SpoolError<F::Error>> {
        let log = &mut *self.log.lock().await;
        let epoch = log.epoch().await.map_err(SpoolError::Flash)?;
        let mut cursor = Cursor::default();
        while let Some(record) = log.next(&mut cursor).await.map_err(SpoolError::Flash)? {
            if let Some(reading) = log.read(&record).await.map_err(SpoolError::Flash)? {
                show(&message_id(epoch, record.number), reading);
            }
        }
        Ok(())
    }

    /// Whether no reading waits.
    ///
    /// # Errors
    /// The flash's own.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Spool, Timestamp};
    /// # servicebus_simulation::example_in_world(async |_| {
    /// # #[allow(unused_mut)]
    /// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
    /// # let spool = Spool::<_, 64>::new(flash, range, epoch)?;
    /// assert!(spool.is_empty().await?);
    /// spool.push(b"21.5").await?;
    /// assert!(!spool.is_empty().await?);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn is_empty(&self) -> Result<bool, SpoolError<F::Error>> {
        let log = &mut *self.log.lock().await;
        let mut cursor = Cursor::default();
        while let Some(record) = log.next(&mut cursor).await.map_err(SpoolError::Flash)? {
            if log.is_whole(&record).await.map_err(SpoolError::Flash)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends what waits, batch after batch, and removes each batch when the service has stored it. Ends when nothing waits;
    /// what is pushed meanwhile is sent as well. Returns how many readings were sent.
    ///
    /// Cancel safety: as the type says. What was sent and not removed is sent again, with the same message ids.
    ///
    /// # Errors
    /// Why a batch was not sent; what was sent before is removed. [`SpoolError::Unsendable`] when all but readings that no
    /// batch of this link can hold, or that are longer than `N`, are sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
    /// # use servicebus_simulation::ExampleBoard as Board;
    /// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let (dialer, settings) = (world.dialer(), Settings::new(servicebus_simulation::CONNECTION_STRING, 1));
    /// # let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
    /// # use servicebus_embassy::Spool;
    /// # let (flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
    /// # let (client, runner) = servicebus_embassy::new(resources, settings, &UTC)?;
    /// # world.spawn(runner.run(dialer));
    /// # let spool = Spool::<_, 64>::new(flash, range, epoch)?;
    /// spool.push(b"21.5").await?;
    /// let telemetry = client.sender("orders")?;
    /// assert_eq!(spool.send(&telemetry).await?, 1);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn send<S: Storage>(&self, sender: &Sender<S>) -> Result<usize, SpoolSendError<S, F::Error>> {
        self.send_with(sender, |message| message).await
    }

    /// As [`Spool::send`], with messages that `dress` has completed: a subject, a content type, properties. The body is the
    /// reading, and the message id has to stay.
    ///
    /// # Errors
    /// As [`Spool::send`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
    /// # use servicebus_simulation::ExampleBoard as Board;
    /// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let (dialer, settings) = (world.dialer(), Settings::new(servicebus_simulation::CONNECTION_STRING, 1));
    /// # let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
    /// # use servicebus_embassy::Spool;
    /// # let (flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
    /// # let (client, runner) = servicebus_embassy::new(resources, settings, &UTC)?;
    /// # world.spawn(runner.run(dialer));
    /// # let spool = Spool::<_, 64>::new(flash, range, epoch)?;
    /// # let telemetry = client.sender("orders")?;
    /// spool.push(b"21.5").await?;
    /// spool.send_with(&telemetry, |message| message.with_subject("celsius")).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn send_with<S: Storage>(
        &self,
        sender: &Sender<S>,
        dress: impl for<'m> Fn(MessageRef<'m>) -> MessageRef<'m>,
    ) -> Result<usize, SpoolSendError<S, F::Error>> {
        let mut sent = 0;
        // A spool that is empty makes no connection.
        while !self.is_empty().await? {
            let mut batch = sender.create_batch().await.map_err(SpoolSendError::Send)?;
            let taken = self.fill_with(&mut batch, sender.now(), &dress).await?;
            if taken.is_empty() {
                return Err(SpoolSendError::Spool(SpoolError::Unsendable));
            }
            sender.send_batch(batch).await.map_err(|error| SpoolSendError::Send(error.into()))?;
            sent += taken.len();
            self.remove(taken).await?;
        }
        Ok(sent)
    }

    /// Puts the readings that are next into an empty batch, for those that send it themselves; they stay in flash until
    /// [`Spool::remove`]. `utc` is the time now, as for [`MessageBatch::new`].
    ///
    /// Readings that no such batch can hold are left out.
    ///
    /// # Errors
    /// The flash's own.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{FixedUtc, Resources, Settings, Timestamp};
    /// # use servicebus_simulation::ExampleBoard as Board;
    /// # static UTC: FixedUtc = FixedUtc(Timestamp::from_secs(1_767_225_600));
    /// # servicebus_simulation::example_in_world(async |world| {
    /// # let (dialer, settings) = (world.dialer(), Settings::new(servicebus_simulation::CONNECTION_STRING, 1));
    /// # let resources: &'static Resources<Board> = Box::leak(Box::new(Resources::new()));
    /// # use servicebus_embassy::Spool;
    /// # let (flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
    /// # let (client, runner) = servicebus_embassy::new(resources, settings, &UTC)?;
    /// # world.spawn(runner.run(dialer));
    /// # let spool = Spool::<_, 64>::new(flash, range, epoch)?;
    /// # let telemetry = client.sender("orders")?;
    /// spool.push(b"21.5").await?;
    /// let mut batch = telemetry.create_batch().await?;
    /// let taken = spool.fill(&mut batch, telemetry.now()).await?;
    /// telemetry.send_batch(batch).await.map_err(|error| error.to_string())?;
    /// spool.remove(taken).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn fill<S: Storage>(
        &self,
        batch: &mut MessageBatch<S>,
        utc: Timestamp,
    ) -> Result<Taken, SpoolError<F::Error>> {
        self.fill_with(batch, utc, &|message| message).await
    }

    async fn fill_with<S: Storage>(
        &self,
        batch: &mut MessageBatch<S>,
        utc: Timestamp,
        dress: &impl for<'m> Fn(MessageRef<'m>) -> MessageRef<'m>,
    ) -> Result<Taken, SpoolError<F::Error>> {
        let log = &mut *self.log.lock().await;
        if self.order == Order::OldestFirst {
            return take(log, batch, 0, dress).await.map(|(taken, _)| taken);
        }
        let mut count = 0;
        let mut cursor = Cursor::default();
        while log.next(&mut cursor).await.map_err(SpoolError::Flash)?.is_some() {
            count += 1;
        }
        // The last ones, fewer of them until all of them fit.
        let mut window = MOST.min(count);
        loop {
            let (taken, left) = take(log, batch, count - window, dress).await?;
            if left == 0 && !taken.is_empty() {
                return Ok(taken);
            }
            *batch = MessageBatch::new(batch.max_size_in_bytes(), utc);
            if window <= 1 {
                // The latest one fits into no batch: what is behind it has to leave all the same.
                return take(log, batch, 0, dress).await.map(|(taken, _)| taken);
            }
            window = window.saturating_sub(left.max(1)).max(1);
        }
    }

    /// Removes the readings of a batch that the service has stored.
    ///
    /// # Errors
    /// The flash's own; what is left is sent again, with the same message ids.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Spool, Timestamp};
    /// # servicebus_simulation::example_in_world(async |_| {
    /// # #[allow(unused_mut)]
    /// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
    /// # let spool = Spool::<_, 64>::new(flash, range, epoch)?;
    /// # spool.push(b"21.5").await?;
    /// # let now = Timestamp::from_secs(1_767_225_600);
    /// # let mut batch = servicebus_core::servicebus::MessageBatch::<servicebus_core::storage::Heap>::new(1_000, now);
    /// let taken = spool.fill(&mut batch, now).await?;
    /// assert!(!spool.is_empty().await?, "they stay until the service has them");
    /// spool.remove(taken).await?;
    /// assert!(spool.is_empty().await?);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn remove(&self, taken: Taken) -> Result<(), SpoolError<F::Error>> {
        let log = &mut *self.log.lock().await;
        for record in &taken.records {
            log.remove(record, taken.epoch).await.map_err(SpoolError::Flash)?;
        }
        Ok(())
    }

    /// Erases the flash and every reading in it, also those that are on their way. Message ids do not come again.
    ///
    /// # Errors
    /// The flash's own.
    ///
    /// # Examples
    ///
    /// ```
    /// # use servicebus_embassy::{Spool, Timestamp};
    /// # servicebus_simulation::example_in_world(async |_| {
    /// # #[allow(unused_mut)]
    /// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
    /// # let spool = Spool::<_, 64>::new(flash, range, epoch)?;
    /// spool.push(b"21.5").await?;
    /// spool.clear().await?;
    /// assert!(spool.is_empty().await?);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn clear(&self) -> Result<(), SpoolError<F::Error>> {
        self.log.lock().await.clear().await.map_err(SpoolError::Flash)
    }
}

/// Puts readings into a batch, from the one at `skip` on; those that are in it, and how many there was no room for.
async fn take<F: NorFlash, const N: usize, S: Storage>(
    log: &mut Log<F, N>,
    batch: &mut MessageBatch<S>,
    skip: usize,
    dress: &impl for<'m> Fn(MessageRef<'m>) -> MessageRef<'m>,
) -> Result<(Taken, usize), SpoolError<F::Error>> {
    let epoch = log.epoch().await.map_err(SpoolError::Flash)?;
    let mut taken = Taken { epoch, ..Taken::default() };
    let (mut at, mut left) = (0, 0);
    let mut cursor = Cursor::default();
    while let Some(record) = log.next(&mut cursor).await.map_err(SpoolError::Flash)? {
        at += 1;
        if at <= skip {
            continue;
        }
        if left > 0 || taken.records.is_full() {
            left += 1;
            if skip == 0 {
                break;
            }
            continue;
        }
        let Some(reading) = log.read(&record).await.map_err(SpoolError::Flash)? else { continue };
        let id = message_id(epoch, record.number);
        match batch.try_add(&dress(MessageRef::new(reading).with_message_id(id.as_str()))) {
            // There is room: it was just checked.
            Ok(()) => _ = taken.records.push(record),
            Err(BatchError::Full) => left = 1,
            // No batch can hold it; the others go on without it.
            Err(_) => {}
        }
    }
    Ok((taken, left))
}

/// Why the flash does not hold what it should.
///
/// # Examples
///
/// ```
/// # use servicebus_embassy::{Spool, Timestamp};
/// # servicebus_simulation::example_in_world(async |_| {
/// # #[allow(unused_mut)]
/// # let (mut flash, range, epoch) = (servicebus_simulation::ExampleFlash::of_pages(4), 0..1024, 7);
/// # let spool = Spool::<_, 64>::new(flash, range, epoch)?;
/// use servicebus_embassy::SpoolError;
///
/// let full = loop {
///     if let Err(error) = spool.push(b"21.5").await {
///         break error;
///     }
/// };
/// assert_eq!(full, SpoolError::Full);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SpoolError<E> {
    /// The range is not of two or more whole pages of the flash, or that has words of more than 32 bytes or too short pages.
    Range,
    /// The reading is longer than the spool's buffer, or than a page of the flash.
    TooLong,
    /// There is no room for another reading.
    Full,
    /// No batch of the link can hold a reading that waits, or it is longer than the spool's buffer.
    Unsendable,
    /// The flash's own: it answers nowhere in the range, or does not write or erase.
    Flash(E),
}

impl<E: fmt::Debug> fmt::Display for SpoolError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range => f.write_str("the range is not of two or more pages of the flash, or its words or pages have another size than is possible"),
            Self::TooLong => f.write_str("a reading is longer than the spool's buffer"),
            Self::Full => f.write_str("the spool is full"),
            Self::Unsendable => f.write_str("a reading is too long for every batch, or for the spool's buffer"),
            Self::Flash(error) => write!(f, "flash: {error:?}"),
        }
    }
}

// An error of a flash need not be an `Error`, so that it is no source.
impl<E: fmt::Debug> core::error::Error for SpoolError<E> {}

/// Why not all readings were sent.
///
/// # Examples
///
/// ```
/// use servicebus_core::storage::Heap;
/// use servicebus_embassy::{SpoolError, SpoolSendError};
///
/// fn advice<E>(error: &SpoolSendError<Heap, E>) -> &'static str {
///     match error {
///         SpoolSendError::Send(error) if error.is_transient() => "sleep, and send later",
///         SpoolSendError::Send(_) => "look at the error",
///         _ => "look at the flash",
///     }
/// }
/// let error = SpoolSendError::<Heap, ()>::Spool(SpoolError::Unsendable);
/// assert_eq!(advice(&error), "look at the flash");
/// ```
#[non_exhaustive]
pub enum SpoolSendError<S: Storage, E> {
    /// The flash.
    Spool(SpoolError<E>),
    /// The service, or the way to it.
    Send(Error<S>),
}

impl<S: Storage, E> From<SpoolError<E>> for SpoolSendError<S, E> {
    fn from(error: SpoolError<E>) -> Self {
        Self::Spool(error)
    }
}

impl<S: Storage, E: fmt::Debug> fmt::Debug for SpoolSendError<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spool(error) => f.debug_tuple("Spool").field(error).finish(),
            Self::Send(error) => f.debug_tuple("Send").field(error).finish(),
        }
    }
}

impl<S: Storage, E: fmt::Debug> fmt::Display for SpoolSendError<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spool(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
        }
    }
}

/// Transparent: text and source are those of the inner error.
impl<S: Storage, E: fmt::Debug> core::error::Error for SpoolSendError<S, E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Spool(error) => error.source(),
            Self::Send(error) => error.source(),
        }
    }
}
