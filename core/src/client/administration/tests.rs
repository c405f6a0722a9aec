//! The client over answers that are in memory.

use super::*;
use crate::servicebus::administration::service::{
    Content, Entry, SentDescription, read_body, write_entry, write_error, write_feed,
};
use crate::servicebus::administration::*;
use crate::servicebus::sas::SharedAccessSignature;
use crate::servicebus::{ConnectionString, RetryPolicy};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::cell::{Cell, RefCell};
use core::future::{pending, ready};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

#[derive(Debug, PartialEq)]
struct Broken;

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("broken")
    }
}

impl core::error::Error for Broken {}

enum Answer {
    Response(Response),
    Broken,
    Never,
}

/// Gives answers in their order and keeps the requests and the waits.
#[derive(Default)]
struct Script {
    answers: RefCell<VecDeque<Answer>>,
    requests: RefCell<Vec<Request>>,
    waits: RefCell<Vec<Duration>>,
    utc: Cell<i64>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: RefCell::new(answers.into_iter().collect()), ..Self::default() }
    }
}

impl HttpClient for &Script {
    type Error = Broken;

    async fn send(&self, endpoint: &Endpoint, request: Request) -> Result<Response, Broken> {
        assert_eq!((endpoint.host(), endpoint.port(), endpoint.uses_tls()), ("localhost", 5_300, false));
        self.requests.borrow_mut().push(request);
        let answer = self.answers.borrow_mut().pop_front();
        match answer.expect("a request too many") {
            Answer::Response(response) => Ok(response),
            Answer::Broken => Err(Broken),
            Answer::Never => pending().await,
        }
    }
}

