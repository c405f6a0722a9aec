//! What a call is given and cannot use is refused by name, before it costs a connection.

use crate::stage::{MINUTE, SECOND, Small, play, world};
use servicebus_core::client::administration::{AdministrationClient, AdministrationOptions};
use servicebus_core::client::{
    Client, Error, ErrorKind, ErrorOutcome, ProcessorOptions, ReceiverOptions, SenderOptions, SessionProcessorOptions,
};
use servicebus_core::machine::Settings;
use servicebus_core::servicebus::administration::{self, AccessRights, AuthorizationRule};
use servicebus_core::servicebus::{
    Argument, AsMessage, BatchError, ConnectionString, DeadLetterOptions, Entity, InvalidMessage, Message, MessageRef,
    RetryPolicy, RuleFilterRef, RuleRef,
};
use servicebus_core::storage::{Heap, Storage};
use servicebus_core::time::{Duration, Timestamp};
use servicebus_emulator::broker::entities::QueueDescription;
use servicebus_simulation::{Simulated, World};

/// The argument that was refused.
fn refused<S: Storage, T>(result: Result<T, Error<S>>) -> Argument {
    let error = result.err().expect("it is refused");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidArgument, ErrorOutcome::NotSent), "{error}");
    error.argument().expect("it has a name")
}

/// What the calls that name an entity refuse.
async fn refused_for(client: &Client<Simulated<Heap>>, name: &str) -> [Argument; 7] {
    let processor = client.processor(name, ProcessorOptions::new());
    let session_processor = client.session_processor(name, SessionProcessorOptions::new());
    [
        refused(client.sender(name)),
        refused(client.receiver(name)),
        refused(client.transactions(name)),
        refused(client.list_sessions(name, None).await),
        refused(client.accept_next_session(name, SECOND).await),
        refused(processor.run_inline(async |_| Ok(())).await),
        refused(session_processor.run_inline(async |_| Ok(())).await),
    ]
}

/// A scene in which no client connects.
fn play_offline(scene: impl AsyncFnOnce(World, Client<Simulated<Heap>>) + 'static) {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        scene(world.clone(), client.clone()).await;
        assert_eq!(world.connections_opened(), 0, "nothing was sent");
        client.close().await;
    });
}

#[test]
fn a_name_that_leads_to_no_entity_is_refused() {
    play_offline(async |_, client| {
        let long = "x".repeat(261);
        for name in
            ["", " ", "/", "q/", "/q", "q?x", "q#x", "q\0", "..", "sb://localhost/q", "$cbs", "q/$management", &long]
        {
            assert_eq!(refused_for(&client, name).await, [Argument::EntityName; 7], "{name:?}");
            // A subscription is no node of the service, whatever its name.
            if name != "$cbs" {
                let below = Entity::subscription("t", name);
                assert_eq!(refused(client.receiver(below.clone())), Argument::EntityName, "{name:?}");
                assert_eq!(refused(client.rule_manager(below).list().await), Argument::EntityName, "{name:?}");
            }
        }
        let error = client.sender("q?x").unwrap_err();
        assert!(error.to_string().contains("'?' cannot be at this place of a name"), "{error}");
    });
}

#[test]
fn a_session_that_there_cannot_be_is_refused() {
    play_offline(async |_, client| {
        let id = "ä".repeat(129);
        assert_eq!(refused(client.accept_session("q", &id).await), Argument::SessionId);
        assert_eq!(refused(client.accept_non_exclusive_session("q", &id).await), Argument::SessionId);
    });
    // In fixed storage such an id has no room.
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Small>();
        let id = "x".repeat(129);
        assert_eq!(refused(client.accept_session("q", &id).await), Argument::SessionId);
        client.close().await;
    });
}

#[test]
fn a_rule_that_there_cannot_be_is_refused() {
    play_offline(async |_, client| {
        let rules = client.rule_manager(Entity::subscription("t", "s"));
        let (long, longer) = ("r".repeat(51), "x".repeat(1_025));
        for name in ["", "a/b", "a\0b", "a?", &long] {
            assert_eq!(
                refused(rules.add(&RuleRef::new(name, RuleFilterRef::True)).await),
                Argument::RuleName,
                "{name:?}"
            );
            assert_eq!(refused(rules.remove(name).await), Argument::RuleName, "{name:?}");
        }
        let filter = RuleRef::new("r", RuleFilterRef::Sql(&longer));
        assert_eq!(refused(rules.add(&filter).await), Argument::SqlExpression);
        let action = RuleRef::new("r", RuleFilterRef::True).with_action(&longer);
        assert_eq!(refused(rules.add(&action).await), Argument::SqlExpression);
    });
    // Fixed storage leaves both to the service.
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Small>();
        let rules = client.rule_manager(Entity::subscription("t", "s"));
        let error = rules.add(&RuleRef::new(&"r".repeat(51), RuleFilterRef::True)).await.unwrap_err();
        assert_eq!(error.argument(), None, "{error}");
        client.close().await;
    });
}

