//! Requests as clients send them, responses as the service gives them, and both against each other.

use super::service::*;
use super::*;
use crate::servicebus::ConnectionString;
use crate::servicebus::sas::SharedAccessSignature;
use crate::time::{Duration, Timestamp};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

const HOST: &str = "ns.servicebus.windows.net";
const SB: &str = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect";

fn builder() -> RequestBuilder {
    RequestBuilder::new(Endpoint::new(HOST), ApiVersion::V2021_05)
}

fn body(unsigned: &UnsignedRequest) -> String {
    String::from_utf8(unsigned.request().body.clone()).unwrap()
}

fn ok(body: impl Into<String>) -> Response {
    Response { status: 200, headers: Headers::new(), body: body.into().into_bytes() }
}

/// The names of the elements directly below the description, in their order.
fn names(xml: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(xml).unwrap();
    let content = document.descendants().find(|node| node.has_tag_name("content")).unwrap();
    let description = content.first_element_child().unwrap();
    description.children().filter(|node| node.is_element()).map(|node| node.tag_name().name().into()).collect()
}

fn all_queue_options() -> CreateQueueOptions {
    CreateQueueOptions::new()
        .with_lock_duration(Duration::from_secs(45))
        .with_max_size_in_megabytes(2_048)
        .with_requires_duplicate_detection(true)
        .with_requires_session(true)
        .with_default_message_time_to_live(Duration::from_secs(172_800))
        .with_dead_lettering_on_message_expiration(true)
        .with_duplicate_detection_history_time_window(Duration::from_secs(120))
        .with_max_delivery_count(101)
        .with_enable_batched_operations(false)
        .with_is_anonymous_accessible(true)
        .with_authorization_rules(vec![
            AuthorizationRule::new("first", [AccessRights::Manage, AccessRights::Listen, AccessRights::Send])
                .with_keys("primary", "secondary"),
            AuthorizationRule::new("second", [AccessRights::Listen]),
        ])
        .with_status(EntityStatus::SendDisabled)
        .with_support_ordering(false)
        .with_auto_delete_on_idle(Duration::from_secs(360))
        .with_enable_partitioning(true)
        .with_availability_status(EntityAvailabilityStatus::Limited)
        .with_enable_express(true)
        .with_forward_to("target")
        .with_user_metadata("a < b & \"c\"")
        .with_forward_dead_lettered_messages_to("sb://elsewhere/dead")
        .with_max_message_size_in_kilobytes(2_048u64)
}

fn all_topic_options() -> CreateTopicOptions {
    CreateTopicOptions::new()
        .with_default_message_time_to_live(Duration::from_secs(60))
        .with_max_size_in_megabytes(4_096)
        .with_requires_duplicate_detection(true)
        .with_duplicate_detection_history_time_window(Duration::from_secs(20))
        .with_enable_batched_operations(false)
        .with_filtering_messages_before_publishing(true)
        .with_is_anonymous_accessible(true)
        .with_authorization_rules(vec![AuthorizationRule::new("k", [AccessRights::Send])])
        .with_status(EntityStatus::Disabled)
        .with_support_ordering(false)
        .with_auto_delete_on_idle(Duration::from_secs(300))
        .with_enable_partitioning(true)
        .with_availability_status(EntityAvailabilityStatus::Restoring)
        .with_enable_subscription_partitioning(true)
        .with_enable_express(true)
        .with_user_metadata("meta")
        .with_max_message_size_in_kilobytes(1_024u64)
}

fn all_subscription_options() -> CreateSubscriptionOptions {
    CreateSubscriptionOptions::new()
        .with_lock_duration(Duration::from_secs(5))
        .with_requires_session(true)
        .with_default_message_time_to_live(Duration::from_millis(90_500))
        .with_dead_lettering_on_message_expiration(true)
        .with_dead_lettering_on_filter_evaluation_exceptions(false)
        .with_max_delivery_count(5)
        .with_enable_batched_operations(false)
        .with_status(EntityStatus::ReceiveDisabled)
        .with_auto_delete_on_idle(Duration::from_secs(3_600))
        .with_availability_status(EntityAvailabilityStatus::Renaming)
        .with_is_client_affine(true)
        .with_forward_to("q")
        .with_forward_dead_lettered_messages_to("d")
        .with_user_metadata("m")
        .with_default_rule(RuleProperties::new(
            "first",
            CreateRuleOptions::new().with_filter(SqlRuleFilter::new("a = @p").with_parameter("@p", 7)),
        ))
}

