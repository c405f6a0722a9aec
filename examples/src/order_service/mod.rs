//! A service that takes orders, written once: the program that includes it names the runtime's crate `servicebus` and gives
//! `spawn` and `sleep` of that runtime.

use super::servicebus::administration::{RuleFilter, SubscriptionDescription, TopicDescription};
use super::servicebus::{
    AdministrationClient, Client, DeadLetter, Entity, HandlerError, Message, Options, ProcessorMessage,
    ProcessorOptions, RetryPolicy, Sender, Timestamp,
};
use super::{sleep, spawn};
use serde::{Deserialize, Serialize};
use servicebus_examples::Result;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

const TOPIC: &str = "orders";
/// Subscriptions by the orders that they take.
const SUBSCRIPTIONS: [(&str, &str); 2] =
    [("urgent", "priority > 5"), ("large", "total >= 1000 AND customer LIKE 'a%'")];
/// Deliveries of an order before it is dead-lettered.
const DELIVERIES: u32 = 3;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    pub(crate) id: u32,
    pub(crate) customer: String,
    pub(crate) total: f64,
    pub(crate) priority: i32,
}

/// An order as a message. Filters see properties only, so that what they compare is among them.
fn to_message(order: &Order) -> serde_json::Result<Message> {
    Ok(Message::json(order)?
        .with_message_id(order.id.to_string())
        .with_session_id(&order.customer)
        .with_property("priority", order.priority)
        .with_property("total", order.total)
        .with_property("customer", &order.customer))
}

/// Creates the topic and its subscriptions, as far as they are missing.
async fn prepare(connection_string: &str) -> Result<()> {
    let admin = AdministrationClient::connect(connection_string)?.timeout(Duration::from_secs(20));
    admin.create_if_missing(&TopicDescription::new(TOPIC)).await?;
    for (name, filter) in SUBSCRIPTIONS {
        let subscription = SubscriptionDescription::new(TOPIC, name)
            .with_filter(RuleFilter::sql(filter))
            .with_max_delivery_count(DELIVERIES)
            .with_lock_duration(Duration::from_secs(30));
        if admin.create_if_missing(&subscription).await? {
            tracing::info!(subscription = name, filter, "created");
        }
    }
    admin.close().await;
    Ok(())
}

/// What an HTTP server shares among its requests.
#[derive(Clone)]
pub(crate) struct Front {
    sender: Sender,
}

impl Front {
    /// `POST /orders`: the status of the answer, in two seconds at most.
    pub(crate) async fn place(&self, order: &Order) -> u16 {
        let Ok(message) = to_message(order) else { return 400 };
        match self.sender.timeout(Duration::from_secs(2)).send(&message).await {
            Ok(()) => 202,
            Err(error) if error.is_transient() => 503,
            Err(error) => {
                tracing::error!(%error, order = order.id, "refused");
                400
            }
        }
    }

    /// Many orders, in as few batches as they fit into.
    pub(crate) async fn place_all(&self, orders: &[Order]) -> Result<()> {
        let messages = orders.iter().map(to_message).collect::<serde_json::Result<Vec<_>>>()?;
        Ok(self.sender.send_all(&messages).await?)
    }

    /// The order once more, after a while.
    pub(crate) async fn remind(&self, order: &Order, after: Duration) -> Result<i64> {
        let at = Timestamp::from(SystemTime::now() + after);
        Ok(self.sender.schedule(&to_message(order)?.with_subject("reminder"), at).await?)
    }
}

#[derive(Debug)]
struct OutOfStock(u32);

impl fmt::Display for OutOfStock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order {} is out of stock", self.0)
    }
}

impl std::error::Error for OutOfStock {}

/// Where handled orders go.
#[derive(Clone, Default)]
pub(crate) struct Shop(Arc<Shelves>);

#[derive(Default)]
struct Shelves {
    handled: Mutex<Vec<(u32, String)>>,
    failed: AtomicU32,
}

impl Shop {
    /// The orders that were handled, by their ids and subscriptions, in order of these.
    pub(crate) fn handled(&self) -> Vec<(u32, String)> {
        let mut handled = self.0.handled.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        handled.sort();
        handled
    }

    /// Handlers that have failed.
    pub(crate) fn failed(&self) -> u32 {
        self.0.failed.load(Ordering::Relaxed)
    }

    async fn handle(&self, order: Order, message: &ProcessorMessage) -> std::result::Result<(), HandlerError> {
        if order.total < 0.0 {
            return Err(DeadLetter::new("not an order", format!("the total {} is negative", order.total)).into());
        }
        // Every seventh order is there on its second delivery only.
        if order.id.is_multiple_of(7) && message.delivery_count() == 0 {
            self.0.failed.fetch_add(1, Ordering::Relaxed);
            // A pause of its own before the service delivers it again; it grows with the deliveries.
            sleep(Duration::from_millis(20) * (message.delivery_count() + 1)).await;
            return Err(OutOfStock(order.id).into());
        }
        let place = message.entity().map(ToString::to_string).unwrap_or_default();
        tracing::info!(order = order.id, customer = order.customer, "handled");
        self.0.handled.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((order.id, place));
        Ok(())
    }
}

