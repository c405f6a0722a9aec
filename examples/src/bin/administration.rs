//! Entities at run time: made, read, changed, listed and deleted, and what happens to messages meanwhile.
//!
//! Runs on an emulator in this process, or against the namespace of `SERVICEBUS_CONNECTION_STRING`, whose key must have
//! the right to manage.

use core::time::Duration;
use servicebus_core::servicebus::administration::{
    CorrelationRuleFilter, CreateQueueOptions, CreateRuleOptions, CreateSubscriptionOptions, CreateTopicOptions,
    DEFAULT_RULE_NAME, RuleFilter, SqlRuleAction, SqlRuleFilter,
};
use servicebus_examples::{Namespace, Result};
use servicebus_tokio::administration;
use servicebus_tokio::{Message, connect};
use std::time::Instant;

const QUEUE: &str = "example-audit";
const TOPIC: &str = "example-orders";

#[tokio::main]
async fn main() -> Result<()> {
    let started = Instant::now();
    let namespace = Namespace::open(|emulator| emulator).await?;
    println!("Service Bus administration, on {}", namespace.place);
    let admin = administration::connect(&namespace.admin_connection_string)?;
    let about = admin.get_namespace_properties().await?;
    println!("  namespace {}, tier {}", about.name, about.messaging_sku);

    println!("\nMaking entities:");
    let options = CreateQueueOptions::new().lock_duration(Duration::from_secs(30)).max_delivery_count(5);
    let queue = admin.create_queue(QUEUE, options).await?;
    println!("  queue {}: locks of {:?}, {} deliveries", queue.name, queue.lock_duration, queue.max_delivery_count);
    admin.create_topic(TOPIC, CreateTopicOptions::new()).await?;
    for name in ["all", "big", "red"] {
        admin.create_subscription(TOPIC, name, CreateSubscriptionOptions::new()).await?;
    }
    println!("  topic {TOPIC} with three subscriptions");
    if let Err(error) = admin.create_queue(QUEUE, CreateQueueOptions::new()).await {
        println!("  once more: {error}");
    }

    println!("\nRules:");
    let big = SqlRuleFilter::new("quantity > @least").parameter("@least", 100);
    let options = CreateRuleOptions::new().filter(big).action(SqlRuleAction::new("SET checked = TRUE"));
    admin.create_rule(TOPIC, "big", "big-orders", options).await?;
    let red = CorrelationRuleFilter::new().subject("order").property("color", "red");
    admin.create_rule(TOPIC, "red", "red-orders", CreateRuleOptions::new().filter(red)).await?;
    for subscription in ["big", "red"] {
        // The rule that takes everything would make the others pointless.
        admin.delete_rule(TOPIC, subscription, DEFAULT_RULE_NAME).await?;
    }
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
    admin.update_subscription(&all).await?;
    sender.send("one more").await?;
    let runtime = admin.get_queue_runtime_properties(QUEUE).await?;
    println!("  {QUEUE} holds {} messages, {} bytes", runtime.total_message_count, runtime.size_in_bytes);
    client.close().await;

    admin.delete_topic(TOPIC).await?;
    admin.delete_queue(QUEUE).await?;
    println!("\nAll deleted: {}. Done in {} ms.", !admin.queue_exists(QUEUE).await?, started.elapsed().as_millis());
    Ok(())
}