#[test]
fn a_creation_sends_only_what_is_set_in_the_clients_order() {
    let unsigned = builder().create_queue("q", CreateQueueOptions::new()).unwrap();
    assert_eq!(
        body(&unsigned),
        format!(
            "<entry xmlns=\"http://www.w3.org/2005/Atom\"><content type=\"application/xml\"><QueueDescription \
             xmlns=\"{SB}\" xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\"></QueueDescription></content></entry>"
        )
    );
    let request = unsigned.request();
    assert_eq!((request.method, request.path_and_query.as_str()), (Method::Put, "/q?api-version=2021-05"));
    assert_eq!(request.headers.get("If-Match"), None);
    assert!(request.headers.get("content-type").unwrap().starts_with("application/atom+xml"));

    assert_eq!(
        names(&body(&builder().create_queue("q", all_queue_options()).unwrap())),
        [
            "LockDuration",
            "MaxSizeInMegabytes",
            "RequiresDuplicateDetection",
            "RequiresSession",
            "DefaultMessageTimeToLive",
            "DeadLetteringOnMessageExpiration",
            "DuplicateDetectionHistoryTimeWindow",
            "MaxDeliveryCount",
            "EnableBatchedOperations",
            "IsAnonymousAccessible",
            "AuthorizationRules",
            "Status",
            "SupportOrdering",
            "AutoDeleteOnIdle",
            "EnablePartitioning",
            "EntityAvailabilityStatus",
            "EnableExpress",
            "ForwardTo",
            "UserMetadata",
            "ForwardDeadLetteredMessagesTo",
            "MaxMessageSizeInKilobytes",
        ]
    );
    assert_eq!(
        names(&body(&builder().create_topic("t", all_topic_options()).unwrap())),
        [
            "DefaultMessageTimeToLive",
            "MaxSizeInMegabytes",
            "RequiresDuplicateDetection",
            "DuplicateDetectionHistoryTimeWindow",
            "EnableBatchedOperations",
            "FilteringMessagesBeforePublishing",
            "IsAnonymousAccessible",
            "AuthorizationRules",
            "Status",
            "SupportOrdering",
            "AutoDeleteOnIdle",
            "EnablePartitioning",
            "EntityAvailabilityStatus",
            "EnableSubscriptionPartitioning",
            "EnableExpress",
            "UserMetadata",
            "MaxMessageSizeInKilobytes",
        ]
    );
    assert_eq!(
        names(&body(&builder().create_subscription("t", "s", all_subscription_options()).unwrap())),
        [
            "LockDuration",
            "RequiresSession",
            "DefaultMessageTimeToLive",
            "DeadLetteringOnMessageExpiration",
            "DeadLetteringOnFilterEvaluationExceptions",
            "MaxDeliveryCount",
            "EnableBatchedOperations",
            "Status",
            "ForwardTo",
            "ForwardDeadLetteredMessagesTo",
            "AutoDeleteOnIdle",
            "EntityAvailabilityStatus",
            "UserMetadata",
            "DefaultRuleDescription",
        ]
    );
}

#[test]
fn requests_have_the_paths_and_queries_of_the_official_clients() {
    let builder = builder();
    let path = |unsigned: Result<UnsignedRequest, InvalidRequest>| {
        let request = unsigned.unwrap().request().clone();
        format!("{} {}", request.method.as_str(), request.path_and_query)
    };
    let rule = Resource::Rule { topic: "t".into(), subscription: "s".into(), name: "$Default".into() };
    assert_eq!(path(builder.get(&rule)), "GET /t/subscriptions/s/rules/$Default?enrich=false&api-version=2021-05");
    assert_eq!(path(builder.get(&Resource::Namespace)), "GET /$namespaceinfo?api-version=2021-05");
    assert_eq!(
        path(builder.list(&Resource::Queues, 0, 100)),
        "GET /$Resources/queues?$skip=0&$top=100&api-version=2021-05"
    );
    assert_eq!(path(builder.delete(&Resource::Entity("a/b".into()))), "DELETE /a/b?api-version=2021-05");
    let newest = RequestBuilder::new(Endpoint::new(HOST), ApiVersion::default());
    assert!(path(newest.get(&rule)).ends_with("api-version=2024-05"));

    let queue = QueueProperties::new("q", CreateQueueOptions::new());
    let update = builder.update_queue(&queue).unwrap();
    assert_eq!(update.request().headers.get("if-match"), Some("*"));
    let rule = builder.update_rule("t", "s", &RuleProperties::new("r", CreateRuleOptions::new())).unwrap();
    assert_eq!(rule.request().headers.get("If-Match"), Some("*"));
    assert_eq!(rule.request().path_and_query, "/t/subscriptions/s/rules/r?api-version=2021-05");
}

#[test]
fn an_update_sends_every_setting() {
    let topic = TopicProperties::new("t", all_topic_options());
    let sent = body(&builder().update_topic(&topic).unwrap());
    let SentDescription::Topic(read) = read_body(sent.as_bytes()).unwrap() else { panic!("{sent}") };
    assert_eq!(read.options, all_topic_options());

    let defaults = SubscriptionProperties::new("t", "s", CreateSubscriptionOptions::new());
    let sent = body(&builder().update_subscription(&defaults).unwrap());
    let SentDescription::Subscription(read) = read_body(sent.as_bytes()).unwrap() else { panic!("{sent}") };
    assert_eq!(read.options.lock_duration, Some(Duration::from_secs(60)));
    assert_eq!(read.options.max_delivery_count, Some(10));
    assert_eq!(read.options.auto_delete_on_idle, Some(MAX_TIME_SPAN));
    assert_eq!(read.options.forward_to, None);
}

#[test]
fn a_connection_string_says_how_the_namespace_is_managed() {
    let endpoint = |text: &str| {
        let text = format!("Endpoint=sb://{text};SharedAccessKeyName=n;SharedAccessKey=k");
        let endpoint = Endpoint::from_connection_string(&ConnectionString::parse(&text).unwrap());
        (endpoint.uses_tls(), endpoint.port(), endpoint.audience())
    };
    assert_eq!(endpoint("h.example/"), (true, 443, "https://h.example".into()));
    assert_eq!(endpoint("h.example:5671"), (true, 443, "https://h.example".into()));
    assert_eq!(endpoint("localhost:5301"), (true, 5_301, "https://localhost:5301".into()));
    let emulator = |host: &str| endpoint(&format!("{host};UseDevelopmentEmulator=true"));
    assert_eq!(emulator("localhost"), (false, 5_300, "https://localhost:5300".into()));
    assert_eq!(emulator("localhost:8080"), (false, 8_080, "https://localhost:8080".into()));
    assert_eq!(emulator("[::1]:8080").2, "https://[::1]:8080");
    assert_eq!(Endpoint::new("h").with_port(1).port(), 1);
}