impl Timer for &Script {
    fn utc(&self) -> Timestamp {
        Timestamp::from_secs(self.utc.get())
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        let mut asked = false;
        core::future::poll_fn(move |_| {
            // Only a wait that is polled counts: the time-out of an answered attempt is not.
            if !asked {
                asked = true;
                self.waits.borrow_mut().push(duration);
                self.utc.set(self.utc.get() + duration.as_secs() as i64);
            }
            Poll::Ready(())
        })
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

const CONNECTION_STRING: &str =
    "Endpoint=sb://localhost;SharedAccessKeyName=Root;SharedAccessKey=key;UseDevelopmentEmulator=true";

fn client(script: &Script) -> AdministrationClient<&Script, &Script> {
    let text = ConnectionString::parse(CONNECTION_STRING).unwrap();
    AdministrationClient::from_connection_string(&text, AdministrationOptions::default(), script, script)
}

fn answer(status: u16, body: String) -> Answer {
    Answer::Response(Response { status, headers: Headers::new(), body: body.into_bytes() })
}

fn refusal(status: u16, detail: &str) -> Answer {
    answer(status, write_error(status, detail))
}

fn entry(title: &str, content: Content) -> Entry {
    Entry {
        id: "id".into(),
        title: title.into(),
        published: None,
        updated: Timestamp::UNIX_EPOCH,
        author: None,
        href: "id".into(),
        content,
    }
}

fn queue(title: &str) -> Entry {
    let state = EntityState { message_count: Some(3), ..EntityState::default() };
    entry(title, Content::Queue(Description::new(CreateQueueOptions::new().with_max_delivery_count(7), state)))
}

fn topic(title: &str) -> Entry {
    entry(title, Content::Topic(Description::new(CreateTopicOptions::new(), EntityState::default())))
}

fn subscription(title: &str) -> Entry {
    entry(title, Content::Subscription(Description::new(CreateSubscriptionOptions::new(), EntityState::default())))
}

fn rule(title: &str) -> Entry {
    entry(title, Content::Rule(RuleProperties::new(title, CreateRuleOptions::new()), RuleForm::Stored))
}

fn lines(script: &Script) -> Vec<String> {
    let requests = script.requests.borrow();
    requests
        .iter()
        .map(|request| {
            let matches = request.headers.get("If-Match").map_or(String::new(), |value| format!(" {value}"));
            let path = request
                .path_and_query
                .replace("?enrich=false&api-version=2024-05", "")
                .replace("?api-version=2024-05", "");
            format!("{} {path}{matches}", request.method.as_str())
        })
        .collect()
}

#[test]
fn every_operation_sends_its_request_and_reads_its_answer() {
    let feed = |entries: &[Entry]| answer(200, write_feed("F", "id", Timestamp::UNIX_EPOCH, None, entries));
    let one = |status, entry: Entry| answer(status, write_entry(&entry));
    let nothing = || answer(200, String::new());
    let mut answers = vec![];
    for make in [queue, topic] {
        answers.extend([one(201, make("e")), one(200, make("e")), one(200, make("e")), one(200, make("e"))]);
        answers.extend([one(200, make("e")), feed(&[make("e")]), feed(&[make("e")]), nothing()]);
    }
    answers.extend([one(201, subscription("s")), one(200, subscription("s")), one(200, subscription("s"))]);
    answers.extend([one(200, subscription("s")), one(200, subscription("s")), feed(&[subscription("s")])]);
    answers.extend([feed(&[subscription("s")]), nothing()]);
    answers.extend([one(201, rule("r")), one(200, rule("r")), one(200, rule("r")), one(200, rule("r"))]);
    answers.extend([feed(&[rule("r")]), nothing()]);
    let namespace = NamespaceProperties::new("ns", MessagingSku::Standard);
    answers.push(one(200, entry("ns", Content::Namespace(namespace))));
    let script = Script::new(answers);
    let client = client(&script);
    block_on(async {
        let created = client.create(&QueueDescription::new("e")).await.unwrap();
        assert_eq!((created.name.as_str(), created.max_delivery_count), ("e", 7));
        let mut read = client.get_queue("e").await.unwrap();
        assert_eq!(client.get_queue_runtime_properties("e").await.unwrap().total_message_count, 3);
        read.lock_duration = Duration::from_secs(9);
        client.update(&read).await.unwrap();
        assert!(client.queue_exists("e").await.unwrap());
        assert_eq!(client.list_queues().all().await.unwrap().len(), 1);
        assert_eq!(client.list_queues_runtime_properties().all().await.unwrap().len(), 1);
        client.delete_queue("e").await.unwrap();

        client.create(&TopicDescription::new("e")).await.unwrap();
        let read = client.get_topic("e").await.unwrap();
        client.get_topic_runtime_properties("e").await.unwrap();
        client.update(&read).await.unwrap();
        assert!(client.topic_exists("e").await.unwrap());
        assert_eq!(client.list_topics().all().await.unwrap().len(), 1);
        assert_eq!(client.list_topics_runtime_properties().all().await.unwrap().len(), 1);
        client.delete_topic("e").await.unwrap();

        client.create(&SubscriptionDescription::new("t", "s")).await.unwrap();
        let read = client.get_subscription("t", "s").await.unwrap();
        assert_eq!((read.topic_name.as_str(), read.name.as_str()), ("t", "s"));
        client.get_subscription_runtime_properties("t", "s").await.unwrap();
        client.update(&read).await.unwrap();
        assert!(client.subscription_exists("t", "s").await.unwrap());
        assert_eq!(client.list_subscriptions("t").all().await.unwrap().len(), 1);
        assert_eq!(client.list_subscriptions_runtime_properties("t").all().await.unwrap().len(), 1);
        client.delete_subscription("t", "s").await.unwrap();

        client.create(&RuleDescription::new("t", "s", "r").with_filter(RuleFilter::False)).await.unwrap();
        let read = client.get_rule("t", "s", "r").await.unwrap();
        client.update_rule("t", "s", &read).await.unwrap();
        assert!(client.rule_exists("t", "s", "r").await.unwrap());
        assert_eq!(client.list_rules("t", "s").all().await.unwrap().len(), 1);
        client.delete_rule("t", "s", "r").await.unwrap();
        assert_eq!(client.get_namespace_properties().await.unwrap().name, "ns");
    });
    let page = "$skip=0&$top=100&api-version=2024-05";
    let mut expected = vec![];
    for list in ["queues", "topics"] {
        expected.extend(["PUT /e", "GET /e", "GET /e", "PUT /e *", "GET /e"].map(String::from));
        expected.extend([
            format!("GET /$Resources/{list}?{page}"),
            format!("GET /$Resources/{list}?{page}"),
            "DELETE /e".into(),
        ]);
    }
    let s = "/t/subscriptions/s";
    expected.extend([
        format!("PUT {s}"),
        format!("GET {s}"),
        format!("GET {s}"),
        format!("PUT {s} *"),
        format!("GET {s}"),
    ]);
    let list = format!("GET /t/subscriptions?{page}");
    expected.extend([list.clone(), list, format!("DELETE {s}")]);
    expected.extend([format!("PUT {s}/rules/r"), format!("GET {s}/rules/r"), format!("PUT {s}/rules/r *")]);
    expected.extend([format!("GET {s}/rules/r"), format!("GET {s}/rules?{page}"), format!("DELETE {s}/rules/r")]);
    expected.push("GET /$namespaceinfo".into());
    assert_eq!(lines(&script), expected);
    let requests = script.requests.borrow();
    let update = requests.get(3).unwrap();
    assert!(matches!(
        read_body(&update.body),
        Ok(SentDescription::Queue(queue)) if queue.options.lock_duration == Some(Duration::from_secs(9))
    ));
    for request in requests.iter() {
        let token = SharedAccessSignature::parse(request.headers.get("Authorization").unwrap()).unwrap();
        assert_eq!(token.verify("key", Timestamp::from_secs(0)), Ok(()));
        assert!(token.audience().eq("https://localhost:5300".bytes()));
    }
}

#[test]
fn pages_follow_the_link_to_the_next_one() {
    let feed = |names: &[&str], next: Option<&str>| {
        let entries: Vec<Entry> = names.iter().map(|name| queue(name)).collect();
        answer(200, write_feed("Queues", "id", Timestamp::UNIX_EPOCH, next, &entries))
    };
    let link = "https://localhost:5300/$Resources/queues?%24skip=2&%24top=2&api-version=2024-05";
    let script = Script::new([
        feed(&["a", "b"], Some(link)),
        refusal(401, "no"),
        feed(&["c"], None),
        feed(&["a"], Some("http://elsewhere/$Resources/queues?$skip=0&$top=100&api-version=2024-05")),
    ]);
    let client = client(&script);
    block_on(async {
        let mut pages = client.list_queues().with_page_size(2);
        let names = |page: Vec<QueueProperties>| page.into_iter().map(|queue| queue.name).collect::<Vec<_>>();
        assert_eq!(names(pages.next_page().await.unwrap().unwrap()), ["a", "b"]);
        // An error does not lose the page.
        assert_eq!(pages.next_page().await.unwrap_err().kind(), Some(ServiceErrorKind::Unauthorized));
        assert_eq!(names(pages.next_page().await.unwrap().unwrap()), ["c"]);
        assert_eq!(pages.next_page().await.unwrap(), None);
        assert_eq!(pages.next_page().await.unwrap(), None);
        let circle = client.list_queues().all().await;
        assert!(matches!(circle, Err(AdministrationError::Response(ResponseError::Unexpected))), "{circle:?}");
    });
    let next = "GET /$Resources/queues?%24skip=2&%24top=2&api-version=2024-05";
    assert_eq!(
        lines(&script).get(..3).unwrap(),
        ["GET /$Resources/queues?$skip=0&$top=2&api-version=2024-05", next, next]
    );
}

#[test]
fn a_list_that_never_ends_is_given_up() {
    let feed = |page: u32| {
        let entries: Vec<Entry> = (0..1_000).map(|_| queue("q")).collect();
        let next = format!("https://localhost:5300/$Resources/queues?%24skip={page}&%24top=100&api-version=2024-05");
        answer(200, write_feed("Queues", "id", Timestamp::UNIX_EPOCH, Some(&next), &entries))
    };
    // Each page names one that was not there before.
    let script = Script::new((1..10).map(feed).collect::<Vec<_>>());
    let listed = block_on(client(&script).list_queues().all());
    assert!(matches!(listed, Err(AdministrationError::Response(ResponseError::Unexpected))), "{listed:?}");
    assert_eq!(script.requests.borrow().len(), 3);
}

#[test]
fn what_passes_is_tried_again() {
    let mut busy = Headers::new();
    busy.push("Retry-After", "30");
    let busy = Response { status: 429, headers: busy, body: vec![] };
    let script = Script::new([
        Answer::Broken,
        refusal(500, "SubCode=50000. Internal"),
        Answer::Response(busy),
        answer(200, write_entry(&queue("q"))),
    ]);
    assert!(block_on(client(&script).queue_exists("q")).unwrap());
    let waits = script.waits.borrow();
    let [first, second, third] = waits.as_slice() else { panic!("{waits:?}") };
    assert!((640..=960).contains(&first.as_millis()) && (1_280..=1_920).contains(&second.as_millis()), "{waits:?}");
    assert_eq!(*third, Duration::from_secs(30));
    // Each attempt has a token of its own.
    let requests = script.requests.borrow();
    let expiry = |at: usize| {
        let request: &Request = requests.get(at).unwrap();
        SharedAccessSignature::parse(request.headers.get("Authorization").unwrap()).unwrap().expiry()
    };
    assert!(expiry(3) > expiry(0));
}

#[test]
fn attempts_end() {
    let script = Script::new((0..4).map(|_| refusal(503, "busy")));
    let error = block_on(client(&script).get_queue("q")).unwrap_err();
    assert_eq!(error.kind(), Some(ServiceErrorKind::Throttled));
    assert!(error.is_transient());
    assert!(script.waits.borrow().iter().all(|wait| *wait >= Duration::from_secs(4)));

    let script = Script::new((0..4).map(|_| Answer::Broken));
    let error = block_on(client(&script).delete_queue("q")).unwrap_err();
    assert!(matches!(error, AdministrationError::Transport(Broken)));
    assert_eq!(error.to_string(), "broken");

    let script = Script::new([Answer::Never]);
    let text = ConnectionString::parse(CONNECTION_STRING).unwrap();
    let options = AdministrationOptions::default().with_retry(RetryPolicy::none());
    let client = AdministrationClient::from_connection_string(&text, options, &script, &script);
    assert!(matches!(block_on(client.get_queue("q")), Err(AdministrationError::Timeout)));
    assert_eq!(*script.waits.borrow(), [Duration::from_secs(60)]);
}

/// An attempt that may have changed the version is not made again: its repetition would call its own change a conflict.
#[test]
fn an_update_of_one_version_is_not_repeated_when_its_outcome_is_unknown() {
    let mut settings = QueueProperties::new("q", CreateQueueOptions::new());
    settings.etag = Some(ETag::new("\"1\""));
    let conflict = || refusal(412, "SubCode=41200. Precondition Failed.");
    for (first, timeout) in [(Answer::Broken, false), (Answer::Never, true)] {
        let script = Script::new([first, conflict()]);
        let error = block_on(client(&script).update_if_unchanged(&settings)).unwrap_err();
        let expected = if timeout { "the service did not answer in time" } else { "broken" };
        assert_eq!(error.to_string(), expected, "{error:?}");
    }
    for status in [500, 504] {
        let script = Script::new([refusal(status, "trouble"), conflict()]);
        let error = block_on(client(&script).update_if_unchanged(&settings)).unwrap_err();
        assert!(error.is_transient() && !error.is_conflict(), "{error:?}");
    }
    // A service that is busy has not begun, and an update of any version may be made twice.
    let script = Script::new([refusal(429, "busy"), answer(200, write_entry(&queue("q")))]);
    block_on(client(&script).update_if_unchanged(&settings)).unwrap();
    let script = Script::new([Answer::Broken, answer(200, write_entry(&queue("q")))]);
    block_on(client(&script).update(&settings)).unwrap();
}

#[cfg(feature = "stream")]
#[test]
fn a_stream_ends_once_and_after_errors_that_stay() {
    use futures_core::Stream;
    type Listed = Result<QueueProperties, AdministrationError<Broken>>;
    let next = |stream: &mut (dyn Stream<Item = Listed> + Unpin)| {
        let result = block_on(core::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)));
        result.map(|result| result.map(|queue| queue.name).map_err(|error| error.to_string()))
    };
    let page = || answer(200, write_feed("Queues", "id", Timestamp::UNIX_EPOCH, None, &[queue("a")]));
    let broken = (0..4).map(|_| Answer::Broken);
    let script = &*Box::leak(Box::new(Script::new(broken.chain([page(), refusal(401, "no")]))));
    let client = client(script);
    let mut passes = client.list_queues().stream();
    assert_eq!(next(&mut passes), Some(Err("broken".into())));
    assert_eq!(next(&mut passes), Some(Ok("a".into())));
    assert_eq!((next(&mut passes), next(&mut passes)), (None, None));
    let mut stays = client.list_queues().stream();
    assert!(matches!(next(&mut stays), Some(Err(_))));
    assert_eq!((next(&mut stays), next(&mut stays)), (None, None));
    let mut closed = client.list_queues().stream();
    block_on(client.close());
    assert_eq!(next(&mut closed), Some(Err("the administration client is closed".into())));
    assert_eq!((next(&mut closed), next(&mut closed)), (None, None));
}

