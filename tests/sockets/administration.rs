//! The administration client over HTTP and HTTPS, against the emulator in this process.

use core::time::Duration;
use servicebus_core::client::administration::{AdministrationError, AdministrationOptions, HttpClient};
use servicebus_core::servicebus::RetryPolicy;
use servicebus_core::servicebus::administration::{
    ApiVersion, CorrelationRuleFilter, Endpoint, EntityStatus, Headers, MAX_RESPONSE_BODY, Method, QueueDescription,
    Request, RuleDescription, RuleFilter, ServiceErrorKind, SqlRuleAction, SqlRuleFilter, SubscriptionDescription,
    TopicDescription,
};
use servicebus_emulator::Emulator;
use servicebus_tokio::administration::{AdministrationClient, Http, HttpError};
use servicebus_tokio::{MessageRef, Tls, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const WAIT: Duration = Duration::from_secs(10);

async fn start() -> (Emulator, AdministrationClient) {
    let emulator = Emulator::start().await.unwrap();
    let client = AdministrationClient::connect(emulator.admin_connection_string()).unwrap();
    (emulator, client)
}

#[tokio::test]
async fn every_entity_is_made_read_changed_listed_and_deleted() {
    let (_emulator, client) = start().await;
    let queue = QueueDescription::new("a/queue").with_lock_duration(Duration::from_secs(30)).with_user_metadata("<&>");
    let mut queue = client.create(&queue).await.unwrap();
    assert_eq!((queue.name.as_str(), queue.user_metadata.as_deref()), ("a/queue", Some("<&>")));
    queue.max_delivery_count = 3;
    client.update(&queue).await.unwrap();
    let mut read = client.get_queue("a/queue").await.unwrap();
    assert!(read.etag.take().is_some());
    assert_eq!(read, queue);
    assert_eq!(client.list_queues().all().await.unwrap(), [queue]);

    let mut topic = client.create(&TopicDescription::new("topic")).await.unwrap();
    topic.enable_batched_operations = false;
    client.update(&topic).await.unwrap();
    assert_eq!(client.list_topics().all().await.unwrap(), [topic]);

    let subscription = SubscriptionDescription::new("topic", "sub").with_forward_dead_lettered_messages_to("a/queue");
    let mut subscription = client.create(&subscription).await.unwrap();
    assert_eq!(subscription.forward_dead_lettered_messages_to.as_deref(), Some("sb://localhost/a/queue"));
    subscription.status = EntityStatus::ReceiveDisabled;
    client.update(&subscription).await.unwrap();
    assert_eq!(client.get_subscription("topic", "sub").await.unwrap(), subscription);
    assert_eq!(client.list_subscriptions("topic").all().await.unwrap(), [subscription]);

    let filter = SqlRuleFilter::new("price > @least").with_parameter("@least", 10);
    let rule = RuleDescription::new("topic", "sub", "dear").with_filter(filter);
    let rule = rule.with_action(SqlRuleAction::new("SET dear = TRUE"));
    let mut rule = client.create(&rule).await.unwrap();
    assert_eq!(client.get_rule("topic", "sub", "dear").await.unwrap(), rule);
    rule.filter = CorrelationRuleFilter::new().with_subject("dear").with_property("n", 1.5).into();
    client.update_rule("topic", "sub", &rule).await.unwrap();
    let rules = client.list_rules("topic", "sub").all().await.unwrap();
    assert_eq!(rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["$Default", "dear"]);
    assert!(matches!(&rules[..], [first, second] if first.filter == RuleFilter::True && second.filter == rule.filter));

    let runtime = client.get_topic_runtime_properties("topic").await.unwrap();
    assert_eq!((runtime.subscription_count, runtime.sql_filter_count), (1, Some(1)));
    assert_eq!(runtime.correlation_filter_count, Some(1));
    assert_eq!(client.get_namespace_properties().await.unwrap().name, "sbemulatorns");

    client.delete_rule("topic", "sub", "dear").await.unwrap();
    client.delete_subscription("topic", "sub").await.unwrap();
    client.delete_topic("topic").await.unwrap();
    client.delete_queue("a/queue").await.unwrap();
    assert!(!client.queue_exists("a/queue").await.unwrap());
    assert_eq!(client.list_topics().all().await.unwrap(), []);
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let (emulator, client) = start().await;
    client.create(&QueueDescription::new("queue")).await.unwrap();
    let error = client.create(&QueueDescription::new("queue")).await.unwrap_err();
    assert!(error.is_already_exists());
    let AdministrationError::Service(refusal) = error else { panic!("{error}") };
    assert_eq!((refusal.status, refusal.sub_code), (409, Some(40_900)));
    assert!(refusal.tracking_id.is_some());
    assert!(client.get_queue("none").await.unwrap_err().is_not_found());
    assert!(client.delete_topic("none").await.unwrap_err().is_not_found());
    assert!(client.get_topic("queue").await.unwrap_err().is_not_found());
    let long = QueueDescription::new("long").with_lock_duration(Duration::from_secs(301));
    let error = client.create(&long).await.unwrap_err();
    assert_eq!(error.kind(), Some(ServiceErrorKind::BadRequest));
    assert!(error.to_string().contains("maximum of '5' minutes"), "{error}");

    let wrong = emulator.admin_connection_string().replace("SAS_KEY_VALUE", "wrong");
    let other = AdministrationClient::connect(&wrong).unwrap();
    assert_eq!(other.get_queue("queue").await.unwrap_err().kind(), Some(ServiceErrorKind::Unauthorized));
    assert!(AdministrationClient::connect("Endpoint=sb://h").is_err());
}

/// Programs set up their entities in one function. Without optimizations, each of its calls has a place of its own on the
/// stack.
#[tokio::test]
async fn the_future_of_a_call_is_small() {
    const MOST: usize = 3 << 10;
    let text = "Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=k";
    let client = AdministrationClient::connect(text).unwrap();
    let smol = servicebus_async_std::AdministrationClient::connect(text).unwrap();
    let (queue, rule) = (QueueDescription::new("q"), RuleDescription::new("t", "s", "r"));
    let sizes = [
        ("create", size_of_val(&client.create(&queue))),
        ("create, on smol", size_of_val(&smol.create(&queue))),
        ("create a rule", size_of_val(&client.create(&rule))),
        ("create_if_missing", size_of_val(&client.create_if_missing(&queue))),
        ("get_queue", size_of_val(&client.get_queue("q"))),
        ("get_subscription", size_of_val(&client.get_subscription("t", "s"))),
        ("queue_exists", size_of_val(&client.queue_exists("q"))),
        ("delete_queue", size_of_val(&client.delete_queue("q"))),
        ("a list", size_of_val(&client.list_queues().all())),
        ("of a topic", size_of_val(&client.topic("t").create_subscription_if_missing("s", RuleFilter::True))),
        ("close", size_of_val(&client.close())),
    ];
    let large: Vec<_> = sizes.into_iter().filter(|(_, size)| *size > MOST).collect();
    assert_eq!(large, []);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let (_emulator, client) = start().await;
    for number in 0..120 {
        client.create(&QueueDescription::new(format!("q{number:03}"))).await.unwrap();
    }
    let mut pages = client.list_queues_runtime_properties().with_page_size(50);
    let mut sizes = Vec::new();
    while let Some(page) = pages.next_page().await.unwrap() {
        sizes.push(page.len());
    }
    assert_eq!(sizes, [50, 50, 20]);
    assert_eq!(client.list_queues().all().await.unwrap().len(), 120);
}

#[tokio::test]
async fn counts_are_those_of_messages_that_were_sent() {
    let (emulator, admin) = start().await;
    admin.create(&TopicDescription::new("topic")).await.unwrap();
    admin.create(&SubscriptionDescription::new("topic", "sub")).await.unwrap();
    let client = connect(emulator.connection_string()).unwrap();
    let sender = client.sender("topic").unwrap();
    sender.send_all(&[MessageRef::new("one"), MessageRef::new("two")]).await.unwrap();
    let runtime = admin.get_subscription_runtime_properties("topic", "sub").await.unwrap();
    assert_eq!((runtime.message_count_details.active, runtime.total_message_count), (2, 2));
    emulator.purge();
    let runtime = admin.get_subscription_runtime_properties("topic", "sub").await.unwrap();
    assert_eq!(runtime.total_message_count, 0);
    emulator.clear();
    assert!(!admin.topic_exists("topic").await.unwrap());
    client.close().await;
}

#[tokio::test]
async fn a_waiting_receiver_learns_that_its_queue_is_gone_and_goes_on_after_a_change() {
    let (emulator, admin) = start().await;
    let mut queue = admin.create(&QueueDescription::new("queue")).await.unwrap();
    let client = connect(emulator.connection_string()).unwrap();
    let (sender, receiver) = (client.sender("queue").unwrap(), client.receiver("queue").unwrap());
    sender.send(&MessageRef::new("one")).await.unwrap();
    let message = receiver.receive(WAIT).await.unwrap().unwrap();
    receiver.complete(&message).await.unwrap();

    queue.max_delivery_count = 2;
    admin.update(&queue).await.unwrap();
    sender.send(&MessageRef::new("two")).await.unwrap();
    let message = receiver.receive(WAIT).await.unwrap().unwrap();
    assert_eq!(message.text().ok(), Some("two"));
    receiver.complete(&message).await.unwrap();

    let (received, deleted) = tokio::join!(receiver.receive(WAIT), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        admin.delete_queue("queue").await
    });
    deleted.unwrap();
    assert!(received.is_err(), "{received:?}");
    client.close().await;
}

