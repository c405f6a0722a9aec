//! The host that a connection string names.

use servicebus_core::servicebus::ConnectionString;
use servicebus_emulator::Emulator;
use servicebus_tests::fault::Judge;
use tokio::net::TcpStream;

/// The host of the Endpoint, and whether something listens there.
async fn reached(text: &str) -> (String, bool) {
    let host = {
        let parsed = ConnectionString::parse(text).unwrap();
        format!("{}:{}", parsed.host, parsed.amqp_port())
    };
    let connected = TcpStream::connect(&host).await.is_ok();
    (host.rsplit_once(':').unwrap().0.to_owned(), connected)
}

#[test]
fn a_connection_string_names_the_address_that_is_listened_on_f33() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut judge = Judge::new();
    for host in ["127.0.0.10", "127.0.0.2", "127.1.2.3", "127.255.255.254", "127.0.0.1", "0.0.0.0"] {
        runtime.block_on(async {
            let emulator = Emulator::builder().host(host).start().await.unwrap();
            for (name, text) in
                [("messages", emulator.connection_string()), ("administration", emulator.admin_connection_string())]
            {
                let (named, connected) = reached(&text).await;
                judge.case(
                    format!("{host}, {name}"),
                    (named, connected),
                    |(_, connected)| *connected,
                    |(named, connected)| !*connected && named == "localhost",
                );
            }
        });
    }
    judge.finish();
}
