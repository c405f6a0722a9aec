//! A client whose peer says anything: every call ends, within its time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_fuzz::{Board, Names, scene, script, world};
use servicebus_simulation::Server;

fn talk<S: Names>(lines: Vec<(Duration, Vec<u8>)>) {
    let world = world();
    world.set_server(Server::SendsInSteps(lines));
    let mut settings = world.settings::<S>();
    settings.retry = settings.retry.with_max_retries(1);
    let client = world.client_with(settings);
    let began = world.clock().now;
    world.run(async move {
        let _ = scene(&client).await;
        client.close().await;
    });
    assert!(world.clock().now <= began + Duration::from_secs(3_600), "calls ended after an hour only");
    world.end();
}

fuzz_target!(|bytes: &[u8]| {
    let lines = script::read(bytes);
    talk::<Heap>(lines.clone());
    talk::<Board>(lines);
});