#[tokio::test]
async fn https_is_spoken_on_the_same_port() {
    let emulator = Emulator::builder().tls(0, None).queue("queue").start().await.unwrap();
    let text = emulator.admin_connection_string().replace("UseDevelopmentEmulator=true;", "");
    let trusted = Tls::authorities_from_pem(emulator.certificate_pem().unwrap().as_bytes()).unwrap();
    let options =
        || AdministrationOptions::new().with_retry(RetryPolicy::none()).with_api_version(ApiVersion::V2021_05);
    let client = AdministrationClient::connect_with(&text, options(), Http::default().with_tls(trusted)).unwrap();
    assert!(client.queue_exists("queue").await.unwrap());
    // Requests that follow use the connection again.
    assert_eq!(client.list_queues().all().await.unwrap().len(), 1);

    let distrustful = Http::default().with_tls(Tls::Authorities(Vec::new()));
    let client = AdministrationClient::connect_with(&text, options(), distrustful).unwrap();
    let error = client.queue_exists("queue").await.unwrap_err();
    assert!(matches!(error, AdministrationError::Transport(HttpError::Dial(_))), "{error}");
}

/// The emulator runs on tokio, the client on async-io, which smol and async-std stand on.
#[test]
fn smol_speaks_http_and_https() {
    use servicebus_async_std::administration as smol_administration;

    let tokio = tokio::runtime::Runtime::new().unwrap();
    let emulator = tokio.block_on(Emulator::builder().tls(0, None).start()).unwrap();
    let plain = emulator.admin_connection_string();
    let secure = plain.replace("UseDevelopmentEmulator=true;", "");
    let pem = emulator.certificate_pem().unwrap().as_bytes();
    let trusted = servicebus_async_std::Tls::authorities_from_pem(pem).unwrap();
    smol::block_on(async {
        let client = smol_administration::AdministrationClient::connect(&plain).unwrap();
        for number in 0..120 {
            client.create(&QueueDescription::new(format!("q{number:03}"))).await.unwrap();
        }
        let http = smol_administration::Http::default().with_tls(trusted);
        let client =
            smol_administration::AdministrationClient::connect_with(&secure, AdministrationOptions::new(), http)
                .unwrap();
        assert_eq!(client.list_queues().all().await.unwrap().len(), 120);
        client.delete_queue("q000").await.unwrap();
        assert!(client.get_queue("q000").await.unwrap_err().is_not_found());
        let endpoint = tokio.block_on(serve(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()));
        let http = smol_administration::Http::default();
        for _ in 0..5 {
            assert_eq!(http.send(&endpoint, get()).await.unwrap().status, 204);
        }
    });
}

