//! Several namespaces of one broker: chosen by the host that a client names, and apart in everything but connections and
//! memory.

use servicebus_core::servicebus::administration::{
    ApiVersion, CreateQueueOptions, Endpoint, Headers, Method, Request, RequestBuilder, shared_access_token,
};
use servicebus_core::servicebus::{MessageRef, sas};
use servicebus_core::time::Duration;
use servicebus_core::wire::Symbol;
use servicebus_core::wire::sasl::SaslInit;
use servicebus_emulator::blueprint::Blueprint;
use servicebus_emulator::broker::budget::Holding;
use servicebus_emulator::broker::entities::{AuthorizationRule, QueueDescription, Rights};
use servicebus_emulator::broker::{Broker, BrokerConfig, NamespaceConfig, NamespaceId, NoRoom};
use servicebus_emulator::{Emulator, StartError};
use servicebus_tests::administrator::Administrator;
use servicebus_tests::broker::*;

const HOUR: Duration = Duration::from_secs(3_600);
const ANONYMOUS: SaslInit<'_> =
    SaslInit { mechanism: Symbol::new("ANONYMOUS"), initial_response: None, hostname: None };

/// The default namespace, `a` and `b`, each with a queue of the same name. `b` has a key of its own besides.
fn world() -> World {
    let mut b = NamespaceConfig::named("b");
    b.keys.push(AuthorizationRule {
        key_name: "own".into(),
        primary_key: "k".into(),
        secondary_key: String::new(),
        rights: Rights::ALL,
    });
    let config = BrokerConfig { others: vec![NamespaceConfig::named("a"), b], ..BrokerConfig::default() };
    let mut world = World { broker: Broker::new(config, 7), ..World::new() };
    let clock = world.clock;
    for id in world.broker.namespace_ids() {
        let description = QueueDescription { lock_duration: Duration::from_secs(10), ..Default::default() };
        let create = |namespace: &mut servicebus_emulator::broker::entities::Namespace| {
            namespace.create_queue("queue", description, clock.utc)
        };
        world.broker.with_namespace_of(id, clock, create).unwrap();
    }
    world
}

fn id(world: &World, name: &str) -> NamespaceId {
    world.broker.find_namespace(name).unwrap()
}

/// A client that names this host in `open`, over a transport that names another; without a token.
fn bare(world: &mut World, open: Option<&str>, transport: &str) -> usize {
    let id = world.broker.connect_to(world.clock, transport).unwrap();
    world.open_client_at(id, &ANONYMOUS, open, None)
}

/// The same with a token for the namespace.
fn client(world: &mut World, host: &str) -> usize {
    let client = bare(world, Some(host), "");
    let response = world.put_token(client, &format!("sb://{host}/"), KEY_NAME, KEY, HOUR);
    assert_eq!(response.status(), 202, "{}", response.text());
    client
}

#[test]
fn entities_of_the_same_name_are_apart() {
    let mut world = world();
    let hosts = ["localhost", "a.servicebus.windows.net", "B.localhost:5672"];
    let clients = hosts.map(|host| client(&mut world, host));
    for (client, text) in clients.into_iter().zip(["default", "of a", "of b"]) {
        let sender = world.sender(client, "queue").unwrap();
        world.send_texts(client, sender, &[text]);
    }
    for (client, text) in clients.into_iter().zip(["default", "of a", "of b"]) {
        let receiver = world.receiver(client, "queue").unwrap();
        assert_eq!(world.consume(client, receiver).unwrap().body(), text);
        assert!(world.receive_now(client, receiver, 1).is_empty(), "{text}");
    }
    // What happens to one leaves the others as they are.
    let senders = clients.map(|client| world.sender(client, "queue").unwrap());
    let (a, clock) = (id(&world, "a"), world.clock);
    world.broker.with_namespace_of(a, clock, |namespace| namespace.delete("queue")).unwrap();
    world.settle_down();
    let attached = [0, 1, 2].map(|at| world.attached(clients[at], senders[at]).is_ok());
    assert_eq!(attached, [true, false, true]);
    assert_eq!(world.sender(clients[1], "queue").unwrap_err().condition, "amqp:not-found");
}

