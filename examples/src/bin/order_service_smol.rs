//! The service of `order_service` on smol: other `use` lines, and how smol spawns and waits.

use servicebus_async_std as servicebus;
use servicebus_examples::{Namespace, Result};

#[path = "../order_service/mod.rs"]
mod order_service;

fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    smol::spawn(task).detach();
}

async fn sleep(duration: std::time::Duration) {
    smol::Timer::after(duration).await;
}

fn main() -> Result<()> {
    order_service::log();
    let namespace = Namespace::open_in_thread(|emulator| emulator)?;
    smol::block_on(order_service::check(&namespace.connection_string))
}

#[test]
fn orders_are_handled() {
    let namespace = Namespace::open_in_thread(|emulator| emulator).unwrap();
    smol::block_on(order_service::check(&namespace.connection_string)).unwrap();
}