#[test]
fn requests_for_the_entity_of_a_connection_string_are_signed_for_that() {
    let text = "Endpoint=sb://h.example/;SharedAccessKeyName=n;SharedAccessKey=k;EntityPath=shop/Events";
    let endpoint = Endpoint::from_connection_string(&ConnectionString::parse(text).unwrap());
    let requests = RequestBuilder::new(endpoint, ApiVersion::V2021_05);
    let (topic, subscription) = (String::from("shop/events"), String::from("audit"));
    for (resource, path) in [
        (Resource::Entity(topic.clone()), "/shop/Events"),
        (Resource::Subscriptions { topic: topic.clone() }, "/shop/Events"),
        (Resource::Subscription { topic: topic.clone(), name: subscription.clone() }, "/shop/Events"),
        (Resource::Rule { topic, subscription, name: "r".into() }, "/shop/Events"),
        (Resource::Entity("shop".into()), ""),
        (Resource::Entity("shop/events/2".into()), ""),
        (Resource::Entity("shop/events2".into()), ""),
        (Resource::Topics, ""),
        (Resource::Namespace, ""),
    ] {
        let mut audience = String::new();
        let _ = requests.get(&resource).unwrap().sign(|of| {
            audience = of.into();
            String::new()
        });
        assert_eq!(audience, format!("https://h.example{path}"), "{resource}");
    }
}

#[test]
fn every_attempt_is_signed_for_the_namespace_and_for_targets_of_forwarding() {
    let options =
        CreateQueueOptions::new().with_forward_to("next").with_forward_dead_lettered_messages_to("https://other/dead");
    let unsigned = builder().create_queue("q", options).unwrap();
    let now = Timestamp::from_secs(1_000);
    let request = unsigned.sign(|audience| shared_access_token(audience, "name", "key", now));
    for (header, audience) in [
        ("Authorization", "https://ns.servicebus.windows.net"),
        ("ServiceBusSupplementaryAuthorization", "sb://ns.servicebus.windows.net/next"),
        ("ServiceBusDlqSupplementaryAuthorization", "https://other/dead"),
    ] {
        let token = SharedAccessSignature::parse(request.headers.get(header).unwrap()).unwrap();
        assert!(token.audience().eq(audience.bytes()), "{header}");
        assert_eq!(token.verify("key", now), Ok(()));
        assert_eq!(token.expiry(), Timestamp::from_secs(4_600));
    }
    let shown = format!("{request:?}");
    assert!(!shown.contains("SharedAccessSignature"), "{shown}");
    let sent = body(&unsigned);
    assert!(sent.contains("<ForwardTo>sb://ns.servicebus.windows.net/next</ForwardTo>"), "{sent}");

    let plain = builder().get(&Resource::Queues).unwrap().sign(|_| "token".into());
    assert_eq!(plain.headers.get("authorization"), Some("token"));
    assert_eq!(plain.headers.get(SUPPLEMENTARY_AUTHORIZATION), None);
}

#[test]
fn what_cannot_be_sent_is_refused() {
    assert_eq!(
        builder().create_queue("q@", CreateQueueOptions::new()),
        Err(InvalidRequest::Name(InvalidName::Character('@')))
    );
    assert_eq!(
        builder().create_queue("q", CreateQueueOptions::new().with_user_metadata("a\u{1}")),
        Err(InvalidRequest::Text)
    );
    let page = |next: &str| builder().follow(next).request().path_and_query.clone();
    assert_eq!(
        page("https://evil.example/$Resources/queues?%24skip=2&%24top=2"),
        "/$Resources/queues?%24skip=2&%24top=2"
    );
    assert_eq!(page("/x?a=1#f"), "/x?a=1");
    assert_eq!(page("x y\r\nHost: z"), "/xyHost:z");
    assert_eq!(page("https://host"), "/");
}

/// A queue as the service tells it, with elements and values of a later version of the API.
fn queue_entry() -> String {
    format!(
        r#"<entry xmlns="http://www.w3.org/2005/Atom"><id>https://ns/q?api-version=2021-05</id><title type="text">q</title>
<published>2026-01-02T03:04:05Z</published><updated>2026-01-02T03:04:06Z</updated><author><name>ns</name></author>
<link rel="self" href="https://ns/q?api-version=2021-05"/><content type="application/xml">
<QueueDescription xmlns="{SB}" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><LockDuration>PT45S</LockDuration>
<MaxSizeInMegabytes>2048</MaxSizeInMegabytes><RequiresSession>true</RequiresSession><Novelty a="b"><c/>1</Novelty>
<DefaultMessageTimeToLive>P10675199DT2H48M5.4775807S</DefaultMessageTimeToLive><MaxDeliveryCount>3</MaxDeliveryCount>
<SizeInBytes>120</SizeInBytes><MessageCount>15</MessageCount><AuthorizationRules>
<AuthorizationRule i:type="SharedAccessAuthorizationRule"><ClaimType>SharedAccessKey</ClaimType><ClaimValue>None</ClaimValue>
<Rights><AccessRights>Send</AccessRights><AccessRights>Fly</AccessRights></Rights><CreatedTime>2026-01-02T03:04:05Z</CreatedTime>
<ModifiedTime>2026-01-02T03:04:06Z</ModifiedTime><KeyName>k</KeyName><PrimaryKey>p</PrimaryKey><SecondaryKey>s</SecondaryKey>
</AuthorizationRule></AuthorizationRules><Status>Hibernating</Status><ForwardTo i:nil="true"/>
<CreatedAt>2026-01-02T03:04:05.2Z</CreatedAt><UpdatedAt>2026-01-02T03:04:06.123Z</UpdatedAt>
<AccessedAt>0001-01-01T00:00:00Z</AccessedAt><UserMetadata>x &amp; y</UserMetadata>
<CountDetails xmlns:d2p1="http://schemas.microsoft.com/netservices/2011/06/servicebus">
<d2p1:ActiveMessageCount>1</d2p1:ActiveMessageCount><d2p1:DeadLetterMessageCount>2</d2p1:DeadLetterMessageCount>
<d2p1:ScheduledMessageCount>3</d2p1:ScheduledMessageCount><d2p1:TransferMessageCount>4</d2p1:TransferMessageCount>
<d2p1:TransferDeadLetterMessageCount>5</d2p1:TransferDeadLetterMessageCount></CountDetails>
<EntityAvailabilityStatus>Available</EntityAvailabilityStatus></QueueDescription></content></entry>"#
    )
}

