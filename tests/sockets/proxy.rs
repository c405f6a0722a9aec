//! The client on tokio through an HTTP proxy: what it asks for, and what becomes of answers that open no tunnel.

use servicebus_core::client::ErrorKind;
use servicebus_core::client::administration::AdministrationOptions;
use servicebus_core::servicebus::RetryPolicy;
use servicebus_core::servicebus::administration::QueueDescription;
use servicebus_emulator::Emulator;
use servicebus_tests::told::Told;
use servicebus_tokio::administration::{AdministrationClient, Http};
use servicebus_tokio::{Error, MessageRef, Options, Proxy, ProxyError, Tls};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy that keeps the heads of the requests, and leads every tunnel to where it says.
struct TestProxy {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    /// `answer` is the answer's status line; the way is open when it says 200.
    async fn start(destination: u16, answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                kept.lock().unwrap().push(String::from_utf8(head).unwrap());
                stream.write_all(format!("{answer}\r\n\r\n").as_bytes()).await.unwrap();
                if answer.contains(" 200 ") {
                    let mut onward = TcpStream::connect(("127.0.0.1", destination)).await.unwrap();
                    tokio::spawn(async move { copy_bidirectional(&mut stream, &mut onward).await });
                }
            }
        });
        Self { port, heads }
    }

    fn heads(&self) -> Vec<String> {
        std::mem::take(&mut self.heads.lock().unwrap())
    }
}

const OPEN: &str = "HTTP/1.1 200 Connection established";

/// A namespace that only the proxy can reach: nobody else knows its name.
fn options(connection_string: &str, proxy: &str) -> Options {
    let options = Options::new(connection_string).unwrap().with_retry(RetryPolicy::none());
    options.with_proxy(Proxy::new(proxy).unwrap())
}

async fn goes_round(options: Options) -> Result<(), Error> {
    let client = options.connect();
    let result = async {
        client.sender("q")?.send(&MessageRef::new("through")).await?;
        let receiver = client.receiver("q")?;
        let message = receiver.receive(PATIENCE).await?.expect("a message");
        assert_eq!(message.text().ok(), Some("through"));
        receiver.complete(&message).await
    };
    let result = result.await;
    client.close().await;
    result
}

#[tokio::test]
async fn connections_go_through_the_proxy() {
    let emulator = Emulator::builder().queue("q").start().await.unwrap();
    let proxy = TestProxy::start(emulator.amqp_address().port(), OPEN).await;
    let local = format!("localhost:{}", emulator.amqp_address().port());
    let namespace = &emulator.connection_string().replace(&local, "nowhere.invalid:1234");
    goes_round(options(namespace, &format!("http://127.0.0.1:{}", proxy.port))).await.unwrap();
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].starts_with("CONNECT nowhere.invalid:1234 HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[0].to_lowercase().contains("\r\nhost: nowhere.invalid:1234\r\n"), "{heads:?}");
    assert!(!heads[0].to_lowercase().contains("authorization"), "{heads:?}");

    // WebSockets, with a user and a password that have reserved characters in them.
    let url = format!("http://us%40er:pass%3Aword@127.0.0.1:{}", proxy.port);
    goes_round(options(namespace, &url).with_websockets()).await.unwrap();
    let heads = proxy.heads();
    assert!(heads[0].starts_with("CONNECT nowhere.invalid:1234 HTTP/1.1\r\n"), "{heads:?}");
    // us@er:pass:word
    let authorization = "\r\nproxy-authorization: Basic dXNAZXI6cGFzczp3b3Jk\r\n";
    assert!(heads[0].to_lowercase().contains(&authorization.to_lowercase()), "{heads:?}");
    assert!(heads[0].contains("dXNAZXI6cGFzczp3b3Jk"), "{heads:?}");
}

#[tokio::test]
async fn connections_of_smol_go_through_the_proxy() {
    let emulator = Emulator::builder().queue("q").tls(0, None).start().await.unwrap();
    let pem = emulator.certificate_pem().unwrap().as_bytes().to_vec();
    let secure = emulator.connection_string().replace(";UseDevelopmentEmulator=true", "");
    let secure = secure.replace(&format!("localhost:{}", emulator.amqp_address().port()), "localhost");
    for (namespace, port, is_secure) in [
        (emulator.connection_string().to_owned(), emulator.amqp_address().port(), false),
        (secure, emulator.tls_address().unwrap().port(), true),
    ] {
        let proxy = TestProxy::start(port, OPEN).await;
        for websockets in [false, true] {
            let url = format!("http://127.0.0.1:{}", proxy.port);
            let mut options = servicebus_async_std::Options::new(namespace.as_str())
                .unwrap()
                .with_retry(RetryPolicy::none())
                .with_proxy(servicebus_async_std::Proxy::new(&url).unwrap())
                .with_tls(servicebus_async_std::Tls::authorities_from_pem(&pem).unwrap());
            if websockets {
                options = options.with_websockets();
            }
            let client = options.connect();
            client.sender("q").unwrap().send(&MessageRef::new("through")).await.unwrap();
            client.close().await;
        }
        let heads = proxy.heads();
        assert_eq!(heads.len(), 2, "secure: {is_secure}, {heads:?}");
        assert!(heads.iter().all(|head| head.starts_with("CONNECT localhost:")), "{heads:?}");
    }
}