#[test]
fn what_does_not_pass_is_not_tried_again() {
    for (status, detail, kind) in [
        (400, "SubCode=40000. No.", ServiceErrorKind::BadRequest),
        (401, "claim is empty.", ServiceErrorKind::Unauthorized),
        (404, "No service is hosted at the specified address.", ServiceErrorKind::NotFound),
        (409, "SubCode=40900. Conflict.", ServiceErrorKind::AlreadyExists),
    ] {
        let script = Script::new([refusal(status, detail)]);
        let error = block_on(client(&script).create(&TopicDescription::new("t"))).unwrap_err();
        assert_eq!(error.kind(), Some(kind));
        assert_eq!(error.is_already_exists(), status == 409);
        assert!(error.to_string().contains(detail), "{error}");
    }
    let script = Script::new([]);
    let error = block_on(client(&script).get_queue("q@")).unwrap_err();
    assert!(matches!(error, AdministrationError::Request(InvalidRequest::Name(_))));

    let script = Script::new([refusal(404, "Entity was not found."), refusal(401, "no")]);
    assert!(!block_on(client(&script).rule_exists("t", "s", "r")).unwrap());
    assert!(block_on(client(&script).rule_exists("t", "s", "r")).is_err());
}

/// A client whose tokens come from a closure.
#[cfg(feature = "std")]
fn with_credential(
    script: &Script,
    credential: impl crate::client::Credential,
) -> AdministrationClient<&Script, &Script> {
    let endpoint = Endpoint::from_connection_string(&ConnectionString::parse(CONNECTION_STRING).unwrap());
    AdministrationClient::with_credential(endpoint, credential, AdministrationOptions::default(), script, script)
}

