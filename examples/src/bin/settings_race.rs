//! Two programs change the settings of one queue: the ETag tells the second one that it has to read them again.

use servicebus_examples::{Namespace, Result, queue_name};
use servicebus_tokio::{AdministrationClient, QueueDescription};

/// Raises a queue's largest delivery count by one, whatever others change meanwhile.
async fn raise(admin: &AdministrationClient, name: &str) -> Result<u32> {
    loop {
        let mut queue = admin.get_queue(name).await?;
        queue.max_delivery_count += 1;
        match admin.update_if_unchanged(&queue).await {
            Ok(changed) => return Ok(changed.max_delivery_count),
            Err(error) if error.is_conflict() => println!("changed by another one meanwhile: {error}"),
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let name = queue_name("orders");
    let namespace = Namespace::open(|emulator| emulator).await?;
    let admin = AdministrationClient::connect(&namespace.admin_connection_string)?;
    admin.create_if_missing(&QueueDescription::new(&*name).with_max_delivery_count(10)).await?;

    let (one, other, third) = tokio::join!(raise(&admin, &name), raise(&admin, &name), raise(&admin, &name));
    let mut counts = [one?, other?, third?];
    counts.sort_unstable();
    assert_eq!(counts, [11, 12, 13], "no change is lost");
    println!("raised three times: {counts:?}");

    let unused = admin.get_queue_runtime_properties(&name).await?;
    println!("created {:?}, used {:?}", unused.created_at, unused.accessed_at);
    admin.delete_queue(&name).await?;
    admin.close().await;
    Ok(())
}
