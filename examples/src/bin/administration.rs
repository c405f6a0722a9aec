//! Entities at run time: made, read, changed, listed and deleted, and what happens to messages meanwhile.
//!
//! Runs on an emulator in this process, or against the namespace of `SERVICEBUS_CONNECTION_STRING`, whose key must have
//! the right to manage.

use core::time::Duration;
use servicebus_examples::{Namespace, Result};
use servicebus_tokio::administration::{CorrelationRuleFilter, DEFAULT_RULE_NAME, SqlRuleAction, SqlRuleFilter};
use servicebus_tokio::{
    AdministrationClient, Message, QueueDescription, RuleDescription, RuleFilter, SubscriptionDescription,
    TopicDescription, connect,
};
use std::time::Instant;

const QUEUE: &str = "example-audit";
const TOPIC: &str = "example-orders";

#[tokio::main]
async fn main() -> Result<()> {
    let started = Instant::now();
    let namespace = Namespace::open(|emulator| emulator).await?;
    println!("Service Bus administration, on {}", namespace.place);
    let admin = AdministrationClient::connect(&namespace.admin_connection_string)?;
    let about = admin.get_namespace_properties().await?;
    println!("  namespace {}, tier {}", about.name, about.messaging_sku);

    println!("\nMaking entities:");
    let queue = QueueDescription::new(QUEUE).with_lock_duration(Duration::from_secs(30)).with_max_delivery_count(5);
    let queue = admin.create(&queue).await?;
    println!("  queue {}: locks of {:?}, {} deliveries", queue.name, queue.lock_duration, queue.max_delivery_count);
    admin.create(&TopicDescription::new(TOPIC)).await?;
    // A subscription starts with a rule that takes every message, unless it is given another one.
    admin.create(&SubscriptionDescription::new(TOPIC, "all")).await?;
    admin.create(&SubscriptionDescription::new(TOPIC, "big")).await?;
    let red = CorrelationRuleFilter::new().with_subject("order").with_property("color", "red");
    admin.topic(TOPIC).create_subscription("red", red).await?;
    println!("  topic {TOPIC} with three subscriptions");
    if let Err(error) = admin.create(&QueueDescription::new(QUEUE)).await {
        println!("  once more: {error}");
    }

    println!("\nRules:");
    let big = SqlRuleFilter::new("quantity > @least").with_parameter("@least", 100);
    let big = RuleDescription::new(TOPIC, "big", "big-orders").with_filter(big);
    admin.create(&big.with_action(SqlRuleAction::new("SET checked = TRUE"))).await?;
    // The rule that takes everything would make the other pointless.
    admin.delete_rule(TOPIC, "big", DEFAULT_RULE_NAME).await?;
    let mut subscriptions = admin.list_subscriptions(TOPIC);
    while let Some(page) = subscriptions.next_page().await? {
        for subscription in page {
            for rule in admin.list_rules(TOPIC, &subscription.name).all().await? {
                let takes = match &rule.filter {
                    RuleFilter::Sql(sql) => format!("messages where {}", sql.sql_expression),
                    RuleFilter::Correlation(filter) => format!("messages with {:?}", filter.properties),
                    _ => "every message".into(),
                };
                println!("  {}: {} takes {takes}", subscription.name, rule.name);
            }
        }
    }

    println!("\nMessages:");
    let client = connect(namespace.connection_string.as_str())?;
    let sender = client.sender(TOPIC)?;
    for (color, quantity) in [("red", 5), ("blue", 500), ("red", 1_000)] {
        let order = Message::new("an order").with_subject("order");
        sender.send(&order.with_property("color", color).with_property("quantity", quantity)).await?;
    }
    for subscription in admin.list_subscriptions_runtime_properties(TOPIC).all().await? {
        println!("  {} holds {} of 3", subscription.name, subscription.message_count_details.active);
    }

    println!("\nChanging \"all\" to forward to {QUEUE}:");
    let mut all = admin.get_subscription(TOPIC, "all").await?;
    all.forward_to = Some(QUEUE.into());
    admin.update(&all).await?;
    sender.send("one more").await?;
    let runtime = admin.get_queue_runtime_properties(QUEUE).await?;
    println!("  {QUEUE} holds {} messages, {} bytes", runtime.total_message_count, runtime.size_in_bytes);
    client.close().await;

    admin.delete_topic(TOPIC).await?;
    admin.delete_queue(QUEUE).await?;
    println!("\nAll deleted: {}. Done in {} ms.", !admin.queue_exists(QUEUE).await?, started.elapsed().as_millis());
    Ok(())
}