#[cfg(feature = "std")]
#[test]
fn tokens_of_a_credential_are_kept_and_sent() {
    use crate::client::HeapToken;
    use core::sync::atomic::{AtomicI64, Ordering};
    let script = Script::new((0..5).map(|_| answer(200, write_entry(&queue("q")))));
    let asked = Arc::new(AtomicI64::new(0));
    let count = Arc::clone(&asked);
    let client = with_credential(&script, move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let token = if number == 0 {
            Ok(HeapToken::jwt("a.b.c".to_string(), Timestamp::from_secs(3_600)))
        } else if number < 9 {
            Err("offline")
        } else {
            Ok(HeapToken::sas("SharedAccessSignature sr=x".to_string(), Timestamp::from_secs(9_000)))
        };
        ready(token)
    });
    assert!(!format!("{client:?}").contains("a.b.c"));
    block_on(client.create(&QueueDescription::new("q").with_forward_to("r"))).unwrap();
    block_on(client.get_queue("q")).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1, "a token is kept");
    // Near its end the credential fails: the token counts all the same, and the credential is left alone for a while.
    script.utc.set(3_400);
    block_on(client.get_queue("q")).unwrap();
    block_on(client.get_queue("q")).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    script.utc.set(3_600);
    let error = block_on(client.get_queue("q")).unwrap_err();
    assert_eq!(error.to_string(), "the credential gave no token: offline");
    assert!(matches!(error, AdministrationError::Credential(_)));
    asked.store(9, Ordering::Relaxed);
    block_on(client.get_queue("q")).unwrap();
    let requests = script.requests.borrow();
    let header = |at: usize, name| requests.get(at).and_then(|request: &Request| request.headers.get(name));
    assert_eq!(header(0, "Authorization"), Some("Bearer a.b.c"));
    assert_eq!(header(0, SUPPLEMENTARY_AUTHORIZATION), Some("Bearer a.b.c"));
    assert_eq!(header(4, "Authorization"), Some("SharedAccessSignature sr=x"));
}