#[test]
fn locks_end_in_every_namespace() {
    let mut world = world();
    let client = client(&mut world, "b");
    let (sender, receiver) = (world.sender(client, "queue").unwrap(), world.receiver(client, "queue").unwrap());
    world.send_texts(client, sender, &["x"]);
    assert_eq!(world.receive_now(client, receiver, 1).len(), 1);
    let b = id(&world, "b");
    let locks = |world: &World| {
        let namespace = world.broker.namespace_of(b);
        namespace.store(namespace.queue("queue").unwrap().stores.main).unwrap().lock_count()
    };
    assert_eq!(locks(&world), 1);
    world.advance(Duration::from_secs(11));
    assert_eq!(locks(&world), 0);
}

#[test]
fn a_client_is_in_the_namespace_that_it_names() {
    for (open, transport, name) in [
        (Some("localhost"), "", "sbemulatorns"),
        (None, "", "sbemulatorns"),
        (Some("127.0.0.1"), "unknown.example", "sbemulatorns"),
        (Some("a.localhost"), "", "a"),
        (Some("A.servicebus.windows.net"), "b.localhost", "a"),
        (Some("localhost"), "b.localhost", "b"),
        (None, "b", "b"),
        (Some("sbemulatorns.servicebus.windows.net"), "b", "sbemulatorns"),
    ] {
        let mut world = world();
        bare(&mut world, open, transport);
        let expected = id(&world, name);
        for namespace in world.broker.namespace_ids() {
            let counted = world.broker.statistics_of(namespace);
            let here = u64::from(namespace == expected);
            let case = format!("open {open:?}, transport {transport:?}");
            assert_eq!((counted.connections_open, counted.connections_accepted), (here, here), "{case}");
        }
    }
}

#[test]
fn tokens_of_one_namespace_are_no_good_in_the_other() {
    let mut world = world();
    // The same key in both: the host tells them apart.
    for (host, audience) in [
        ("b.localhost", "sb://a.localhost/queue"),
        ("b.localhost", "sb://localhost/queue"),
        ("localhost", "sb://a.localhost/queue"),
        ("a.localhost", "sb://sbemulatorns.servicebus.windows.net/"),
    ] {
        let client = bare(&mut world, Some(host), "");
        let response = world.put_token(client, audience, KEY_NAME, KEY, HOUR);
        assert_eq!(response.status(), 401, "{audience} at {host}");
        assert!(response.text().starts_with("InvalidAudience: "), "{}", response.text());
        assert_eq!(world.sender(client, "queue").unwrap_err().condition, "amqp:unauthorized-access");
    }
    // Where a client calls the namespace differently from its transport, its own word counts.
    let client = bare(&mut world, Some("localhost"), "b.localhost");
    assert_eq!(world.put_token(client, "sb://localhost/queue", KEY_NAME, KEY, HOUR).status(), 202);
    // A key of one signs for that one.
    for (host, status) in [("a", 401), ("b", 202)] {
        let client = bare(&mut world, Some(host), "");
        assert_eq!(world.put_token(client, &format!("sb://{host}/queue"), "own", "k", HOUR).status(), status, "{host}");
    }
}

/// A client that names no host at all shows a token: the host that it is signed for counts.
#[test]
fn a_token_for_another_namespace_is_no_good_without_a_host() {
    for (transport, signed, status) in [
        ("", "sb://b.localhost/queue", 401),
        ("b", "sb://sbemulatorns.localhost/queue", 401),
        ("", "sb://localhost/queue", 202),
        ("b", "sb://b.localhost/queue", 202),
        ("", "queue", 202),
    ] {
        let mut world = world();
        let client = bare(&mut world, None, transport);
        let mut token = String::new();
        sas::sign(signed, KEY_NAME, KEY, world.clock.utc + HOUR, &mut token).unwrap();
        let response = world.put_text(client, "queue", &token);
        assert_eq!(response.status(), status, "{signed} at '{transport}': {}", response.text());
    }
}