/// A request that changes nothing is sent again when a connection that was kept is closed under it; one that changes
/// something may have been carried out.
#[test]
fn what_a_closed_connection_swallowed_is_sent_again_where_it_is_safe() {
    let tokio = tokio::runtime::Runtime::new().unwrap();
    let endpoint = tokio.block_on(serve_once());
    let put = || Request { method: Method::Put, ..get() };
    tokio.block_on(async {
        let http = Http::default();
        assert_eq!(http.send(&endpoint, get()).await.unwrap().status, 204);
        assert_eq!(http.send(&endpoint, get()).await.unwrap().status, 204);
        assert!(matches!(http.send(&endpoint, put()).await, Err(HttpError::Http(_))));
    });
    smol::block_on(async {
        let http = servicebus_async_std::administration::Http::default();
        assert_eq!(http.send(&endpoint, get()).await.unwrap().status, 204);
        assert_eq!(http.send(&endpoint, get()).await.unwrap().status, 204);
        let error = http.send(&endpoint, put()).await.unwrap_err();
        assert!(matches!(error, servicebus_async_std::administration::HttpError::Http(_)), "{error}");
    });
}

/// Answers the first request on every connection, and closes it when the second has come.
async fn serve_once() -> Endpoint {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let _ = socket.read(&mut buffer).await;
                let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                let _ = socket.read(&mut buffer).await;
            });
        }
    });
    endpoint_at(port)
}