#[test]
fn a_queue_is_read() {
    let resource = Resource::Entity("q".into());
    let queue: QueueProperties = read_one(&ok(queue_entry()), &resource, Operation::Get).unwrap();
    assert_eq!(queue.name, "q");
    assert_eq!(queue.lock_duration, Duration::from_secs(45));
    assert!(queue.requires_session && !queue.requires_duplicate_detection && queue.enable_batched_operations);
    assert_eq!(queue.default_message_time_to_live, MAX_TIME_SPAN);
    assert_eq!((queue.max_delivery_count, queue.max_message_size_in_kilobytes), (3, None));
    assert_eq!((queue.status, queue.forward_to.as_deref()), (EntityStatus::Unknown, None));
    assert_eq!(queue.user_metadata.as_deref(), Some("x & y"));
    let [rule] = queue.authorization_rules.as_slice() else { panic!() };
    assert_eq!((rule.rights.as_slice(), rule.key_name.as_str()), (&[AccessRights::Send][..], "k"));
    assert_eq!((rule.primary_key.as_deref(), rule.secondary_key.as_deref()), (Some("p"), Some("s")));
    assert!(rule.created_at < rule.modified_at);
    assert!(!format!("{rule:?}").contains("\"p\""));

    let runtime: QueueRuntimeProperties = read_one(&ok(queue_entry()), &resource, Operation::Get).unwrap();
    assert_eq!((runtime.total_message_count, runtime.size_in_bytes), (15, 120));
    let counts = runtime.message_count_details;
    assert_eq!(
        (counts.active, counts.dead_letter, counts.scheduled, counts.transfer, counts.transfer_dead_letter),
        (1, 2, 3, 4, 5)
    );
    assert_eq!(counts.total(), 15);
    assert_eq!(runtime.accessed_at, None);
    assert_eq!(runtime.created_at.unwrap().to_string(), "2026-01-02T03:04:05.200Z");
    assert_eq!(runtime.updated_at.unwrap().to_string(), "2026-01-02T03:04:06.123Z");
}

#[test]
fn other_prefixes_and_a_byte_order_mark_are_read() {
    let text = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><a:entry xmlns:a=\"http://www.w3.org/2005/Atom\"><a:title>q</a:title>\
         <a:content><s:QueueDescription xmlns:s=\"{SB}\"><s:LockDuration>PT<!-- -->5S</s:LockDuration>\
         <LockDuration>PT9S</LockDuration></s:QueueDescription></a:content></a:entry>"
    );
    let queue: QueueProperties = read_one(&ok(text.clone()), &Resource::Entity("q".into()), Operation::Get).unwrap();
    assert_eq!(queue.lock_duration, Duration::from_secs(5));
    let SentDescription::Queue(sent) = read_body(text.as_bytes()).unwrap() else { panic!() };
    assert_eq!(sent.elements, ["LockDuration"]);
}

#[test]
fn adm35_adm42_what_is_not_there_is_not_found() {
    let resource = Resource::Entity("q".into());
    let feed = write_not_found_feed("6b4d17cd-e5b6-4f89-90ed-230aac5a6aeb", 7, Timestamp::UNIX_EPOCH);
    assert!(feed.contains("Publicly Listed Services") && feed.contains(";id=7<"));
    let missing = read_one::<QueueProperties>(&ok(feed), &resource, Operation::Get);
    let Err(ResponseError::Service(error)) = missing else { panic!("{missing:?}") };
    assert_eq!((error.kind, error.status), (ServiceErrorKind::NotFound, 404));
    let topic = read_one::<TopicProperties>(&ok(queue_entry()), &resource, Operation::Get);
    assert!(matches!(topic, Err(ResponseError::Service(error)) if error.kind == ServiceErrorKind::NotFound));
    assert_eq!(read_one::<QueueProperties>(&ok("<html/>"), &resource, Operation::Get), Err(ResponseError::Unexpected));
    assert_eq!(
        read_one::<QueueProperties>(&ok("nothing"), &resource, Operation::Get),
        Err(ResponseError::Xml(XmlError::Malformed))
    );
    let bad = queue_entry().replace("PT45S", "soon");
    let Err(ResponseError::Element(error)) = read_one::<QueueProperties>(&ok(bad), &resource, Operation::Get) else {
        panic!()
    };
    assert_eq!((error.element.as_str(), error.text.as_str()), ("LockDuration", "soon"));
}