/// What is looked at for a client counts in the namespace that its `open` names.
#[test]
fn work_counts_in_the_namespace_that_a_client_names() {
    let mut world = world();
    let client = bare(&mut world, Some("b"), "");
    let minute = Duration::from_secs(60);
    assert_eq!(world.put_token(client, "sb://b/queue", KEY_NAME, KEY, minute).status(), 202);
    let sender = world.sender(client, "queue").unwrap();
    let touched = |world: &World, name| world.broker.statistics_of(id(world, name)).entries_touched;
    let before = ["sbemulatorns", "b"].map(|name| touched(&world, name));
    // The token ends, and with it the link.
    world.advance(minute + minute);
    assert!(world.attached(client, sender).is_err());
    let after = ["sbemulatorns", "b"].map(|name| touched(&world, name));
    assert_eq!(after[0], before[0]);
    assert!(after[1] > before[1]);
}

#[test]
fn a_key_in_sasl_plain_is_one_of_the_namespace() {
    let init = |hostname| SaslInit { mechanism: Symbol::new("PLAIN"), initial_response: Some(b"\0own\0k"), hostname };
    for (sasl, open, transport, allowed) in [
        (None, "b.localhost", "", true),
        (Some("b.localhost"), "b.localhost", "", true),
        (Some("localhost"), "localhost", "b.localhost", true),
        (None, "a.localhost", "", false),
        (None, "localhost", "", false),
        (Some("b.localhost"), "a.localhost", "", false),
    ] {
        let mut world = world();
        let id = world.broker.connect_to(world.clock, transport).unwrap();
        let client = world.open_client_at(id, &init(sasl), Some(open), None);
        assert_eq!(world.sender(client, "queue").is_ok(), allowed, "SASL {sasl:?}, open {open}, transport {transport}");
    }
    let mut world = world();
    let id = world.broker.connect(world.clock).unwrap();
    let client = world.open_client_at(id, &init(Some("a.localhost")), Some("a.localhost"), None);
    assert!(!world.clients[client].engine.is_open(), "no key of this namespace");
}

/// What is short is named: places or memory.
#[test]
fn a_connection_without_room_learns_what_is_short() {
    let mut world = World::new();
    let of = |max_connections, memory| Broker::new(BrokerConfig { max_connections, memory, ..Default::default() }, 7);
    world.broker = of(1, 1 << 20);
    world.broker.connect_to(world.clock, "").unwrap();
    let error = world.broker.connect_to(world.clock, "").unwrap_err();
    assert_eq!((error, error.to_string().as_str()), (NoRoom::Connections, "too many connections"));
    world.broker = of(10, 1_000);
    let error = world.broker.connect_to(world.clock, "").unwrap_err();
    assert_eq!((error, error.to_string().as_str()), (NoRoom::Memory, "the memory that clients may use is used up"));
}

/// An administrator of the namespace at this host, with a token for another.
fn administrator(host: &str, audience: &str) -> Administrator {
    Administrator {
        requests: RequestBuilder::new(Endpoint::new(host), ApiVersion::default()),
        host: host.to_owned(),
        audience: format!("https://{audience}/"),
        ..Administrator::default()
    }
}

fn delete(world: &mut World, administrator: &Administrator, path: &str) -> u16 {
    let request =
        Request { method: Method::Delete, path_and_query: path.to_owned(), headers: Headers::new(), body: Vec::new() };
    administrator.send(world, request).status
}