fn get() -> Request {
    Request { method: Method::Get, path_and_query: "/q".into(), headers: Headers::new(), body: Vec::new() }
}

/// Answers every request on every connection with the same bytes, then closes.
async fn serve(answer: Vec<u8>) -> Endpoint {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(&answer).await;
        }
    });
    endpoint_at(port)
}

fn endpoint_at(port: u16) -> Endpoint {
    let text =
        format!("Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true");
    Endpoint::from_connection_string(&servicebus_core::servicebus::ConnectionString::parse(&text).unwrap())
}

#[tokio::test]
async fn connections_that_end_are_replaced() {
    let endpoint = serve(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
    let http = Http::default();
    for _ in 0..5 {
        assert_eq!(http.send(&endpoint, get()).await.unwrap().status, 204);
    }
}

#[tokio::test]
async fn answers_are_bounded() {
    let mut answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    answer.resize(answer.len() + MAX_RESPONSE_BODY + 1, b'x');
    let endpoint = serve(answer).await;
    let error = Http::default().send(&endpoint, get()).await.unwrap_err();
    assert!(matches!(error, HttpError::Body(_)), "{error}");
    let endpoint = serve(b"AMQP\x03\x01\x00\x00".to_vec()).await;
    let error = Http::default().send(&endpoint, get()).await.unwrap_err();
    assert!(matches!(error, HttpError::Http(_)), "{error}");
}

#[tokio::test]
async fn what_is_there_is_not_created_again() {
    let emulator = Emulator::start().await.unwrap();
    let client = AdministrationClient::connect(emulator.admin_connection_string()).unwrap();
    for expected in [true, false] {
        let queue = QueueDescription::new("q").with_max_delivery_count(5);
        assert_eq!(client.create_if_missing(&queue).await.unwrap(), expected);
        assert_eq!(client.create_if_missing(&TopicDescription::new("t")).await.unwrap(), expected);
        assert_eq!(client.create_if_missing(&SubscriptionDescription::new("t", "s")).await.unwrap(), expected);
        assert_eq!(client.create_if_missing(&RuleDescription::new("t", "s", "r")).await.unwrap(), expected);
    }
    assert!(client.create_if_missing(&SubscriptionDescription::new("gone", "s")).await.is_err());
}

/// Two programs that change one entity: the slower one learns of it (docs/evidence/pinned-behaviour.md ADM6).
#[tokio::test]
async fn a_change_in_between_is_a_conflict_when_the_etag_is_compared() {
    let (_emulator, client) = start().await;
    client.create(&QueueDescription::new("q")).await.unwrap();
    client.create(&TopicDescription::new("t")).await.unwrap();

    let mut first = client.get_queue("q").await.unwrap();
    let mut second = client.get_queue("q").await.unwrap();
    first.max_delivery_count = 3;
    let updated = client.update_if_unchanged(&first).await.unwrap();
    second.max_delivery_count = 4;
    let error = client.update_if_unchanged(&second).await.unwrap_err();
    assert!(error.is_conflict() && !error.is_transient(), "{error:?}");
    assert_eq!(error.kind(), Some(ServiceErrorKind::PreconditionFailed));
    assert_eq!(client.get_queue("q").await.unwrap().max_delivery_count, 3);
    // The answer to a change names no version, so it cannot be used for the next one by mistake.
    let error = client.update_if_unchanged(&updated).await.unwrap_err();
    assert!(matches!(error, AdministrationError::Request(_)), "{error:?}");
    client.update(&second).await.unwrap();
    assert_eq!(client.get_queue("q").await.unwrap().max_delivery_count, 4);
    assert_eq!(client.list_queues().all().await.unwrap()[0].etag, None);

    let mut topic = client.get_topic("t").await.unwrap();
    topic.enable_batched_operations = false;
    client.update_if_unchanged(&topic).await.unwrap();
    assert!(client.update_if_unchanged(&topic).await.unwrap_err().is_conflict());
}

#[tokio::test]
async fn a_topic_makes_subscriptions_and_rules() {
    let (_emulator, client) = start().await;
    client.create(&TopicDescription::new("events")).await.unwrap();
    let topic = client.topic("events");
    let big = topic.create_subscription("big", RuleFilter::sql("total >= 1000 AND customer LIKE 'a%'")).await.unwrap();
    assert_eq!((big.topic_name.as_str(), big.name.as_str()), ("events", "big"));
    assert!(!topic.create_subscription_if_missing("big", RuleFilter::True).await.unwrap());
    let rules = topic.subscription("big");
    rules.create_rule("red", CorrelationRuleFilter::new().with_subject("red")).await.unwrap();
    assert!(!rules.create_rule_if_missing("red", RuleFilter::True).await.unwrap());
    let found = rules.list_rules().all().await.unwrap();
    assert_eq!(found.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["$Default", "red"]);
    assert!(matches!(&found[0].filter, RuleFilter::Sql(sql) if sql.sql_expression.starts_with("total >= 1000")));
    assert_eq!(topic.list_subscriptions().all().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_list_is_a_stream_on_any_thread() {
    use std::pin::Pin;

    let (_emulator, client) = start().await;
    for number in 0..7 {
        client.create(&QueueDescription::new(format!("q{number}"))).await.unwrap();
    }
    let mut queues = client.list_queues().with_page_size(3).stream();
    let names = tokio::spawn(async move {
        let mut names = Vec::new();
        while let Some(queue) =
            std::future::poll_fn(|cx| futures_core::Stream::poll_next(Pin::new(&mut queues), cx)).await
        {
            names.push(queue.unwrap().name);
        }
        names
    });
    assert_eq!(names.await.unwrap(), ["q0", "q1", "q2", "q3", "q4", "q5", "q6"]);
}

#[tokio::test]
async fn a_client_is_closed_for_all_its_clones() {
    let (_emulator, client) = start().await;
    let clone = client.clone();
    clone.create(&QueueDescription::new("q")).await.unwrap();
    client.close().await;
    assert!(clone.is_closed());
    let error = clone.get_queue("q").await.unwrap_err();
    assert!(matches!(error, AdministrationError::Closed) && !error.is_transient(), "{error:?}");
}

/// A server that never answers: the call ends by its own time, far below that of the policy.
#[tokio::test]
async fn a_call_ends_within_its_own_time() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let text = format!(
        "Endpoint=sb://{};SharedAccessKeyName=n;SharedAccessKey=a2V5;UseDevelopmentEmulator=true",
        listener.local_addr().unwrap()
    );
    let client = AdministrationClient::connect(&text).unwrap();
    let began = std::time::Instant::now();
    let error = client.timeout(Duration::from_millis(200)).get_queue("q").await.unwrap_err();
    assert!(matches!(error, AdministrationError::Timeout), "{error:?}");
    let took = began.elapsed();
    assert!((Duration::from_millis(200)..Duration::from_secs(20)).contains(&took), "{took:?}");
}