#[test]
fn feeds_are_read_with_their_next_page() {
    let time = Timestamp::from_secs(1_795_413_488);
    let entry = |name: &str| Entry {
        id: format!("https://{HOST}/{name}"),
        title: name.into(),
        published: Some(time),
        updated: time,
        author: Some("ns".into()),
        href: format!("../{name}?api-version=2021-05"),
        content: Content::Topic(Description::new(
            CreateTopicOptions::new(),
            EntityState { subscription_count: Some(4), sql_filter_count: Some(2), ..EntityState::default() },
        )),
    };
    let id = format!("https://{HOST}/$Resources/topics?$skip=0&$top=2&api-version=2021-05");
    let next = format!("https://{HOST}/$Resources/topics?%24skip=2&%24top=2&api-version=2021-05");
    let feed = write_feed("Topics", &id, time, Some(&next), &[entry("a"), entry("b")]);
    assert!(feed.contains("&amp;%24top=2"));
    let page: Page<TopicRuntimeProperties> = read_page(&ok(feed), &Resource::Topics).unwrap();
    assert_eq!(page.next, Some(next));
    assert_eq!(page.entries.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let [topic, _] = page.entries.as_slice() else { panic!() };
    assert_eq!((topic.subscription_count, topic.sql_filter_count, topic.correlation_filter_count), (4, Some(2), None));

    let last = write_feed("Topics", &id, time, None, &[]);
    let page: Page<TopicProperties> = read_page(&ok(last), &Resource::Topics).unwrap();
    assert_eq!((page.entries.len(), page.next), (0, None));
    assert_eq!(
        read_page::<TopicProperties>(&ok(write_entry(&entry("a"))), &Resource::Topics),
        Err(ResponseError::Unexpected)
    );
}

fn answer(content: Content) -> String {
    write_entry(&Entry {
        id: "id".into(),
        title: "e".into(),
        published: None,
        updated: Timestamp::UNIX_EPOCH,
        author: None,
        href: "id".into(),
        content,
    })
}

fn full_state() -> EntityState {
    let time = Timestamp::from_millis(1_795_413_488_250);
    EntityState {
        size_in_bytes: Some(1),
        message_count: Some(2),
        created_at: Some(time),
        updated_at: Some(time),
        accessed_at: Some(Timestamp::DOTNET_MIN),
        count_details: Some(MessageCountDetails { active: 2, ..MessageCountDetails::default() }),
        subscription_count: Some(3),
        sql_filter_count: Some(4),
        correlation_filter_count: Some(5),
    }
}

#[test]
fn adm14_a_queue_is_answered_in_the_services_order_and_read_back() {
    let text = answer(Content::Queue(Description::new(all_queue_options(), full_state())));
    assert_eq!(
        names(&text),
        [
            "LockDuration",
            "MaxSizeInMegabytes",
            "RequiresDuplicateDetection",
            "RequiresSession",
            "DefaultMessageTimeToLive",
            "DeadLetteringOnMessageExpiration",
            "DuplicateDetectionHistoryTimeWindow",
            "MaxDeliveryCount",
            "EnableBatchedOperations",
            "SizeInBytes",
            "MessageCount",
            "IsAnonymousAccessible",
            "AuthorizationRules",
            "Status",
            "ForwardTo",
            "CreatedAt",
            "UpdatedAt",
            "AccessedAt",
            "UserMetadata",
            "SupportOrdering",
            "CountDetails",
            "AutoDeleteOnIdle",
            "EnablePartitioning",
            "EntityAvailabilityStatus",
            "ForwardDeadLetteredMessagesTo",
            "EnableExpress",
            "MaxMessageSizeInKilobytes",
        ]
    );
    let queue: QueueProperties = read_one(&ok(text), &Resource::Entity("e".into()), Operation::Get).unwrap();
    assert_eq!(queue, QueueProperties::new("e", all_queue_options()));
}

#[test]
fn adm15_a_topic_is_answered_in_the_services_order_and_read_back() {
    let text = answer(Content::Topic(Description::new(all_topic_options(), full_state())));
    assert_eq!(
        names(&text),
        [
            "DefaultMessageTimeToLive",
            "MaxSizeInMegabytes",
            "RequiresDuplicateDetection",
            "DuplicateDetectionHistoryTimeWindow",
            "EnableBatchedOperations",
            "SizeInBytes",
            "FilteringMessagesBeforePublishing",
            "IsAnonymousAccessible",
            "AuthorizationRules",
            "Status",
            "CreatedAt",
            "UpdatedAt",
            "AccessedAt",
            "UserMetadata",
            "SupportOrdering",
            "CountDetails",
            "SubscriptionCount",
            "SqlFilterCount",
            "CorrelationFilterCount",
            "AutoDeleteOnIdle",
            "EnablePartitioning",
            "EntityAvailabilityStatus",
            "EnableSubscriptionPartitioning",
            "EnableExpress",
            "MaxMessageSizeInKilobytes",
        ]
    );
    let topic: TopicProperties = read_one(&ok(text), &Resource::Entity("e".into()), Operation::Get).unwrap();
    assert_eq!(topic, TopicProperties::new("e", all_topic_options()));
}

#[test]
fn adm13_adm16_a_subscription_is_answered_in_the_services_order_and_read_back() {
    let text = answer(Content::Subscription(Description::new(all_subscription_options(), full_state())));
    assert_eq!(
        names(&text),
        [
            "LockDuration",
            "RequiresSession",
            "DefaultMessageTimeToLive",
            "DeadLetteringOnMessageExpiration",
            "DeadLetteringOnFilterEvaluationExceptions",
            "MessageCount",
            "MaxDeliveryCount",
            "EnableBatchedOperations",
            "Status",
            "ForwardTo",
            "CreatedAt",
            "UpdatedAt",
            "AccessedAt",
            "CountDetails",
            "ForwardDeadLetteredMessagesTo",
            "AutoDeleteOnIdle",
            "EntityAvailabilityStatus",
            "UserMetadata",
            "IsClientAffine",
        ]
    );
    assert!(text.contains("<CreatedAt>2026-11-23T05:58:08.2500000Z</CreatedAt>"), "{text}");
    assert!(text.contains("<AccessedAt>0001-01-01T00:00:00</AccessedAt>"), "{text}");
    let resource = Resource::Subscription { topic: "t".into(), name: "e".into() };
    let read: SubscriptionProperties = read_one(&ok(text.clone()), &resource, Operation::Get).unwrap();
    assert_eq!(read, SubscriptionProperties::new("t", "e", all_subscription_options()));
    let runtime: SubscriptionRuntimeProperties = read_one(&ok(text), &resource, Operation::Get).unwrap();
    assert_eq!((runtime.topic_name.as_str(), runtime.name.as_str(), runtime.total_message_count), ("t", "e", 2));
}

#[test]
fn adm10_an_update_is_answered_with_what_was_sent() {
    let queue = QueueProperties::new("q", CreateQueueOptions::new());
    let sent = body(&builder().update_queue(&queue).unwrap());
    let SentDescription::Queue(read) = read_body(sent.as_bytes()).unwrap() else { panic!() };
    let text = answer(Content::Queue(Description { state: full_state(), ..read }));
    assert_eq!(names(&text), names(&sent));
}

#[test]
fn adm65_to_adm68_rules_go_both_ways() {
    let time = Timestamp::from_millis(1_593_947_533_120);
    let span = TimeSpan::parse("P1DT2H3M4.0000001S").unwrap();
    let sql = SqlRuleFilter::new("a = @string AND b < @long ")
        .with_parameter("@string", "x<y")
        .with_parameter("@int", -5)
        .with_parameter("@long", i64::MAX)
        .with_parameter("@double", 0.1)
        .with_parameter("@boolean", true)
        .with_parameter("@time", time)
        .with_parameter("@span", span)
        .with_parameter("@infinity", f64::NEG_INFINITY)
        .with_parameter("@null", RuleValue::Null);
    let correlation = CorrelationRuleFilter::new()
        .with_correlation_id("1")
        .with_message_id("2")
        .with_to("3")
        .with_reply_to("4")
        .with_subject("5")
        .with_session_id("6")
        .with_reply_to_session_id("7")
        .with_content_type("8")
        .with_property("Color", "red")
        .with_property("n", 3);
    let action = SqlRuleAction::new("SET x = @v").with_parameter("@v", Duration::from_secs(90));
    for options in [
        CreateRuleOptions::new(),
        CreateRuleOptions::new().with_filter(RuleFilter::False),
        CreateRuleOptions::new().with_filter(SqlRuleFilter::new("1=1")),
        CreateRuleOptions::new().with_filter(sql).with_action(action),
        CreateRuleOptions::new().with_filter(correlation),
    ] {
        let rule = RuleProperties::new("r", options);
        let sent = body(&builder().create_rule("t", "s", &rule).unwrap());
        assert_eq!(names(&sent), ["Filter", "Action", "Name"]);
        assert_eq!(read_body(sent.as_bytes()), Ok(SentDescription::Rule(rule.clone())));

        let stored = RuleProperties { created_at: Some(time), ..rule };
        let text = answer(Content::Rule(stored.clone(), RuleForm::Stored));
        assert_eq!(names(&text), ["Filter", "Action", "CreatedAt", "Name"]);
        let resource = Resource::Rule { topic: "t".into(), subscription: "s".into(), name: "r".into() };
        assert_eq!(read_one::<RuleProperties>(&ok(text), &resource, Operation::Get), Ok(stored));
    }
}

#[test]
fn rules_have_the_services_form() {
    let rule = |options| answer(Content::Rule(RuleProperties::new("r", options), RuleForm::Stored));
    let text = rule(CreateRuleOptions::new());
    assert!(
        text.contains(
            "<Filter i:type=\"TrueFilter\"><SqlExpression>1=1</SqlExpression><CompatibilityLevel>20</CompatibilityLevel>\
             </Filter><Action i:type=\"EmptyRuleAction\"/>"
        ),
        "{text}"
    );
    let sql = CreateRuleOptions::new().with_filter(SqlRuleFilter::new("a"));
    assert!(rule(sql.clone()).contains("<CompatibilityLevel>20</CompatibilityLevel><Parameters/></Filter>"));
    let sent = answer(Content::Rule(RuleProperties::new("r", sql), RuleForm::Sent));
    assert!(sent.contains("<CompatibilityLevel>20</CompatibilityLevel></Filter>"), "{sent}");
    let typed = SqlRuleFilter::new("a").with_parameter("@i", 1).with_parameter("@d", Duration::from_secs(1));
    let text = rule(CreateRuleOptions::new().with_filter(typed));
    for value in [
        "<Value i:type=\"d6p1:int\" xmlns:d6p1=\"http://www.w3.org/2001/XMLSchema\">1</Value>",
        "<Value i:type=\"d6p1:duration\" xmlns:d6p1=\"http://schemas.microsoft.com/2003/10/Serialization/\">PT1S</Value>",
    ] {
        assert!(text.contains(value), "{text}");
    }
}

#[test]
fn values_of_unknown_kinds_are_kept_by_a_client_and_refused_by_a_service() {
    let rule = |inner: &str| {
        format!(
            "<entry xmlns=\"http://www.w3.org/2005/Atom\"><content><RuleDescription xmlns=\"{SB}\" \
             xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:x=\"http://www.w3.org/2001/XMLSchema\">{inner}\
             <Name>r</Name></RuleDescription></content></entry>"
        )
    };
    let resource = Resource::Rule { topic: "t".into(), subscription: "s".into(), name: "r".into() };
    let text = rule("<Filter i:type=\"FutureFilter\"/><Action i:type=\"FutureAction\"/>");
    let read: RuleProperties = read_one(&ok(text.clone()), &resource, Operation::Get).unwrap();
    assert_eq!(read.filter, RuleFilter::Unknown("FutureFilter".into()));
    assert!(matches!(read_body(text.as_bytes()), Err(BodyError::Element(error)) if error.element == "Filter"));

    let text = rule(
        "<Filter i:type=\"SqlFilter\"><SqlExpression>a</SqlExpression><Parameters><KeyValueOfstringanyType><Key>k</Key>\
         <Value i:type=\"x:future\">v</Value></KeyValueOfstringanyType></Parameters></Filter>",
    );
    let read: RuleProperties = read_one(&ok(text.clone()), &resource, Operation::Get).unwrap();
    let RuleFilter::Sql(sql) = read.filter else { panic!() };
    assert_eq!(sql.parameters, [("k".into(), RuleValue::Other { kind: "future".into(), text: "v".into() })]);
    let text = text.replace("x:future", "x:int");
    assert!(matches!(read_body(text.as_bytes()), Err(BodyError::Element(error)) if error.element == "Value"));
    let text = rule("<Filter i:type=\"TrueFilter\"/>").replace("<Name>r</Name>", "");
    let read: RuleProperties = read_one(&ok(text), &resource, Operation::Get).unwrap();
    assert_eq!((read.name.as_str(), read.action), ("r", None));
}

#[test]
fn adm64_the_namespace_is_read() {
    let mut namespace = NamespaceProperties::new("ns", MessagingSku::Premium);
    namespace.created_at = Some(Timestamp::from_millis(1_500));
    namespace.modified_at = Some(Timestamp::from_millis(1_501));
    namespace.messaging_units = Some(2);
    namespace.alias = Some("pair".into());
    let text = answer(Content::Namespace(namespace.clone()));
    assert_eq!(
        names(&text),
        ["Alias", "CreatedTime", "MessagingSKU", "MessagingUnits", "ModifiedTime", "Name", "NamespaceType"]
    );
    let read: NamespaceProperties = read_one(&ok(text.clone()), &Resource::Namespace, Operation::Get).unwrap();
    assert_eq!(read, namespace);
    let text = text
        .replace(">Premium<", ">Galactic<")
        .replace("<MessagingUnits>2", "<Unheard>2")
        .replace("2</MessagingUnits>", "2</Unheard>");
    let read: NamespaceProperties = read_one(&ok(text), &Resource::Namespace, Operation::Get).unwrap();
    assert_eq!((read.messaging_sku, read.messaging_units), (MessagingSku::Unknown, None));
    // A point in time that is missing, or that the service has not set.
    namespace.created_at = None;
    namespace.modified_at = Some(Timestamp::DOTNET_MIN);
    let text = answer(Content::Namespace(namespace));
    let read: NamespaceProperties = read_one(&ok(text), &Resource::Namespace, Operation::Get).unwrap();
    assert_eq!((read.created_at, read.modified_at), (None, None));
}

#[test]
fn the_services_refusals_are_told_apart() {
    use Operation::*;
    use ServiceErrorKind as Kind;
    for (status, operation, detail, kind, sub_code) in [
        (400, Create, "SubCode=40000. The supplied lock time is too long.", Kind::BadRequest, Some(40_000)),
        (401, Get, "Manage,EntityRead claims required for this operation.", Kind::Unauthorized, None),
        (403, Create, "The namespace is full.", Kind::QuotaExceeded, None),
        (403, Update, "SubCode=40301. Not now.", Kind::BadRequest, Some(40_301)),
        (404, Delete, "No service is hosted at the specified address.", Kind::NotFound, None),
        (404, Update, "SubCode=40400. Not Found.", Kind::NotFound, Some(40_400)),
        (409, Create, "SubCode=40900. Conflict.", Kind::AlreadyExists, Some(40_900)),
        (409, Create, "SubCode=40901. Another operation is in progress.", Kind::Conflict, Some(40_901)),
        (409, Update, "SubCode=40900. Conflict.", Kind::Conflict, Some(40_900)),
        (412, Update, "Too late.", Kind::PreconditionFailed, None),
        (429, Get, "SubCode=50002. Slow down.", Kind::Throttled, Some(50_002)),
        (503, Get, "Busy.", Kind::Throttled, None),
        (504, Get, "Too slow.", Kind::Timeout, None),
        (500, Get, "Oh.", Kind::Internal, None),
        (302, Get, "Elsewhere.", Kind::Other, None),
    ] {
        let full = format!("{detail} TrackingId:6b4d17cd_G2, SystemTracker:{HOST}:q, Timestamp:2026-11-23T08:00:00");
        let response = Response { status, headers: Headers::new(), body: write_error(status, &full).into_bytes() };
        let error = ServiceError::read(&response, operation);
        assert_eq!((error.kind, error.sub_code, error.status), (kind, sub_code, status), "{detail}");
        assert_eq!((error.detail.as_str(), error.tracking_id.as_deref()), (detail, Some("6b4d17cd_G2")));
        let transient = matches!(kind, Kind::Throttled | Kind::Timeout | Kind::Internal) || sub_code == Some(40_901);
        assert_eq!(error.is_transient(), transient, "{detail}");
        assert!(read_deleted(&response).is_err());
    }
}

#[test]
fn a_pause_is_asked_for_in_seconds_or_until_a_time() {
    let asked = |after: &str, date: Option<&str>| {
        let mut headers = Headers::new();
        headers.push("Retry-After", after);
        if let Some(date) = date {
            headers.push("date", date);
        }
        ServiceError::read(&Response { status: 429, headers, body: vec![] }, Operation::Get).retry_after
    };
    let date = Some("Fri, 31 Dec 1999 23:59:50 GMT");
    for (after, seconds) in [
        ("7", Some(7)),
        (" 120 ", Some(120)),
        ("Sat, 01 Jan 2000 00:00:05 GMT", Some(15)),
        ("Fri, 31 Dec 1999 23:59:49 GMT", Some(0)),
        ("Saturday, 01-Jan-00 00:00:05 GMT", Some(15)),
        ("Saturday, 01-Jan-49 00:00:05 GMT", Some(15 + 17_898 * 86_400)),
        ("Thursday, 01-Jan-70 00:00:05 GMT", Some(0)),
        ("Sat Jan  1 00:00:05 2000", Some(15)),
        ("Mon Jan 10 00:00:05 2000", Some(15 + 9 * 86_400)),
        ("Sat, 01 Jan 0000 00:00:05 GMT", None),
        ("Saturday, 01-Jan-00 00:00:05", None),
        ("Saturday, 01-Jan-+0 00:00:05 GMT", None),
        ("Sat Jan  1 00:00:05", None),
        ("Sat, 31 Feb 2000 00:00:05 GMT", None),
        ("Sat, 01 Nam 2000 00:00:05 GMT", None),
        ("Sat, 01 Jän 2000 00:00:05 GMT", None),
        ("Sat, 01 Jan 2000", None),
        ("soon", None),
        ("-1", None),
        ("", None),
    ] {
        assert_eq!(asked(after, date), seconds.map(Duration::from_secs), "{after}");
    }
    for date in ["Friday, 31-Dec-99 23:59:50 GMT", "Fri Dec 31 23:59:50 1999"] {
        assert_eq!(asked("Sat, 01 Jan 2000 00:00:05 GMT", Some(date)), Some(Duration::from_secs(15)), "{date}");
    }
    assert_eq!(asked("Sat, 01 Jan 2000 00:00:05 GMT", None), None, "by whose clock?");
}

#[test]
fn a_namespace_is_named_by_its_host_or_its_address() {
    for name in
        [HOST, "ns.servicebus.windows.net/", "sb://ns.servicebus.windows.net", "https://ns.servicebus.windows.net:443/"]
    {
        assert_eq!(Endpoint::new(name).audience(), format!("https://{HOST}"), "{name}");
    }
    assert_eq!(Endpoint::new("https://[::1]:8443").authority(), "[::1]:8443");
    assert_eq!(Endpoint::new("::1").authority(), "[::1]");
}

#[test]
fn a_refusal_by_something_else_is_kept_as_text() {
    let mut headers = Headers::new();
    headers.push("retry-after", "7");
    let error = |body: &[u8]| {
        let response = Response { status: 503, headers: headers.clone(), body: body.into() };
        ServiceError::read(&response, Operation::Get)
    };
    assert_eq!(error(b"").detail, "");
    assert_eq!(error(b"").retry_after, Some(Duration::from_secs(7)));
    assert_eq!(error(b" <html>No</html> ").detail, "<html>No</html>");
    assert_eq!(error(b"\xff!").detail, "\u{fffd}!");
    assert_eq!(error("é".repeat(9_000).as_bytes()).detail.len(), 4_096);
    let long = write_error(503, &"é".repeat(3_000));
    assert_eq!(error(long.as_bytes()).detail.len(), 4_096);
    assert_eq!(write_error(400, "a\r\nb"), "<Error><Code>400</Code><Detail>a&#xD;\nb</Detail></Error>");
}

#[test]
fn bodies_that_are_none_are_refused() {
    for (text, error) in [
        ("", BodyError::Xml(XmlError::Malformed)),
        ("<entry/>", BodyError::NoDescription),
        ("<entry xmlns=\"http://www.w3.org/2005/Atom\"><content/></entry>", BodyError::NoDescription),
        (
            "<entry xmlns=\"http://www.w3.org/2005/Atom\"><content><QueueDescription/></content></entry>",
            BodyError::NoDescription,
        ),
    ] {
        assert_eq!(read_body(text.as_bytes()), Err(error), "{text}");
    }
    assert_eq!(read_body(&vec![b' '; MAX_REQUEST_BODY + 1]), Err(BodyError::Xml(XmlError::TooLarge)));
    let sent = body(&builder().create_queue("q", all_queue_options()).unwrap());
    for (from, to, element) in [
        ("PT45S", "-PT45S", "LockDuration"),
        (">101<", ">many<", "MaxDeliveryCount"),
        (">SendDisabled<", ">Asleep<", "Status"),
        (">Manage<", ">Rule<", "AccessRights"),
        (">true<", ">yes<", "RequiresDuplicateDetection"),
    ] {
        let result = read_body(sent.replace(from, to).as_bytes());
        assert!(matches!(&result, Err(BodyError::Element(error)) if error.element == element), "{element}: {result:?}");
    }
}

/// Any cut of a valid document, and any byte of it replaced, gives a result or an error.
#[test]
fn broken_documents_do_not_panic() {
    let text = queue_entry();
    let resource = Resource::Entity("q".into());
    for end in 0..text.len() {
        let body: Vec<u8> = text.bytes().take(end).collect();
        let response = Response { status: 200, headers: Headers::new(), body };
        assert!(read_one::<QueueProperties>(&response, &resource, Operation::Get).is_err());
    }
    let mut random = crate::random::Random::seeded(7);
    for _ in 0..2_000 {
        let mut body = text.clone().into_bytes();
        let place = random.below(body.len() as u64) as usize;
        body[place] = random.next() as u8;
        let response = Response { status: 200, headers: Headers::new(), body };
        let _ = read_one::<QueueProperties>(&response, &resource, Operation::Get);
        let _ = read_page::<QueueProperties>(&response, &resource);
        let _ = read_body(&response.body);
    }
}