#[test]
fn requests_are_for_the_namespace_of_their_host() {
    let mut world = world();
    let [a, b] = ["a.localhost", "b.localhost:5300"].map(|host| administrator(host, host));
    assert_eq!(a.create_queue(&mut world, "made", CreateQueueOptions::new()).status, 201);
    assert_eq!(b.create_queue(&mut world, "made", CreateQueueOptions::new()).status, 201);
    let count = |world: &World, name| world.broker.namespace_of(id(world, name)).queues().count();
    assert_eq!(["sbemulatorns", "a", "b"].map(|name| count(&world, name)), [1, 2, 2]);
    let stranger = administrator("b.localhost", "a.localhost");
    assert_eq!(stranger.create_queue(&mut world, "not", CreateQueueOptions::new()).status, 401);

    let clients = ["localhost", "a", "b"].map(|host| client(&mut world, host));
    assert_eq!(delete(&mut world, &a, "/$emulator/connections"), 200);
    let closed = clients.map(|client| world.closed(client).is_some());
    assert_eq!(closed, [false, true, false]);
    assert_eq!(delete(&mut world, &b, "/$emulator/entities"), 200);
    assert_eq!(["sbemulatorns", "a", "b"].map(|name| count(&world, name)), [1, 2, 0]);
}

/// Without a host a request is for the default namespace, and its token has to be for a host of that one.
#[test]
fn a_request_without_a_host_takes_no_token_of_another_namespace() {
    let mut world = world();
    let hosts = [
        ("localhost", true),
        ("sbemulatorns.servicebus.windows.net", true),
        ("unknown.example", true),
        ("a.localhost", false),
        ("A", false),
        ("b.servicebus.windows.net:5300", false),
    ];
    for (n, (audience, is_own)) in hosts.into_iter().enumerate() {
        let nameless = Administrator { host: String::new(), ..administrator("localhost", audience) };
        let created = nameless.create_queue(&mut world, &format!("made-{n}"), CreateQueueOptions::new());
        assert_eq!(created.status, if is_own { 201 } else { 401 }, "{audience}");
        let (name, key) = &nameless.key;
        let mut headers = Headers::new();
        let audience_url = &nameless.audience;
        headers.push("Authorization", shared_access_token(audience_url, name, key, world.clock.utc));
        let request = Request { method: Method::Put, path_and_query: "/x".into(), headers, body: Vec::new() };
        assert_eq!(world.broker.is_authorized(world.clock, &request), is_own, "{audience}");
    }
    let counts = ["sbemulatorns", "a", "b"].map(|name| world.broker.namespace_of(id(&world, name)).queues().count());
    assert_eq!(counts, [4, 1, 1]);
}