#[tokio::test]
async fn tls_is_spoken_with_the_namespace_through_the_tunnel() {
    let emulator = Emulator::builder().queue("q").tls(0, None).start().await.unwrap();
    let proxy = TestProxy::start(emulator.tls_address().unwrap().port(), OPEN).await;
    let tls = Tls::authorities_from_pem(emulator.certificate_pem().unwrap().as_bytes()).unwrap();
    let namespace = emulator.connection_string().replace(";UseDevelopmentEmulator=true", "");
    let namespace = &namespace.replace(&format!("localhost:{}", emulator.amqp_address().port()), "localhost");
    let url = format!("http://127.0.0.1:{}", proxy.port);
    goes_round(options(namespace, &url).with_tls(tls.clone())).await.unwrap();
    goes_round(options(namespace, &url).with_tls(tls).with_websockets()).await.unwrap();
    let heads = proxy.heads();
    assert!(heads[0].starts_with("CONNECT localhost:5671 HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[1].starts_with("CONNECT localhost:443 HTTP/1.1\r\n"), "{heads:?}");
}

#[tokio::test]
async fn the_administration_client_goes_through_the_proxy() {
    let emulator = Emulator::start().await.unwrap();
    let connection_string = emulator.admin_connection_string();
    let port = emulator.admin_address().port();
    let proxy = TestProxy::start(port, OPEN).await;
    let http = Http::default().with_proxy(Proxy::new(&format!("http://127.0.0.1:{}", proxy.port)).unwrap());
    let options = AdministrationOptions::new();
    let client = AdministrationClient::connect_with(&connection_string, options, http).unwrap();
    client.create(&QueueDescription::new("q")).await.unwrap();
    assert!(client.queue_exists("q").await.unwrap());
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1, "the connection is kept: {heads:?}");
    assert!(heads[0].starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")), "{heads:?}");
}

#[tokio::test]
async fn a_proxy_that_opens_no_way_is_told() {
    let namespace = "Endpoint=sb://nowhere.invalid;SharedAccessKeyName=k;SharedAccessKey=k";
    for (answer, told) in [
        (
            "HTTP/1.1 407 Whatever\r\nContent-Length: 0",
            "the proxy opens no way: HTTP 407 Proxy Authentication Required",
        ),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0", "the proxy opens no way: HTTP 403 Forbidden"),
        ("HTTP/1.1 599 \r\nContent-Length: 0", "the proxy opens no way: HTTP 599 "),
        ("SSH-2.0-OpenSSH", "the proxy: "),
    ] {
        let proxy = TestProxy::start(0, answer).await;
        let error = goes_round(options(namespace, &format!("http://127.0.0.1:{}", proxy.port))).await.unwrap_err();
        assert!(matches!(Told::of(&error), Told::Kind(ErrorKind::Disconnected)), "{error:?}");
        assert!(error.to_string().contains(told), "{told}: {error}");
    }
    // Connections are refused: nothing listens at this port, which is taken so that no other test gets it.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = goes_round(options(namespace, &format!("http://127.0.0.1:{port}"))).await.unwrap_err();
    assert!(error.to_string().contains("connecting to the proxy: "), "{error}");
}

#[test]
fn what_is_no_http_proxy_is_refused() {
    for url in ["", "/", "ftp://a", "socks5://a:1080", "https://a:443", "http://", "http://a:b c", "http://a:99999"] {
        assert!(matches!(Proxy::new(url), Err(ProxyError::Url)), "{url}");
    }
    for url in ["http://proxy", "http://proxy:3128/", "proxy:3128", "http://[::1]:3128", "http://u:p@proxy"] {
        let proxy = Proxy::new(url).unwrap();
        assert!(!format!("{proxy:?}").contains("p@"), "the password stays a secret");
    }
}

/// What [`the_environment_names_the_proxy`] runs in a process of its own, with another environment.
#[tokio::test]
#[ignore = "run by the_environment_names_the_proxy"]
async fn through_the_environment() {
    let connection_string = std::env::var("CONNECTION_STRING").unwrap();
    let options = Options::new(connection_string).unwrap().with_retry(RetryPolicy::none());
    goes_round(options.with_proxy(Proxy::from_environment())).await.unwrap();
}

#[tokio::test]
async fn the_environment_names_the_proxy() {
    let emulator = Emulator::builder().queue("q").start().await.unwrap();
    let proxy = TestProxy::start(emulator.amqp_address().port(), OPEN).await;
    let connection_string = emulator.connection_string();
    for (variable, no_proxy, through) in
        [("HTTPS_PROXY", "", 1), ("all_proxy", "elsewhere", 1), ("HTTPS_PROXY", "127.0.0.1,localhost", 0), ("A", "", 0)]
    {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
        child
            .args(["--ignored", "--exact", "proxy::through_the_environment"])
            .env("CONNECTION_STRING", &connection_string);
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
            child.env_remove(name);
        }
        child.env(variable, format!("http://127.0.0.1:{}", proxy.port)).env("NO_PROXY", no_proxy);
        let output = child.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(proxy.heads().len(), through, "{variable} {no_proxy}");
    }
}
