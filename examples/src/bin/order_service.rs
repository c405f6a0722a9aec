//! A service on tokio: orders come in over one shared sender, two processors handle them, dead letters are mended and sent
//! again. `order_service_smol` is the same service on smol.

use servicebus_examples::{Namespace, Result};
use servicebus_tokio as servicebus;
use tokio::time::sleep;

#[path = "../order_service/mod.rs"]
mod order_service;

fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}

#[tokio::main]
async fn main() -> Result<()> {
    order_service::log();
    let namespace = Namespace::open(|emulator| emulator).await?;
    // A service ends by Ctrl-C; the example by itself.
    tokio::select! {
        result = order_service::check(&namespace.connection_string) => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_handled() {
    let namespace = Namespace::open(|emulator| emulator).await.unwrap();
    order_service::check(&namespace.connection_string).await.unwrap();
}