#[test]
fn budget_and_metrics_know_the_namespace() {
    let mut world = world();
    let client = client(&mut world, "b");
    let sender = world.sender(client, "queue").unwrap();
    let body = "x".repeat(10_000);
    assert_eq!(world.send(client, sender, &MessageRef::new(&body[..])), Ended::Accepted);
    assert_eq!(world.sender(client, "missing").unwrap_err().condition, "amqp:not-found");
    let metrics = world.broker.metrics();
    let value = |sample: &str| {
        let found = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        found.and_then(|value| value.parse::<usize>().ok())
    };
    for name in ["sbemulatorns", "a", "b"] {
        let here = usize::from(name == "b");
        let active = format!(r#"servicebus_messages{{namespace="{name}",entity="queue",state="active"}}"#);
        assert_eq!(value(&active), Some(here));
        assert_eq!(value(&format!(r#"servicebus_connections{{namespace="{name}"}}"#)), Some(here));
        assert_eq!(
            value(&format!(r#"servicebus_operations_total{{namespace="{name}",operation="send"}}"#)),
            Some(here)
        );
        let refused = format!(r#"servicebus_refusals_total{{namespace="{name}",condition="amqp:not-found"}}"#);
        assert_eq!(value(&refused), (here > 0).then_some(1));
        for holding in ["messages", "connections"] {
            let bytes = value(&format!(r#"servicebus_memory_bytes{{namespace="{name}",for="{holding}"}}"#)).unwrap();
            assert_eq!(bytes > 0, name == "b", "{holding} of {name}");
        }
    }
    assert!((10_000..12_000).contains(&world.broker.memory_used_for(Holding::Messages)));
}

/// Who may manage a further namespace reads nothing of the others; who may manage the default one reads of all.
#[test]
fn metrics_and_counters_are_those_of_the_host() {
    let mut world = world();
    let clients = ["localhost", "a", "b"].map(|host| client(&mut world, host));
    for client in clients {
        world.sender(client, "queue").unwrap();
    }
    let of = |world: &mut World, host: &str, path: &str| {
        let response = administrator(host, host).get(world, path);
        assert_eq!(response.status, 200);
        String::from_utf8(response.body).unwrap()
    };
    for (host, open, names) in [("localhost", 3, ["sbemulatorns", "a", "b"]), ("b.localhost", 1, ["b"; 3])] {
        let metrics = of(&mut world, host, "/$emulator/metrics");
        for name in ["sbemulatorns", "a", "b", ""] {
            let shown = metrics.contains(&format!(r#"{{namespace="{name}","#));
            assert_eq!(shown, names.contains(&name) || (name.is_empty() && open > 1), "{name} at {host}");
        }
        let counted = of(&mut world, host, "/$emulator/statistics");
        assert!(counted.contains(&format!(r#""connections-open":{open},"links-attached":{}"#, 3 * open)), "{counted}");
    }
    // Without a token, from this machine.
    let mut headers = Headers::new();
    headers.push("Host", "b.localhost");
    let path_and_query = "/$emulator/metrics".to_owned();
    let request = Request { method: Method::Get, path_and_query, headers, body: Vec::new() };
    let (response, _) = world.broker.manage_from(world.clock, "http", &request, true);
    assert!(String::from_utf8(response.body).unwrap().contains(r#"{namespace="a","#));
}

/// Namespaces keep their entities, whatever blueprints name them; two with one name are refused.
#[test]
fn a_blueprint_cannot_give_two_namespaces_one_name() {
    let named = |name: &str| Blueprint { name: Some(name.to_owned()), ..Blueprint::default() };
    let clock = World::new().clock;
    let builder = || Emulator::builder().queue("of-default").namespace("a").queue("of-a");
    for twice in ["B", "sbemulatorns"] {
        let built = builder().namespace("b").queue("of-b").namespace("a").blueprint(named(twice)).broker(clock);
        assert!(matches!(&built, Err(StartError::NamespaceTwice(name)) if name.eq_ignore_ascii_case(twice)), "{twice}");
    }
    let built = builder().blueprint(named("c")).namespace("a").queue("of-the-next").broker(clock).unwrap();
    for (name, queue) in [("sbemulatorns", "of-default"), ("c", "of-a"), ("a", "of-the-next")] {
        let namespace = built.namespace_of(built.find_namespace(name).unwrap());
        assert_eq!(namespace.queues().map(|queue| queue.name.as_str()).collect::<Vec<_>>(), [queue], "{name}");
    }
}

/// The limit is the process's: what one namespace holds, the other cannot.
#[test]
fn namespaces_share_the_memory() {
    let others = vec![NamespaceConfig::named("a")];
    let config = BrokerConfig { others, memory: 8 << 20, ..BrokerConfig::default() };
    let mut world = World { broker: Broker::new(config, 7), ..World::new() };
    let clock = world.clock;
    for id in world.broker.namespace_ids() {
        let create = |namespace: &mut servicebus_emulator::broker::entities::Namespace| {
            namespace.create_queue("queue", QueueDescription::default(), clock.utc)
        };
        world.broker.with_namespace_of(id, clock, create).unwrap();
    }
    let clients = ["localhost", "a"].map(|host| client(&mut world, host));
    let senders = clients.map(|client| world.sender(client, "queue").unwrap());
    let body = "x".repeat(200_000);
    let mut sent = 0;
    while world.send(clients[0], senders[0], &MessageRef::new(&body[..])) == Ended::Accepted {
        sent += 1;
    }
    assert!(sent > 20, "{sent}");
    match world.send(clients[1], senders[1], &MessageRef::new(&body[..])) {
        Ended::Rejected(Some(failure)) => assert_eq!(failure.condition, "amqp:resource-limit-exceeded"),
        other => panic!("{other:?}"),
    }
}
