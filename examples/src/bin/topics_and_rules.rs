//! Topics: every subscription gets the messages that its rules choose.

use servicebus_examples::{Namespace, Result};
use servicebus_tokio::{CorrelationRuleFilterRef, Entity, Message, RuleFilterRef, RuleRef, connect};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let namespace = Namespace::open(|emulator| {
        emulator.topic("prices").subscription("all").subscription("dear").subscription("tea")
    })
    .await?;
    let client = connect(namespace.connection_string.as_str())?;

    // A new subscription takes everything by its rule $Default; another choice begins with its removal.
    let dear = client.rule_manager(Entity::subscription("prices", "dear"));
    dear.remove("$Default").await?;
    dear.add(&RuleRef::new("dear", RuleFilterRef::Sql("euros > 5")).with_action("SET dear = TRUE")).await?;
    let tea = client.rule_manager(Entity::subscription("prices", "tea"));
    tea.remove("$Default").await?;
    let about_tea = CorrelationRuleFilterRef::new().with_subject("tea");
    tea.add(&RuleRef::new("tea", RuleFilterRef::Correlation(about_tea))).await?;

    for rule in tea.list().await? {
        println!("tea takes {}: {:?}", rule.name(), rule.filter());
    }

    let sender = client.sender("prices")?;
    for (subject, euros) in [("tea", 3), ("coffee", 6), ("tea", 12)] {
        sender.send(&Message::new("").with_subject(subject).with_property("euros", euros)).await?;
    }

    for subscription in ["all", "dear", "tea"] {
        print!("{subscription}:");
        let receiver = client.receiver(Entity::subscription("prices", subscription))?;
        for message in receiver.receive_messages(10, Duration::from_secs(1)).await? {
            let euros = message.property("euros").and_then(|value| value.as_i64()).unwrap_or(0);
            let dear = message.property("dear").is_some();
            print!(" {} {euros} €{}", message.subject().unwrap_or("?"), if dear { " (dear)" } else { "" });
            receiver.complete(&message).await?;
        }
        println!();
    }
    client.close().await;
    Ok(())
}