#[test]
fn a_message_that_would_be_gone_at_once_is_refused() {
    play_offline(async |_, client| {
        let sender = client.sender("q").unwrap();
        let key = "x".repeat(129);
        for (message, argument) in [
            (Message::new("x").with_time_to_live(Duration::ZERO), Argument::TimeToLive),
            (Message::new("x").with_time_to_live(Duration::from_micros(999)), Argument::TimeToLive),
            (Message::new("x").with_transaction_partition_key(key), Argument::TransactionPartitionKey),
        ] {
            assert!(message.as_message().validate().is_err());
            assert_eq!(refused(sender.send(&message).await), argument);
            assert_eq!(refused(sender.enqueue(&message).await), argument);
            assert_eq!(refused(sender.schedule(&message, sender.now()).await), argument);
            assert_eq!(refused(sender.schedule_all(&[&message], sender.now()).await), argument);
        }
        for at in [i64::MIN, Timestamp::DOTNET_MIN.as_millis() - 1, Timestamp::DOTNET_MAX.as_millis(), i64::MAX] {
            let at = Timestamp::from_millis(at);
            assert_eq!(refused(sender.schedule("x", at).await), Argument::ScheduledEnqueueTime);
            assert_eq!(refused(sender.schedule_all(&["x"], at).await), Argument::ScheduledEnqueueTime);
            let message = Message::new("x").with_scheduled_enqueue_time(at);
            assert_eq!(message.as_message().validate(), Err(InvalidMessage::ScheduledEnqueueTime));
            assert_eq!(refused(sender.send(&message).await), Argument::ScheduledEnqueueTime);
            assert_eq!(refused(sender.enqueue(&message).await), Argument::ScheduledEnqueueTime);
        }
        for at in [Timestamp::DOTNET_MIN, Timestamp::from_millis(Timestamp::DOTNET_MAX.as_millis() - 1)] {
            assert_eq!(MessageRef::new("x").with_scheduled_enqueue_time(at).validate(), Ok(()));
        }
        assert_eq!(MessageRef::new("x").with_time_to_live(Duration::from_millis(1)).validate(), Ok(()));
    });
}

#[test]
fn properties_that_are_too_large_are_refused_c6() {
    play_offline(async |_, client| {
        let sender = client.sender("q").unwrap();
        let with = |name: &str, value: &str| Message::new("x").with_property(name, value);
        let (most, long) = ("x".repeat(32 << 10), "x".repeat((32 << 10) + 1));
        let half = &most[..(32 << 10) - 64];
        for (message, argument) in [
            (with("p", &long), Argument::ApplicationProperty),
            (with(&long, "v"), Argument::ApplicationProperty),
            (Message::new("x").with_property("p", long.as_bytes()), Argument::ApplicationProperty),
            (Message::new("x").with_traceparent(long.as_str()), Argument::ApplicationProperty),
            // The body counts for nothing.
            (Message::new(vec![0; 100_000]).with_property("p", &long), Argument::ApplicationProperty),
            (with("p", half).with_property("q", half).with_property("r", &"x".repeat(100)), Argument::MessageHeader),
            (with("p", half).with_annotation("a", half).with_subject("x".repeat(100)), Argument::MessageHeader),
        ] {
            let borrowed = message.as_message();
            assert_eq!(refused(sender.send(&message).await), argument);
            assert_eq!(refused(sender.send(&borrowed).await), argument);
            assert_eq!(refused(sender.enqueue(&message).await), argument);
            assert_eq!(refused(sender.schedule(&message, sender.now()).await), argument);
            assert_eq!(refused(sender.schedule_all(&[&message], sender.now()).await), argument);
        }
        let slice = [("p", long.as_str().into())];
        let message = MessageRef::new("x").with_properties(&slice);
        assert_eq!(refused(sender.send(&message).await), Argument::ApplicationProperty);
    });
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let client = world.client::<Heap>();
        let (sender, receiver) = (client.sender("q").unwrap(), client.receiver("q").unwrap());
        let ordered = client.sender(SenderOptions::new("q").ordered()).unwrap();
        let long = "x".repeat((32 << 10) + 1);
        let large = Message::new("x").with_property("p", &long);
        assert_eq!(refused(ordered.send(&large).await), Argument::ApplicationProperty);
        assert_eq!(refused(ordered.enqueue(&large).await), Argument::ApplicationProperty);
        let mut batch = sender.create_batch().await.unwrap();
        assert_eq!(batch.try_add(&large), Err(BatchError::Invalid(InvalidMessage::PropertyTooLarge)));
        let error = sender.send_all(&[Message::new("first"), large.clone()]).await.unwrap_err();
        assert_eq!((error.stored(), error.error().argument()), (1, Some(Argument::ApplicationProperty)));
        let transaction = client.begin_transaction().await.unwrap();
        assert_eq!(refused(transaction.send(&sender, &large).await), Argument::ApplicationProperty);
        let later = sender.now() + MINUTE;
        assert_eq!(refused(transaction.schedule(&sender, &large, later).await), Argument::ApplicationProperty);
        transaction.roll_back().await.unwrap();
        // What is no larger is taken, with a body that is larger than the limits too.
        let text = "x".repeat(32_000);
        let most = Message::new(vec![0; 100_000]).with_property("p", &text).with_property("q", &text);
        for message in [&most, &Message::new(vec![0; 100_000])] {
            sender.send(message).await.unwrap();
            ordered.send(message).await.unwrap();
            let mut batch = sender.create_batch().await.unwrap();
            batch.try_add(message).unwrap();
            sender.send_batch(batch).await.unwrap();
        }
        let first = receiver.next().await.unwrap();
        let properties = [("p", long.as_str().into())];
        assert_eq!(refused(receiver.abandon_with(&first, &properties).await), Argument::ApplicationProperty);
        assert_eq!(refused(receiver.defer_with(&first, &properties).await), Argument::ApplicationProperty);
        let options = DeadLetterOptions::new().with_properties(&properties);
        assert_eq!(refused(receiver.dead_letter(&first, options).await), Argument::ApplicationProperty);
        receiver.complete(&first).await.unwrap();
        client.close().await;
    });
}

