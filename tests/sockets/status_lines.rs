//! Status lines of the management API, as HTTP carries them.

use servicebus_core::servicebus::administration::shared_access_token;
use servicebus_emulator::Emulator;
use servicebus_emulator::broker::entities::{AuthorizationRule, Rights};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Reads a resource with a key that may only listen; the status line of the answer.
async fn status_line(emulator: &Emulator, path: &str) -> String {
    let host = format!("localhost:{}", emulator.admin_address().port());
    let now = emulator.clock().utc;
    let token = shared_access_token(&format!("http://{host}/"), "listen", "bGlzdGVu", now);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n");
    let mut socket = TcpStream::connect(emulator.admin_address()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap().lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_missing_right_is_in_the_reason_phrase_f5() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let key = AuthorizationRule {
            key_name: "listen".into(),
            primary_key: "bGlzdGVu".into(),
            secondary_key: String::new(),
            rights: Rights::LISTEN,
        };
        let emulator = Emulator::builder().key(key).topic("topic").subscription("sub").start().await.unwrap();
        for path in [
            "/topic/Subscriptions/sub?api-version=2021-05",
            "/topic/Subscriptions/sub?api-version=2017-04",
            "/topic/Subscriptions/sub?api-version=2024-05",
            "/topic/Subscriptions/none?api-version=2021-05",
            "/other/topic/Subscriptions/sub?api-version=2021-05",
        ] {
            let line = status_line(&emulator, path).await;
            let start =
                "HTTP/1.1 401 SubCode=40100: Unauthorized : Unauthorized access for 'GetSubscription' operation on ";
            assert!(line.starts_with(start), "{path}: {line}");
            assert!(line.contains(&format!("{path}'. Tracking Id: ")), "{path}: {line}");
        }
    });
}