/// While the last token is valid, no request waits for a credential that hangs.
#[cfg(feature = "std")]
#[test]
fn a_token_counts_while_the_credential_hangs() {
    use crate::client::HeapToken;
    let script = Script::new((0..3).map(|_| answer(200, write_entry(&queue("q")))));
    let mut asked = 0;
    let client = with_credential(&script, move || {
        asked += 1;
        let token = HeapToken::jwt("a.b.c".to_string(), Timestamp::from_secs(3_600));
        let first = asked == 1;
        assert!(asked <= 2, "it is left alone for a while");
        async move { if first { Ok::<_, core::fmt::Error>(token) } else { pending().await } }
    });
    block_on(client.get_queue("q")).unwrap();
    // So near its end that another is asked for.
    script.utc.set(3_400);
    block_on(client.get_queue("q")).unwrap();
    block_on(client.get_queue("q")).unwrap();
}

/// A token that the service refuses is not sent again where another one can be had.
#[cfg(feature = "std")]
#[test]
fn a_token_that_is_refused_is_asked_for_anew() {
    use crate::client::HeapToken;
    let script = Script::new([
        refusal(401, "the key was exchanged"),
        answer(200, write_entry(&queue("q"))),
        refusal(401, "no"),
        refusal(401, "no"),
    ]);
    let mut asked = 0;
    let client = with_credential(&script, move || {
        asked += 1;
        ready(Ok::<_, core::fmt::Error>(HeapToken::sas(format!("token {asked}"), Timestamp::from_secs(86_400))))
    });
    block_on(client.get_queue("q")).unwrap();
    let error = block_on(client.get_queue("q")).unwrap_err();
    assert_eq!(error.kind(), Some(ServiceErrorKind::Unauthorized));
    let requests = script.requests.borrow();
    let sent: Vec<_> = requests.iter().map(|request| request.headers.get("Authorization").unwrap()).collect();
    assert_eq!(sent, ["token 1", "token 2", "token 2", "token 3"]);
}

#[test]
fn a_signature_of_the_connection_string_is_sent_as_it_is() {
    let script = Script::new([answer(200, write_entry(&queue("q")))]);
    let text = "Endpoint=sb://localhost;SharedAccessSignature=SharedAccessSignature sr=x;UseDevelopmentEmulator=true";
    let text = ConnectionString::parse(text).unwrap();
    let client =
        AdministrationClient::from_connection_string(&text, AdministrationOptions::default(), &script, &script);
    assert!(format!("{client:?}").contains("SharedAccessSignature(..)"));
    block_on(client.get_queue("q")).unwrap();
    let requests = script.requests.borrow();
    let header = requests.first().and_then(|request: &Request| request.headers.get("Authorization"));
    assert_eq!(header, Some("SharedAccessSignature sr=x"));
}