/// Clients of a connection string that is for the queue `q`, or for the topic of this name.
fn play_bound(path: &'static str, scene: impl AsyncFnOnce(World, Client<Simulated<Heap>>) + 'static) {
    let world = world(QueueDescription::default());
    play(&world, async move |world| {
        let client = world.client_with(bound(&world, path));
        scene(world.clone(), client.clone()).await;
        client.close().await;
    });
}

fn bound<S: Storage<Literal: From<String>>>(world: &World, path: &str) -> Settings<S> {
    let mut settings = world.settings::<S>();
    let text = format!("{};EntityPath={path}", settings.connection_string.as_ref());
    settings.connection_string = text.into();
    settings
}

#[test]
fn a_connection_string_for_one_entity_leads_to_no_other() {
    play_bound("Q", async |world, client| {
        let orders = client.entity().expect("it is for one");
        assert_eq!(orders, Entity::queue("q"));
        for name in ["other", "q/2", "q2", "t/Subscriptions/q"] {
            assert_eq!(refused_for(&client, name).await, [Argument::EntityPath; 7], "{name}");
            assert_eq!(refused(client.rule_manager(name).list().await), Argument::EntityPath, "{name}");
        }
        let error = client.sender("other").unwrap_err();
        assert_eq!(error.to_string(), "other: the connection string is for another entity: Q");
        assert_eq!(world.connections_opened(), 0, "nothing was sent");

        client.sender(&orders).unwrap().send("x").await.unwrap();
        let receiver = client.receiver("q").unwrap();
        let message = receiver.next().await.unwrap();
        receiver.dead_letter(&message, DeadLetterOptions::new()).await.unwrap();
        client.receiver(orders.dead_letter()).unwrap().next().await.unwrap();
    });
    play_bound("t", async |_, client| {
        for of_topic in [Entity::subscription("T", "s"), Entity::queue("t"), Entity::queue("t/subscriptions/s")] {
            assert!(client.receiver(of_topic.clone()).is_ok(), "{of_topic}");
        }
        assert_eq!(refused(client.receiver(Entity::subscription("q", "t"))), Argument::EntityPath);
    });
    // For the whole namespace, and where tokens come from elsewhere.
    play_offline(async |world, client| {
        assert_eq!(client.entity(), None);
        let client = world.client_with(bound::<Heap>(&world, "q").with_external_tokens());
        assert_eq!(client.entity(), None);
        assert!(client.sender("other").is_ok());
        client.close().await;
    });
}