/// Handles the orders of a subscription, eight concurrently, until the processor is stopped.
fn work(client: &Client, subscription: &str, shop: Shop) -> (impl Fn() + use<>, impl Future<Output = ()> + use<>) {
    let processor = client
        .processor(Entity::subscription(TOPIC, subscription), ProcessorOptions::new().with_max_concurrent_calls(8))
        .on_error(|error| {
            let (entity, id, count) = (error.entity(), error.message_id(), error.delivery_count());
            tracing::warn!(%error, entity, id, count, "handler");
        });
    let control = processor.control();
    let running = async move {
        let handler = move |message: ProcessorMessage| {
            let shop = shop.clone();
            async move {
                let order: Order = message.json().map_err(|error| DeadLetter::new("not an order", error))?;
                shop.handle(order, &message).await
            }
        };
        if let Err(error) = processor.run(handler).await {
            tracing::error!(%error, "processor");
        }
    };
    (move || control.stop(), running)
}

/// Lists the dead letters of a subscription, and sends those again that `mend` has an order for. A dead letter goes when
/// its copy is stored.
pub(crate) async fn inspect(
    client: &Client,
    subscription: &str,
    mend: impl Fn(&str) -> Option<Order>,
) -> Result<Vec<String>> {
    let dead = client.receiver(Entity::subscription(TOPIC, subscription).dead_letter())?;
    let sender = client.sender(TOPIC)?;
    let mut seen = Vec::new();
    while let Some(message) = dead.receive(Duration::from_millis(300)).await? {
        let reason = message.dead_letter_reason().unwrap_or("none");
        seen.push(format!("{reason}: {}", message.dead_letter_description().unwrap_or("none")));
        match mend(message.text()?) {
            Some(order) => {
                sender.send(&to_message(&order)?.with_property("resubmitted", true)).await?;
                dead.complete(&message).await?;
            }
            // It stays.
            None => dead.defer(&message).await?,
        }
    }
    Ok(seen)
}

/// Tells of each outage once, and of its end.
async fn watch(client: Client) {
    let mut down = false;
    let mut state = client.state();
    loop {
        match &state {
            super::servicebus::ConnectionState::Recovering { error, .. } if !down => {
                tracing::warn!(%error, "the namespace is away");
                down = true;
            }
            super::servicebus::ConnectionState::Connected if down => {
                tracing::info!("the namespace is back");
                down = false;
            }
            super::servicebus::ConnectionState::Closed => return,
            _ => {}
        }
        state = client.state_changed(&state).await;
    }
}

/// The service from its start until `stop` is over: then handlers that run finish, nothing new starts, and everything is
/// closed within five seconds. `serve` is the HTTP server, which gets what its requests share.
pub(crate) async fn run<S: Future<Output = Result<()>>>(
    connection_string: &str,
    shop: Shop,
    serve: impl FnOnce(Front, Client) -> S,
) -> Result<()> {
    prepare(connection_string).await?;
    let client = Options::new(connection_string)?.with_retry(RetryPolicy::default()).connect();
    spawn(watch(client.clone()));
    let front = Front { sender: client.sender(TOPIC)? };
    let (stop_urgent, urgent) = work(&client, "urgent", shop.clone());
    let (stop_large, large) = work(&client, "large", shop);
    tracing::info!("started");

    let served = async {
        let result = serve(front, client.clone()).await;
        stop_urgent();
        stop_large();
        result
    };
    let workers = futures_util::future::join(urgent, large);
    let (result, _) = futures_util::future::join(served, workers).await;
    client.close().await;
    result
}

/// What a few customers and an operator do with the service.
pub(crate) async fn scenario(front: Front, client: Client, shop: &Shop) -> Result<()> {
    let order = |id, customer: &str, total, priority| Order { id, customer: customer.to_owned(), total, priority };
    if front.place(&order(1, "adam", 1_500.0, 9)).await != 202 {
        return Err("the first order was not taken".into());
    }
    front.place_all(&[order(2, "adam", 2_000.0, 1), order(3, "berta", 5_000.0, 1), order(7, "cyril", 1.0, 6)]).await?;
    front.place(&order(9, "dora", -3.0, 8)).await;
    front.remind(&order(4, "adam", 10.0, 7), Duration::from_millis(100)).await?;

    // 1 is for both subscriptions, 2 for the large ones, 3 for none, 7 and the reminder 4 for the urgent ones.
    for _ in 0..500 {
        if shop.handled().len() == 5 {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    let mended = |text: &str| {
        let order: Order = serde_json::from_str(text).ok()?;
        Some(Order { total: -order.total, ..order })
    };
    for why in inspect(&client, "urgent", mended).await? {
        tracing::info!(why, "dead letter sent again");
    }
    for _ in 0..500 {
        if shop.handled().len() == 6 {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Runs the service with its scenario, and checks what came of it.
pub(crate) async fn check(connection_string: &str) -> Result<()> {
    let shop = Shop::default();
    let at_work = shop.clone();
    run(connection_string, shop.clone(), |front, client| async move { scenario(front, client, &at_work).await })
        .await?;
    let ids: Vec<u32> = shop.handled().iter().map(|(id, _)| *id).collect();
    println!("handled: {:?}, failed once: {}", shop.handled(), shop.failed());
    if ids == [1, 1, 2, 4, 7, 9] && shop.failed() == 1 { Ok(()) } else { Err(format!("handled: {ids:?}").into()) }
}

/// Events that a person wants to see; `RUST_LOG` has others.
pub(crate) fn log() {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,servicebus=error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