#[test]
fn a_key_is_exchanged_for_one_of_the_same_entity() {
    play_bound("q", async |world, client| {
        let text = |path| bound::<Heap>(&world, path).connection_string;
        let error = client.set_connection_string(text("other")).unwrap_err();
        assert!(error.to_string().contains("another entity"), "{error}");
        assert_eq!(refused(Err::<(), _>(error)), Argument::ConnectionString);
        client.set_connection_string(text("Q")).unwrap();
        // One for the whole namespace leads everywhere.
        client.set_connection_string(world.settings::<Heap>().connection_string).unwrap();
        assert!(client.sender("other").is_ok());
        client.set_connection_string(text("other")).unwrap();
        assert_eq!(refused(client.sender("q")), Argument::EntityPath);
    });
}

/// By the key of a queue alone: requests are signed for that.
#[test]
fn the_key_of_an_entity_administers_it() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let rights = [AccessRights::Manage, AccessRights::Send, AccessRights::Listen];
        let rule = AuthorizationRule::new("own", rights).with_keys(KEY, KEY);
        let queue = administration::QueueDescription::new("mine").with_authorization_rules(vec![rule]);
        world.administration().create(&queue).await.unwrap();
        let host = "Endpoint=sb://localhost;UseDevelopmentEmulator=true";
        let text = format!("{host};SharedAccessKeyName=own;SharedAccessKey={KEY};EntityPath=mine");
        let parsed = ConnectionString::parse(&text).unwrap();
        let options = AdministrationOptions::new().with_seed(1);
        let (http, timer) = (world.http(), world.runtime::<Heap>());
        let admin = AdministrationClient::from_connection_string(&parsed, options, http, timer);
        let mut mine = admin.get_queue("mine").await.unwrap();
        mine.max_delivery_count = 3;
        admin.update(&mine).await.unwrap();
        assert!(admin.get_queue("q").await.is_err());
        let mut settings = world.settings::<Heap>();
        settings.connection_string = text.into();
        let client = world.client_with(settings);
        client.sender(client.entity().unwrap()).unwrap().send("x").await.unwrap();
        client.close().await;
    });
}

/// The key of an entity of its own: base64 of 32 bytes.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

#[test]
fn a_connection_string_that_is_refused_says_why() {
    play_offline(async |world, client| {
        let text = world.settings::<Heap>().connection_string;
        let text: &str = text.as_ref();
        for (given, why) in [
            ("", "Endpoint is missing"),
            ("nonsense", "not of the form key=value"),
            (&text.replace("sb://localhost", "sb://h o"), "Endpoint has a value that is not valid"),
            (&text.replace("localhost", "elsewhere"), "another host"),
        ] {
            let result = client.set_connection_string(given.to_owned());
            assert!(result.clone().unwrap_err().to_string().contains(why), "{given}: {result:?}");
            assert_eq!(refused(result), Argument::ConnectionString);
        }
    });
}

#[test]
fn numbers_that_no_connection_lives_with_are_rounded_up() {
    let world = world(QueueDescription::default());
    play(&world, async |world| {
        let changes: [fn(&mut Settings<Heap>); 4] = [
            |settings| settings.max_frame_size = 0,
            |settings| settings.idle_time_out = Duration::ZERO,
            |settings| *settings = settings.clone().with_max_frame_bytes(0),
            |settings| *settings = settings.clone().with_idle_timeout(Duration::ZERO),
        ];
        for change in changes {
            let mut settings = world.settings::<Heap>();
            change(&mut settings);
            settings.retry = RetryPolicy::none();
            let client = world.client_with(settings);
            client.sender("q").unwrap().timeout(SECOND * 5).send(&"x".repeat(5_000)).await.unwrap();
            let receiver = client.receiver(ReceiverOptions::new("q")).unwrap();
            let message = receiver.timeout(MINUTE).receive(SECOND * 5).await.unwrap().unwrap();
            receiver.complete(&message).await.unwrap();
            client.close().await;
        }
    });
}

#[test]
fn a_namespace_is_a_host_and_nothing_else() {
    for name in
        ["", "h o", "h\0", "hä", "h;SharedAccessKeyName=a;SharedAccessKey=b", "Endpoint=sb://h", &"h".repeat(257)]
    {
        let error = servicebus_tokio::Options::for_namespace(name).unwrap_err();
        assert_eq!(error.argument(), Some(Argument::HostName), "{name:?}: {error}");
        let http = servicebus_tokio::administration::Http::default();
        let credential = || async { Err::<servicebus_tokio::Token, _>("there is none") };
        let options = servicebus_tokio::AdministrationOptions::new();
        let error = servicebus_tokio::AdministrationClient::for_namespace(name, credential, options, http).unwrap_err();
        assert_eq!(error.argument(), Some(Argument::HostName), "{name:?}: {error}");
    }
    assert!(servicebus_tokio::Options::for_namespace("contoso.servicebus.windows.net").is_ok());
}
