//! The endpoint without HTTP: requests as clients send them, answers as the service gives them. Names that begin with
//! `adm` or `rul` are rows of docs/evidence/pinned-behaviour.md.

use super::{Authority, Management, Order};
use crate::broker::entities::{AuthorizationRule, Namespace, Rights};
use crate::broker::{Statistics, Tier};
use servicebus_core::servicebus::administration as api;
use servicebus_core::servicebus::administration::*;
use servicebus_core::time::{Duration, Timestamp};

const HOST: &str = "localhost:5300";
const MORE: &str = "To know more visit https://aka.ms/sbResourceMgrExceptions.";

fn key(name: &str, rights: Rights) -> AuthorizationRule {
    AuthorizationRule {
        key_name: name.into(),
        primary_key: format!("{name}-1"),
        secondary_key: format!("{name}-2"),
        rights,
    }
}

struct Site {
    entities: Namespace,
    management: Management,
    keys: Vec<AuthorizationRule>,
    accept_jwt: bool,
    throttled: bool,
    utc: Timestamp,
    requests: RequestBuilder,
    token: Option<String>,
}

impl Site {
    fn new() -> Self {
        Self::version(ApiVersion::V2024_05)
    }

    fn version(version: ApiVersion) -> Self {
        let utc = Timestamp::from_millis(1_795_413_488_250);
        let mut site = Self {
            entities: Namespace::new(1),
            management: Management::new("ns", 2),
            keys: vec![key("root", Rights::ALL), key("listen", Rights::LISTEN)],
            accept_jwt: true,
            throttled: false,
            utc,
            requests: RequestBuilder::new(Endpoint::new("localhost").with_port(5_300), version),
            token: None,
        };
        site.sign_with("root", "root-1");
        site
    }

    fn sign_with(&mut self, name: &str, key: &str) {
        self.token = Some(shared_access_token("https://localhost:5300", name, key, self.utc));
    }

    fn pass(&mut self, seconds: u64) {
        self.utc = self.utc + Duration::from_secs(seconds);
    }

    fn send(&mut self, mut request: Request) -> Response {
        if let Some(token) = &self.token {
            request.headers.push("Authorization", token.clone());
        }
        request.headers.push("Host", HOST);
        let authority = Authority {
            keys: &self.keys,
            accept_jwt: self.accept_jwt,
            throttled: self.throttled,
            statistics: Statistics::default(),
            local: false,
        };
        self.management.handle(&mut self.entities, authority, "http", &request, self.utc)
    }

    fn run(&mut self, unsigned: Result<UnsignedRequest, InvalidRequest>) -> Response {
        let request = unsigned.unwrap().request().clone();
        self.send(request)
    }

    fn raw(&mut self, method: Method, path: &str, body: &str, update: bool) -> Response {
        let mut headers = Headers::new();
        if update {
            headers.push("If-Match", "*");
        }
        self.send(Request { method, path_and_query: path.into(), headers, body: body.into() })
    }

    fn get(&mut self, resource: &Resource) -> Response {
        self.run(self.requests.get(resource))
    }

    fn create_queue(&mut self, name: &str, options: CreateQueueOptions) -> Response {
        self.run(self.requests.create_queue(name, options))
    }

    fn create_topic(&mut self, name: &str, options: CreateTopicOptions) -> Response {
        self.run(self.requests.create_topic(name, options))
    }

    fn create_subscription(&mut self, topic: &str, name: &str, options: CreateSubscriptionOptions) -> Response {
        self.run(self.requests.create_subscription(topic, name, options))
    }

    fn create_rule(&mut self, topic: &str, subscription: &str, name: &str, options: CreateRuleOptions) -> Response {
        self.run(self.requests.create_rule(topic, subscription, &RuleProperties::new(name, options)))
    }

    fn delete(&mut self, resource: &Resource) -> Response {
        self.run(self.requests.delete(resource))
    }

    fn queue(&mut self, name: &str) -> QueueProperties {
        let resource = entity(name);
        read_one(&self.get(&resource), &resource, Operation::Get).unwrap()
    }

    /// A queue `q` and a topic `t` with a subscription `s`.
    fn furnish(&mut self) {
        assert_eq!(self.create_queue("q", CreateQueueOptions::new()).status, 201);
        assert_eq!(self.create_topic("t", CreateTopicOptions::new()).status, 201);
        assert_eq!(self.create_subscription("t", "s", CreateSubscriptionOptions::new()).status, 201);
    }
}

fn entity(name: &str) -> Resource {
    Resource::Entity(name.into())
}

fn subscription(topic: &str, name: &str) -> Resource {
    Resource::Subscription { topic: topic.into(), name: name.into() }
}

fn rule(topic: &str, subscription: &str, name: &str) -> Resource {
    Resource::Rule { topic: topic.into(), subscription: subscription.into(), name: name.into() }
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

/// Status and detail of a refusal, without the tracking block.
fn refusal(response: &Response) -> (u16, String) {
    let body = text(response);
    let detail = body.split_once("<Detail>").map_or("", |(_, rest)| rest);
    assert!(body.is_empty() || body.starts_with(&format!("<Error><Code>{}</Code><Detail>", response.status)), "{body}");
    (response.status, detail.split(" TrackingId:").next().unwrap().into())
}

fn error(response: &Response) -> ServiceErrorKind {
    ServiceError::read(response, Operation::Create).kind
}

/// The description's elements in their order.
fn elements(response: &Response) -> Vec<String> {
    let body = text(response);
    let (_, description) = body.split_once("Description xmlns").expect("a description");
    let (_, mut rest) = description.split_once('>').unwrap();
    let mut names = Vec::new();
    let mut depth = 0;
    while let Some((_, tag)) = rest.split_once('<') {
        let (name, after) = tag.split_once('>').unwrap();
        if let Some(closed) = name.strip_prefix('/') {
            if closed.ends_with("Description") {
                break;
            }
            depth -= 1;
        } else {
            if depth == 0 {
                names.push(name.trim_end_matches('/').split(' ').next().unwrap().to_owned());
            }
            depth += i32::from(!name.ends_with('/'));
        }
        rest = after;
    }
    names
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.get(name)
}

#[test]
fn adm1_to_adm5_statuses_and_content_types() {
    let mut site = Site::new();
    let entry = "application/atom+xml;type=entry;charset=utf-8";
    let created = [
        site.create_queue("q", CreateQueueOptions::new()),
        site.create_topic("t", CreateTopicOptions::new()),
        site.create_subscription("t", "s", CreateSubscriptionOptions::new()),
        site.create_rule("t", "s", "r", CreateRuleOptions::new()),
    ];
    for response in &created {
        assert_eq!((response.status, header(response, "content-type")), (201, Some(entry)), "{}", text(response));
    }
    let queue = site.queue("q");
    let updated = site.run(site.requests.update_queue(&queue));
    assert_eq!((updated.status, header(&updated, "content-type")), (200, Some(entry)));
    let read = site.get(&entity("q"));
    assert_eq!((read.status, header(&read, "content-type")), (200, Some(entry)));
    let list = site.run(site.requests.list(&Resource::Queues, 0, 100));
    assert_eq!(
        (list.status, header(&list, "content-type")),
        (200, Some("application/atom+xml;type=feed;charset=utf-8"))
    );
    assert!(
        header(&list, "Strict-Transport-Security").is_none() && header(&read, "Strict-Transport-Security").is_some()
    );
    let missing = site.delete(&entity("none"));
    assert_eq!((missing.status, header(&missing, "content-type")), (404, Some("application/xml; charset=utf-8")));
    for resource in [rule("t", "s", "r"), subscription("t", "s"), entity("t"), entity("q")] {
        let deleted = site.delete(&resource);
        assert_eq!((deleted.status, deleted.body.len()), (200, 0), "{resource}");
        assert_eq!(site.delete(&resource).status, 404);
    }
}

#[test]
fn adm6_etags_are_the_ticks_of_the_last_change() {
    let mut site = Site::new();
    let created = site.create_queue("q", CreateQueueOptions::new());
    assert_eq!(header(&created, "ETag"), None);
    let first = format!("\"{}\"", site.utc.as_dotnet_ticks());
    assert_eq!(header(&site.get(&entity("q")), "ETag"), Some(first.as_str()));
    site.pass(5);
    let queue = site.queue("q");
    let updated = site.run(site.requests.update_queue(&queue));
    assert_eq!(header(&updated, "ETag"), Some(first.as_str()));
    let second = format!("\"{}\"", site.utc.as_dotnet_ticks());
    assert_eq!(header(&site.get(&entity("q")), "ETag"), Some(second.as_str()));
    assert_eq!(header(&site.create_queue("q", CreateQueueOptions::new()), "ETag"), Some(second.as_str()));

    assert_eq!(header(&site.create_topic("t", CreateTopicOptions::new()), "ETag"), None);
    let topic = format!("\"{}\"", site.utc.as_dotnet_ticks());
    site.pass(5);
    let below = site.create_subscription("t", "s", CreateSubscriptionOptions::new());
    assert_eq!(header(&below, "ETag"), Some(topic.as_str()));
    assert_eq!(header(&site.get(&rule("t", "s", "$Default")), "ETag"), Some(topic.as_str()));
    assert_eq!(header(&site.delete(&entity("q")), "ETag"), Some(second.as_str()));
}

#[test]
fn an_update_can_ask_for_a_version() {
    let mut site = Site::new();
    site.furnish();
    let queue = site.queue("q");
    let mut request = site.requests.update_queue(&queue).unwrap().request().clone();
    request.headers = Headers::new();
    request.headers.push("If-Match", "\"1\"");
    assert_eq!(site.send(request.clone()).status, 412);
    request.headers = Headers::new();
    request.headers.push("if-match", format!("\"{}\"", site.utc.as_dotnet_ticks()));
    assert_eq!(site.send(request).status, 200);
}

#[test]
fn adm7_adm8_entries_name_their_request() {
    let mut site = Site::new();
    site.furnish();
    let body = text(&site.get(&entity("q")));
    let url = "http://localhost:5300/q?enrich=false&amp;api-version=2024-05";
    assert!(
        body.starts_with(&format!(
            "<entry xmlns=\"http://www.w3.org/2005/Atom\"><id>{url}</id><title type=\"text\">q</title>\
             <published>2026-11-23T05:58:08Z</published><updated>2026-11-23T05:58:08Z</updated><author><name>ns</name>\
             </author><link rel=\"self\" href=\"{url}\"/><content type=\"application/xml\"><QueueDescription"
        )),
        "{body}"
    );
    let body = text(&site.get(&subscription("t", "s")));
    assert!(body.contains("<title type=\"text\">s</title>") && !body.contains("<author>"), "{body}");
    let mut site = Site::version(ApiVersion::V2017_04);
    site.furnish();
    for resource in [subscription("t", "s"), rule("t", "s", "$Default")] {
        let body = text(&site.get(&resource));
        assert!(body.contains("<id>sb://localhost:5300/t/") && body.contains("href=\"sb://"), "{body}");
    }
}

#[test]
fn adm9_adm11_adm17_adm20_a_new_queue() {
    let mut site = Site::new();
    let created = site.create_queue("q", CreateQueueOptions::new());
    assert_eq!(
        elements(&created),
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
            "CreatedAt",
            "UpdatedAt",
            "SupportOrdering",
            "AutoDeleteOnIdle",
            "EnablePartitioning",
            "EntityAvailabilityStatus",
            "EnableExpress",
            "MaxMessageSizeInKilobytes",
        ]
    );
    let body = text(&created);
    for part in [
        "<LockDuration>PT1M</LockDuration>",
        "<MaxSizeInMegabytes>1024</MaxSizeInMegabytes>",
        "<DefaultMessageTimeToLive>P10675199DT2H48M5.4775807S</DefaultMessageTimeToLive>",
        "<DuplicateDetectionHistoryTimeWindow>PT10M</DuplicateDetectionHistoryTimeWindow>",
        "<MaxDeliveryCount>10</MaxDeliveryCount><EnableBatchedOperations>true</EnableBatchedOperations>",
        "<SizeInBytes>0</SizeInBytes><MessageCount>0</MessageCount>",
        "<AuthorizationRules></AuthorizationRules><Status>Active</Status>",
        "<CreatedAt>2026-11-23T05:58:08.25Z</CreatedAt>",
        "<AutoDeleteOnIdle>P10675199DT2H48M5.4775807S</AutoDeleteOnIdle>",
        "<EntityAvailabilityStatus>Available</EntityAvailabilityStatus>",
        "<MaxMessageSizeInKilobytes>256</MaxMessageSizeInKilobytes>",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    let read = site.get(&entity("q"));
    let missing: Vec<_> = elements(&read).into_iter().filter(|name| !elements(&created).contains(name)).collect();
    assert_eq!(missing, ["AccessedAt", "CountDetails"]);
    assert!(text(&read).contains("<AccessedAt>0001-01-01T00:00:00Z</AccessedAt>"));
    // ADM12
    assert!(
        text(&read)
            .contains("<CountDetails xmlns:d2p1=\"http://schemas.microsoft.com/netservices/2011/06/servicebus\">")
    );
    let mut old = Site::version(ApiVersion::V2017_04);
    old.furnish();
    assert!(!text(&old.get(&entity("q"))).contains("MaxMessageSizeInKilobytes"));
    assert!(!text(&old.get(&subscription("t", "s"))).contains("IsClientAffine"));
    assert!(text(&site.create_topic("t", CreateTopicOptions::new())).contains("<SupportOrdering>true<"));
}

#[test]
fn adm13_adm22_a_new_subscription() {
    let mut site = Site::new();
    site.furnish();
    let created = site.create_subscription("t", "u", CreateSubscriptionOptions::new());
    assert!(text(&created).contains("<AccessedAt>0001-01-01T00:00:00</AccessedAt>"));
    assert!(!text(&created).contains("CountDetails"));
    let resource = subscription("t", "u");
    let read = site.get(&resource);
    assert!(text(&read).contains("<CreatedAt>2026-11-23T05:58:08.2500000Z</CreatedAt>"), "{}", text(&read));
    let read: SubscriptionProperties = read_one(&read, &resource, Operation::Get).unwrap();
    assert_eq!(read, SubscriptionProperties::new("t", "u", CreateSubscriptionOptions::new()));
    assert!(read.dead_lettering_on_filter_evaluation_exceptions);
}

#[test]
fn every_property_of_a_queue_comes_back() {
    let mut site = Site::new();
    site.furnish();
    let rules = vec![
        api::AuthorizationRule::new("a", [AccessRights::Manage, AccessRights::Listen, AccessRights::Send])
            .with_keys("1", "2"),
        api::AuthorizationRule::new("b", [AccessRights::Send]),
    ];
    let options = CreateQueueOptions::new()
        .lock_duration(Duration::from_secs(45))
        .max_size_in_megabytes(2_048)
        .requires_duplicate_detection(true)
        .default_message_time_to_live(Duration::from_secs(172_800))
        .dead_lettering_on_message_expiration(true)
        .duplicate_detection_history_time_window(Duration::from_secs(120))
        .max_delivery_count(101)
        .enable_batched_operations(false)
        .is_anonymous_accessible(true)
        .authorization_rules(rules)
        .status(EntityStatus::SendDisabled)
        .support_ordering(false)
        .auto_delete_on_idle(Duration::from_secs(360))
        .enable_partitioning(true)
        .enable_express(true)
        .forward_to("t")
        .user_metadata("a < b")
        .forward_dead_lettered_messages_to("SB://LocalHost/T")
        .max_message_size_in_kilobytes(256u64);
    assert_eq!(site.create_queue("all", options.clone()).status, 201);
    let read = site.queue("all");
    // ADM24
    assert_eq!(read.max_size_in_megabytes, 32_768);
    // FWD5, FWD7
    assert_eq!(read.forward_to.as_deref(), Some("sb://localhost/t"));
    assert_eq!(read.forward_dead_lettered_messages_to.as_deref(), Some("sb://localhost/T"));
    // ADM31
    let [first, second] = read.authorization_rules.as_slice() else { panic!("{read:?}") };
    assert_eq!(first.rights, [AccessRights::Manage, AccessRights::Listen, AccessRights::Send]);
    assert_eq!((first.primary_key.as_deref(), first.created_at), (Some("1"), None));
    assert!(second.primary_key.as_ref().is_some_and(|key| key.len() == 44));
    let mut expected = QueueProperties::new("all", options);
    expected.max_size_in_megabytes = 32_768;
    expected.forward_to = read.forward_to.clone();
    expected.forward_dead_lettered_messages_to = read.forward_dead_lettered_messages_to.clone();
    expected.authorization_rules = read.authorization_rules.clone();
    // F8
    expected.auto_delete_on_idle = MAX_TIME_SPAN;
    assert_eq!(read, expected);

    // Sent back as it was read it stays the same, and takes a change.
    site.pass(1);
    let mut changed = read.clone();
    changed.status = EntityStatus::Disabled;
    changed.authorization_rules.pop();
    assert_eq!(site.run(site.requests.update_queue(&changed)).status, 200);
    assert_eq!(site.queue("all"), changed);
}

#[test]
fn every_property_of_a_topic_and_a_subscription_comes_back() {
    let mut site = Site::new();
    site.furnish();
    let options = CreateTopicOptions::new()
        .default_message_time_to_live(Duration::from_secs(60))
        .max_size_in_megabytes(4_096)
        .requires_duplicate_detection(true)
        .duplicate_detection_history_time_window(Duration::from_secs(20))
        .enable_batched_operations(false)
        .filtering_messages_before_publishing(true)
        .is_anonymous_accessible(true)
        .authorization_rules(vec![api::AuthorizationRule::new("k", [AccessRights::Send]).with_keys("1", "2")])
        .status(EntityStatus::Disabled)
        .support_ordering(false)
        .auto_delete_on_idle(Duration::from_secs(300))
        .enable_subscription_partitioning(true)
        .enable_express(true)
        .user_metadata("m")
        .max_message_size_in_kilobytes(256u64);
    assert_eq!(site.create_topic("all", options.clone()).status, 201);
    let read: TopicProperties = read_one(&site.get(&entity("all")), &entity("all"), Operation::Get).unwrap();
    let mut expected = TopicProperties::new("all", options);
    expected.authorization_rules = read.authorization_rules.clone();
    assert_eq!(read, expected);
    assert_eq!(site.run(site.requests.update_topic(&read)).status, 200);

    let options = CreateSubscriptionOptions::new()
        .lock_duration(Duration::from_secs(5))
        .default_message_time_to_live(Duration::from_millis(90_500))
        .dead_lettering_on_message_expiration(true)
        .dead_lettering_on_filter_evaluation_exceptions(false)
        .max_delivery_count(5)
        .enable_batched_operations(false)
        .status(EntityStatus::ReceiveDisabled)
        .auto_delete_on_idle(Duration::from_secs(3_600))
        .forward_to("sb://localhost/q")
        .forward_dead_lettered_messages_to("sb://localhost/q")
        .user_metadata("m");
    assert_eq!(site.create_subscription("all", "s", options.clone()).status, 201);
    let resource = subscription("all", "s");
    let read: SubscriptionProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    let mut expected = SubscriptionProperties::new("all", "s", options);
    // F8
    expected.auto_delete_on_idle = MAX_TIME_SPAN;
    assert_eq!(read, expected);
    assert_eq!(site.run(site.requests.update_subscription(&read)).status, 200);
    let again: SubscriptionProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    assert_eq!(again, read);
}

const QUEUE_BODY: &str = "<entry xmlns='http://www.w3.org/2005/Atom'><content type='application/xml'><w:QueueDescription \
     xmlns:w='http://schemas.microsoft.com/netservices/2010/10/servicebus/connect'>@</w:QueueDescription></content></entry>";

#[test]
fn adm10_adm18_adm19_an_update_is_answered_with_what_was_sent() {
    let mut site = Site::new();
    site.furnish();
    let sent =
        QUEUE_BODY.replace('@', "<w:MaxDeliveryCount>7</w:MaxDeliveryCount><w:LockDuration>PT30S</w:LockDuration>");
    let updated = site.raw(Method::Put, "/q?api-version=2021-05", &sent, true);
    assert_eq!(updated.status, 200);
    assert_eq!(elements(&updated), ["MaxDeliveryCount", "LockDuration"]);
    assert!(!text(&updated).contains("<published>"));
    let read = site.queue("q");
    assert_eq!((read.max_delivery_count, read.lock_duration), (7, Duration::from_secs(30)));
    assert_eq!(read.availability_status, EntityAvailabilityStatus::Unknown);
}

#[test]
fn adm25_to_adm28_values() {
    let mut site = Site::new();
    for (at, minutes) in [5, 6, 7, 10, 11, 60].into_iter().enumerate() {
        let options = CreateQueueOptions::new().auto_delete_on_idle(Duration::from_secs(minutes * 60));
        assert_eq!(site.create_queue(&format!("idle{at}"), options).status, 201);
    }
    for (at, seconds) in [5, 45, 50, 180, 300].into_iter().enumerate() {
        let options = CreateQueueOptions::new().lock_duration(Duration::from_secs(seconds));
        assert_eq!(site.create_queue(&format!("lock{at}"), options).status, 201);
    }
    let body =
        QUEUE_BODY.replace('@', "<w:DefaultMessageTimeToLive>P10675199DT2H48M5.477S</w:DefaultMessageTimeToLive>");
    let created = site.raw(Method::Put, "/ttl?api-version=2021-05", &body, false);
    assert!(text(&created).contains("<DefaultMessageTimeToLive>P10675199DT2H48M5.477S<"), "{}", text(&created));
    for (options, expected) in [
        (CreateQueueOptions::new().max_delivery_count(0), "MaxDeliveryCount"),
        (CreateQueueOptions::new().auto_delete_on_idle(Duration::from_secs(299)), "AutoDeleteOnIdle"),
        (CreateQueueOptions::new().default_message_time_to_live(Duration::ZERO), "DefaultMessageTimeToLive"),
        (
            CreateQueueOptions::new().duplicate_detection_history_time_window(Duration::from_secs(19)),
            "DuplicateDetection",
        ),
        (CreateQueueOptions::new().user_metadata("x".repeat(1_025)), "UserMetadata"),
        (CreateQueueOptions::new().status(EntityStatus::Renaming), "Renaming"),
        // FWD11
        (CreateQueueOptions::new().requires_session(true).forward_to("ttl"), "Bad Request. To know more visit"),
        (CreateQueueOptions::new().forward_to("bad"), "destination entity does not exist"),
    ] {
        let response = site.create_queue("bad", options);
        let (status, detail) = refusal(&response);
        assert_eq!(status, 400, "{expected}");
        assert!(detail.starts_with("SubCode=40000. ") && detail.contains(expected), "{detail}");
        assert_eq!(error(&response), ServiceErrorKind::BadRequest);
    }
}

#[test]
fn adm32_adm33_adm73_adm74_what_cannot_be_changed() {
    let mut site = Site::new();
    site.furnish();
    let update = |site: &mut Site, change: fn(&mut QueueProperties)| {
        let mut queue = site.queue("q");
        change(&mut queue);
        refusal(&site.run(site.requests.update_queue(&queue)))
    };
    let fixed = |property: &str, kind: &str| {
        (
            400,
            format!(
                "SubCode=40000. The value for the {property} property of an existing {kind} cannot be changed. {MORE}"
            ),
        )
    };
    assert_eq!(update(&mut site, |queue| queue.requires_session = true), fixed("RequiresSession", "Queue"));
    assert_eq!(
        update(&mut site, |queue| queue.requires_duplicate_detection = true),
        fixed("'requiresDuplicateDetection'", "Queue")
    );
    let partitioned = update(&mut site, |queue| queue.enable_partitioning = true);
    assert_eq!(partitioned, (400, "SubCode=40000. Partitioning cannot be changed for Queue. ".into()));
    let mut topic: TopicProperties = read_one(&site.get(&entity("t")), &entity("t"), Operation::Get).unwrap();
    topic.enable_partitioning = true;
    let partitioned = refusal(&site.run(site.requests.update_topic(&topic)));
    assert_eq!(partitioned, (400, "SubCode=40000. Partitioning cannot be changed for Topic. ".into()));
    let resource = subscription("t", "s");
    let mut below: SubscriptionProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    below.requires_session = true;
    assert_eq!(refusal(&site.run(site.requests.update_subscription(&below))), fixed("RequiresSession", "Subscription"));
}

#[test]
fn adm34_an_update_makes_a_rule_anew() {
    let mut site = Site::new();
    site.furnish();
    let resource = rule("t", "s", "$Default");
    let before: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    site.pass(3);
    let mut changed = before.clone();
    changed.filter = RuleFilter::False;
    let updated = site.run(site.requests.update_rule("t", "s", &changed));
    assert_eq!(updated.status, 200);
    let after: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    assert!(after.created_at > before.created_at);
    assert_eq!(after.filter, RuleFilter::False);
}

#[test]
fn adm35_to_adm42_what_is_not_there() {
    let mut site = Site::new();
    site.furnish();
    for resource in [entity("none"), subscription("none", "s")] {
        let response = site.get(&resource);
        assert_eq!(response.status, 200);
        assert!(text(&response).contains("<title type=\"text\">Publicly Listed Services</title>"), "{resource}");
        assert!(!text(&response).contains("<entry"));
    }
    assert_eq!(
        refusal(&site.get(&subscription("t", "none"))),
        (404, format!("Entity 'ns:Topic:t|none' was not found. {MORE} "))
    );
    assert_eq!(
        refusal(&site.get(&rule("t", "s", "none"))),
        (404, format!("Entity 'ns:Topic:t|s|none' was not found. {MORE} "))
    );
    let nothing = (404, "No service is hosted at the specified address.".to_owned());
    for resource in [entity("none"), subscription("t", "none"), rule("t", "s", "none"), subscription("none", "s")] {
        assert_eq!(refusal(&site.delete(&resource)), nothing, "{resource}");
    }
    let queue = QueueProperties::new("none", CreateQueueOptions::new());
    let topic = TopicProperties::new("none", CreateTopicOptions::new());
    let gone = (404, format!("SubCode=40400. Not Found. The Operation doesn't exist. {MORE} ."));
    assert_eq!(refusal(&site.run(site.requests.update_queue(&queue))), gone);
    assert_eq!(refusal(&site.run(site.requests.update_topic(&topic))), gone);
    let below = SubscriptionProperties::new("t", "none", CreateSubscriptionOptions::new());
    assert_eq!(
        refusal(&site.run(site.requests.update_subscription(&below))),
        (404, format!("Entity 'ns:Topic:t|none' was not found. {MORE} "))
    );
    let orphan = RuleProperties::new("r", CreateRuleOptions::new());
    assert_eq!(refusal(&site.run(site.requests.update_rule("t", "s", &orphan))).0, 404);
    assert_eq!(refusal(&site.create_rule("t", "none", "r", CreateRuleOptions::new())).0, 404);
    let (status, detail) = refusal(&site.create_subscription("none", "s", CreateSubscriptionOptions::new()));
    assert_eq!(status, 404);
    assert_eq!(detail, "The incoming request is not recognized as a namespace policy put request.");
    // ADM42
    let topic = site.get(&entity("t"));
    assert!(text(&topic).contains("<TopicDescription"));
    assert!(read_one::<QueueProperties>(&topic, &entity("t"), Operation::Get).is_err());
    assert_eq!(site.raw(Method::Get, "/$Resources/eventhubs?api-version=2021-05", "", false).status, 404);
}

#[test]
fn adm43_to_adm46_what_is_there_already() {
    let mut site = Site::new();
    site.furnish();
    let conflict = format!(
        "SubCode=40900. Conflict. You're requesting an operation that isn't allowed in the resource's current state. {MORE} ."
    );
    for response in [
        site.create_queue("q", CreateQueueOptions::new()),
        site.create_queue("Q", CreateQueueOptions::new()),
        site.create_queue("t", CreateQueueOptions::new()),
        site.create_topic("t", CreateTopicOptions::new()),
    ] {
        // The apostrophes are not escaped.
        assert_eq!(refusal(&response), (409, conflict.clone()));
        let body = text(&response);
        assert!(
            body.contains(", SystemTracker:localhost:5300:")
                && body.contains(", Timestamp:2026-11-23T05:58:08</Detail>")
        );
    }
    let below = site.create_subscription("t", "s", CreateSubscriptionOptions::new());
    assert_eq!(refusal(&below), (409, format!("The messaging entity 'ns:Topic:t|s' already exists. {MORE} ")));
    assert!(text(&below).contains("SystemTracker:NoSystemTracker"));
    let rule = site.create_rule("t", "s", "$default", CreateRuleOptions::new());
    assert_eq!(refusal(&rule), (409, format!("The messaging entity 'ns:Topic:t|s|$default' already exists. {MORE} ")));
    assert_eq!(error(&rule), ServiceErrorKind::AlreadyExists);
}

#[test]
fn adm47_adm70_who_may_manage() {
    let mut site = Site::new();
    site.furnish();
    site.sign_with("root", "root-2");
    assert_eq!(site.get(&entity("q")).status, 200);
    let jwt = |expiry: i64| {
        use base64::Engine as _;
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{expiry}}}"));
        Some(format!("Bearer e30.{claims}.x"))
    };
    site.token = jwt(site.utc.as_secs() + 60);
    assert_eq!(site.get(&entity("q")).status, 200);
    let bare = site.token.as_deref().and_then(|token| token.strip_prefix("Bearer ")).map(str::to_owned);
    let with_scheme = core::mem::replace(&mut site.token, bare);
    assert_eq!(site.get(&entity("q")).status, 200);
    site.accept_jwt = false;
    assert_eq!(site.get(&entity("q")).status, 401);
    site.token = with_scheme;
    assert_eq!(site.get(&entity("q")).status, 401);
    site.accept_jwt = true;
    site.token = jwt(site.utc.as_secs());
    assert!(refusal(&site.get(&entity("q"))).1.starts_with("ExpiredToken"));
    site.token = None;
    assert!(refusal(&site.get(&entity("q"))).1.starts_with("MissingToken"));
    for (name, key) in [("root", "wrong"), ("nobody", "root-1")] {
        site.sign_with(name, key);
        assert!(refusal(&site.get(&entity("q"))).1.starts_with("InvalidSignature"));
        let response = site.get(&subscription("t", "s"));
        assert_eq!((response.status, response.body.len()), (401, 0));
        assert_eq!(error(&response), ServiceErrorKind::Unauthorized);
    }
    // The JavaScript SDK signs for the address of the request.
    let own = "http://localhost:5300/q?enrich=false&api-version=2024-05";
    site.token = Some(shared_access_token(own, "root", "root-1", site.utc));
    assert_eq!(site.get(&entity("q")).status, 200);
    assert!(refusal(&site.get(&entity("t"))).1.starts_with("InvalidAudience"));
    let list = "http://localhost:5300/$resources/queues?$skip=0&$top=1&api-version=2024-05";
    site.token = Some(shared_access_token(list, "root", "root-1", site.utc));
    assert_eq!(site.run(site.requests.list(&Resource::Queues, 0, 1)).status, 200);
    site.sign_with("root", "root-1");
    site.pass(3_600);
    assert_eq!(site.get(&entity("q")).status, 401);
}

#[test]
fn a_key_of_an_entity_manages_that_entity() {
    let mut site = Site::new();
    site.furnish();
    let rights = [AccessRights::Manage, AccessRights::Send, AccessRights::Listen];
    let rules = vec![api::AuthorizationRule::new("own", rights).with_keys("k", "l")];
    assert_eq!(site.create_queue("mine", CreateQueueOptions::new().authorization_rules(rules)).status, 201);
    site.token = Some(shared_access_token("https://localhost:5300/mine", "own", "k", site.utc));
    assert_eq!(site.get(&entity("mine")).status, 200);
    assert_eq!(site.get(&entity("q")).status, 401);
    assert_eq!(site.run(site.requests.list(&Resource::Queues, 0, 10)).status, 401);
    // The key does not count for more than its queue.
    site.sign_with("own", "k");
    assert_eq!(site.get(&entity("mine")).status, 401);
}

#[test]
fn adm48_to_adm52_keys_without_the_right_to_manage() {
    let mut site = Site::new();
    site.furnish();
    site.sign_with("listen", "listen-1");
    for resource in [entity("q"), entity("t"), Resource::Namespace] {
        let (status, detail) = refusal(&site.get(&resource));
        assert!(
            status == 401 && detail.starts_with("Manage,EntityRead claims required for this operation"),
            "{detail}"
        );
    }
    assert_eq!(refusal(&site.run(site.requests.list(&Resource::Topics, 0, 1))).0, 401);
    for name in ["q", "new"] {
        let (status, detail) = refusal(&site.create_queue(name, CreateQueueOptions::new()));
        assert!(status == 401 && detail.starts_with("Authorization failed for specified action: Manage,EntityWrite"));
        let (status, detail) = refusal(&site.delete(&entity(name)));
        assert!(status == 401 && detail.starts_with("Authorization failed for specified action: Manage,EntityDelete."));
    }
    assert_eq!(site.get(&entity("none")).status, 200);
    let list = Resource::Subscriptions { topic: "t".into() };
    let responses = [
        ("GetSubscription", site.get(&subscription("t", "s"))),
        ("GetSubscription", site.get(&subscription("t", "none"))),
        ("EnumerateSubscriptions", site.run(site.requests.list(&list, 0, 1))),
        ("CreateOrUpdateSubscription", site.create_subscription("t", "x", CreateSubscriptionOptions::new())),
        ("DeleteSubscription", site.delete(&subscription("t", "s"))),
    ];
    for (operation, response) in responses {
        let (status, detail) = refusal(&response);
        let start = format!("SubCode=40100: Unauthorized : Unauthorized access for '{operation}' operation");
        assert!(status == 401 && detail.starts_with(&start), "{detail}");
    }
}

#[test]
fn adm57_to_adm60_runtime_properties_of_what_is_new() {
    let mut site = Site::new();
    assert_eq!(site.create_queue("q", CreateQueueOptions::new()).status, 201);
    assert_eq!(site.create_topic("t", CreateTopicOptions::new()).status, 201);
    let topic: TopicRuntimeProperties = read_one(&site.get(&entity("t")), &entity("t"), Operation::Get).unwrap();
    assert_eq!((topic.accessed_at, topic.subscription_count), (Timestamp::DOTNET_MIN, 0));
    let queue: QueueRuntimeProperties = read_one(&site.get(&entity("q")), &entity("q"), Operation::Get).unwrap();
    assert_eq!((queue.accessed_at, queue.total_message_count), (Timestamp::DOTNET_MIN, 0));
    site.pass(1);
    for name in ["a", "b"] {
        assert_eq!(site.create_subscription("t", name, CreateSubscriptionOptions::new()).status, 201);
    }
    let topic: TopicRuntimeProperties = read_one(&site.get(&entity("t")), &entity("t"), Operation::Get).unwrap();
    assert!(topic.accessed_at > topic.updated_at);
    assert_eq!(topic.subscription_count, 2);
    let list = site.run(site.requests.list(&Resource::Topics, 0, 10));
    let page: Page<TopicRuntimeProperties> = read_page(&list, &Resource::Topics).unwrap();
    assert_eq!(page.entries, [topic]);
    let below = Resource::Subscriptions { topic: "t".into() };
    let list = site.run(site.requests.list(&below, 0, 10));
    let page: Page<SubscriptionRuntimeProperties> = read_page(&list, &below).unwrap();
    assert!(
        page.entries.iter().all(|subscription| subscription.accessed_at == site.utc && subscription.topic_name == "t")
    );
}

#[test]
fn rul46_filters_are_counted_since_2024_05() {
    let mut site = Site::new();
    site.furnish();
    let correlation = CreateRuleOptions::new().filter(CorrelationRuleFilter::new().subject("x"));
    assert_eq!(site.create_rule("t", "s", "c", correlation).status, 201);
    let sql = CreateRuleOptions::new().filter(SqlRuleFilter::new("a = 1"));
    assert_eq!(site.create_rule("t", "s", "d", sql).status, 201);
    let topic: TopicRuntimeProperties = read_one(&site.get(&entity("t")), &entity("t"), Operation::Get).unwrap();
    assert_eq!((topic.sql_filter_count, topic.correlation_filter_count), (Some(2), Some(1)));
    let mut old = Site::version(ApiVersion::V2021_05);
    old.furnish();
    let topic: TopicRuntimeProperties = read_one(&old.get(&entity("t")), &entity("t"), Operation::Get).unwrap();
    assert_eq!(topic.sql_filter_count, None);
}

#[test]
fn adm61_to_adm63_lists_in_pages_by_name() {
    let mut site = Site::new();
    for number in (0..205).rev() {
        assert_eq!(site.create_queue(&format!("Q{number:03}"), CreateQueueOptions::new()).status, 201);
    }
    let mut names = Vec::new();
    let mut next = site.requests.list(&Resource::Queues, 0, 100).unwrap();
    let mut sizes = Vec::new();
    loop {
        let response = site.run(Ok(next));
        let body = text(&response);
        assert!(body.contains("<title type=\"text\">Queues</title>"));
        assert!(body.contains("xml:base=\"http://localhost:5300/$Resources/queues?"));
        let page: Page<QueueProperties> = read_page(&response, &Resource::Queues).unwrap();
        sizes.push(page.entries.len());
        names.extend(page.entries.into_iter().map(|queue| queue.name));
        let Some(link) = page.next else { break };
        assert!(link.contains("?%24skip=") && link.starts_with("http://localhost:5300/$Resources/queues"), "{link}");
        next = site.requests.follow(&link);
    }
    assert_eq!(sizes, [100, 100, 5]);
    assert!(names.is_sorted() && names.len() == 205);
    let body = text(&site.run(site.requests.list(&Resource::Queues, 204, 1)));
    assert!(body.contains("<link rel=\"self\" href=\"../q204?api-version=2024-05\"/>"), "{body}");
    assert!(!body.contains("rel=\"next\""));
    for (query, name) in [("$skip=-1&$top=-1", "skip"), ("$skip=0&$top=-1", "top")] {
        let response = site.raw(Method::Get, &format!("/$Resources/queues?{query}"), "", false);
        assert_eq!(refusal(&response), (400, format!("Parameter '{name}' should be non-negative integer.")));
    }
    assert!(!text(&site.raw(Method::Get, "/$Resources/queues?$top=0", "", false)).contains("rel=\"next\""));

    site.furnish();
    let rules = Resource::Rules { topic: "t".into(), subscription: "s".into() };
    for name in ["sql", "correlation", "b"] {
        assert_eq!(site.create_rule("t", "s", name, CreateRuleOptions::new()).status, 201);
    }
    let first = site.run(site.requests.list(&rules, 0, 3));
    assert!(text(&first).contains("<title type=\"text\">Rules</title>") && text(&first).contains("href=\"rules/b?"));
    assert!(text(&first).contains("<id>http://localhost:5300/t/Subscriptions/s/Rules/b?"));
    let page: Page<RuleProperties> = read_page(&first, &rules).unwrap();
    assert_eq!(
        page.entries.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(),
        ["$Default", "b", "correlation"]
    );
    let rest: Page<RuleProperties> =
        read_page(&site.run(Ok(site.requests.follow(&page.next.unwrap()))), &rules).unwrap();
    assert_eq!((rest.entries.len(), rest.next), (1, None));
}

#[test]
fn adm64_the_namespace() {
    let mut site = Site::new();
    let response = site.get(&Resource::Namespace);
    let namespace: NamespaceProperties = read_one(&response, &Resource::Namespace, Operation::Get).unwrap();
    assert_eq!((namespace.name.as_str(), namespace.messaging_sku), ("ns", MessagingSku::Standard));
    assert_eq!((namespace.namespace_type, namespace.messaging_units), (NamespaceType::Messaging, None));
    assert!(!text(&response).contains("<published>"));
}

#[test]
fn adm65_to_adm68_rul33_rul43_rul44_rules() {
    let mut site = Site::new();
    site.furnish();
    let resource = rule("t", "s", "$Default");
    let body = text(&site.get(&resource));
    assert!(
        body.contains(
            "<Filter i:type=\"TrueFilter\"><SqlExpression>1=1</SqlExpression><CompatibilityLevel>20</CompatibilityLevel>\
             </Filter><Action i:type=\"EmptyRuleAction\"/><CreatedAt>2026-11-23T05:58:08.2500000Z</CreatedAt>\
             <Name>$Default</Name>"
        ),
        "{body}"
    );
    let sql = SqlRuleFilter::new("stringValue = @s AND i = @i AND l = @l AND d = @d AND t = @t AND x = @x AND b = @b ")
        .parameter("@s", "text")
        .parameter("@i", 1)
        .parameter("@l", 2i64)
        .parameter("@d", site.utc)
        .parameter("@t", Duration::from_secs(90))
        .parameter("@x", 0.5)
        .parameter("@b", true);
    let options = CreateRuleOptions::new().filter(sql).action(SqlRuleAction::new("SET a = @v").parameter("@v", 3));
    let created = site.create_rule("t", "s", "all", options.clone());
    assert_eq!(created.status, 201, "{}", text(&created));
    let resource = rule("t", "s", "all");
    let read: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    let mut expected = RuleProperties::new("all", options);
    expected.created_at = Some(site.utc);
    assert_eq!(read, expected);
    let correlation = CorrelationRuleFilter::new()
        .correlation_id("1")
        .message_id("2")
        .to("3")
        .reply_to("4")
        .subject("5")
        .session_id("6")
        .reply_to_session_id("7")
        .content_type("8")
        .property("p", 9);
    let mut changed = RuleProperties::new("all", CreateRuleOptions::new().filter(correlation));
    assert_eq!(site.run(site.requests.update_rule("t", "s", &changed)).status, 200);
    changed.created_at = Some(site.utc);
    assert_eq!(read_one::<RuleProperties>(&site.get(&resource), &resource, Operation::Get).unwrap(), changed);
    let bad = site.create_rule("t", "s", "bad", CreateRuleOptions::new().filter(SqlRuleFilter::new("a = ")));
    assert_eq!(error(&bad), ServiceErrorKind::BadRequest);
    assert_eq!(site.get(&rule("t", "s", "bad")).status, 404);

    let first = RuleProperties::new("first", CreateRuleOptions::new().filter(RuleFilter::False));
    let options = CreateSubscriptionOptions::new().default_rule(first);
    let created = site.create_subscription("t", "u", options);
    assert!(!text(&created).contains("DefaultRule"));
    assert_eq!(site.get(&rule("t", "u", "first")).status, 200);
    assert_eq!(site.get(&rule("t", "u", "$Default")).status, 404);
    let unnamed = RuleProperties::new("", CreateRuleOptions::new().filter(RuleFilter::False));
    site.create_subscription("t", "v", CreateSubscriptionOptions::new().default_rule(unnamed));
    let resource = rule("t", "v", "$Default");
    let read: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    assert_eq!(read.filter, RuleFilter::False);
}

/// The part of an answer between the tags of an element; `None` when it has no such element.
fn element(response: &Response, name: &str) -> Option<String> {
    let body = text(response);
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    Some(rest.split_once('<')?.0.to_owned())
}

#[test]
fn rul34_rul35_rul36_expressions_come_back_as_they_were_sent() {
    let mut site = Site::new();
    site.furnish();
    let parameters = SqlRuleFilter::new(
        "PROPERTY(@propertyName) = @stringPropertyValue AND PROPERTY(intProperty) = @intPropertyValue AND \
         PROPERTY(longProperty) = @longPropertyValue AND PROPERTY(boolProperty) = @boolPropertyValue AND \
         PROPERTY(doubleProperty) = @doublePropertyValue ",
    )
    .parameter("@propertyName", "MyProperty")
    .parameter("@stringPropertyValue", "string")
    .parameter("@intPropertyValue", 3)
    .parameter("@longPropertyValue", 3i64)
    .parameter("@boolPropertyValue", true)
    .parameter("@doublePropertyValue", 3.0);
    let compared = SqlRuleFilter::new("MessageID=@stringVar OR MessageID=@intVar OR MessageID=@dateTimeVar")
        .parameter("@stringVar", "hello world")
        .parameter("@intVar", 100)
        .parameter("@dateTimeVar", site.utc);
    let filters = [
        parameters,
        SqlRuleFilter::new("sys.To=[parameters('bar')] OR sys.MessageId IS NULL"),
        compared,
        SqlRuleFilter::new("MessageID=rule1"),
        SqlRuleFilter::new("MessageID='hello'"),
    ];
    for (filter, name) in filters.into_iter().zip(["a", "b", "c", "d", "e"]) {
        let options = CreateRuleOptions::new().filter(filter);
        let created = site.create_rule("t", "s", name, options.clone());
        assert_eq!(created.status, 201, "{}", text(&created));
        let resource = rule("t", "s", name);
        let read: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
        assert_eq!(read.filter, RuleProperties::new(name, options).filter);
    }
}

#[test]
fn rul41_rul42_rul45_what_a_rule_leaves_out_and_a_default_that_is_changed() {
    let mut site = Site::new();
    site.furnish();
    let body = "<entry xmlns='http://www.w3.org/2005/Atom'><content type='application/xml'><RuleDescription \
         xmlns='http://schemas.microsoft.com/netservices/2010/10/servicebus/connect'><Name>bare</Name></RuleDescription>\
         </content></entry>";
    let created = site.raw(Method::Put, "/t/Subscriptions/s/Rules/bare?api-version=2021-05", body, false);
    assert_eq!(created.status, 201, "{}", text(&created));
    let read = text(&site.get(&rule("t", "s", "bare")));
    assert!(read.contains("<Filter i:type=\"TrueFilter\">"), "{read}");
    assert!(read.contains("<Action i:type=\"EmptyRuleAction\"/>"), "{read}");
    let changed = RuleProperties::new("$Default", CreateRuleOptions::new().filter(RuleFilter::False));
    assert_eq!(site.run(site.requests.update_rule("t", "s", &changed)).status, 200);
    let resource = rule("t", "s", "$Default");
    let read: RuleProperties = read_one(&site.get(&resource), &resource, Operation::Get).unwrap();
    assert_eq!(read.filter, RuleFilter::False);
}

#[test]
fn dup1_to_dup4_the_window_of_duplicate_detection() {
    let mut site = Site::new();
    site.furnish();
    let read = site.queue("q");
    assert!(!read.requires_duplicate_detection);
    assert_eq!(read.duplicate_detection_history_time_window, Duration::from_secs(600));
    for (name, minutes) in [("a", 1), ("b", 2), ("c", 4), ("d", 240)] {
        let window = Duration::from_secs(minutes * 60);
        let options = CreateQueueOptions::new()
            .requires_duplicate_detection(true)
            .duplicate_detection_history_time_window(window);
        assert_eq!(site.create_queue(name, options).status, 201);
        assert_eq!(site.queue(name).duplicate_detection_history_time_window, window);
    }
    let mut changed = site.queue("a");
    changed.duplicate_detection_history_time_window = Duration::from_secs(120);
    assert_eq!(site.run(site.requests.update_queue(&changed)).status, 200);
    assert_eq!(site.queue("a").duplicate_detection_history_time_window, Duration::from_secs(120));
    // While detection is off it is kept all the same.
    let options = CreateQueueOptions::new().duplicate_detection_history_time_window(Duration::from_secs(60));
    assert_eq!(site.create_queue("off", options).status, 201);
    let read = site.queue("off");
    assert!(!read.requires_duplicate_detection);
    assert_eq!(read.duplicate_detection_history_time_window, Duration::from_secs(60));
    let options = CreateTopicOptions::new()
        .requires_duplicate_detection(true)
        .duplicate_detection_history_time_window(Duration::from_secs(60));
    assert_eq!(site.create_topic("u", options).status, 201);
    let mut topic: TopicProperties = read_one(&site.get(&entity("u")), &entity("u"), Operation::Get).unwrap();
    topic.duplicate_detection_history_time_window = Duration::from_secs(120);
    assert_eq!(site.run(site.requests.update_topic(&topic)).status, 200);
    assert_eq!(element(&site.get(&entity("u")), "DuplicateDetectionHistoryTimeWindow").as_deref(), Some("PT2M"));
}

#[test]
fn fwd6_fwd8_addresses_to_forward_to_as_they_are_shown() {
    let mut site = Site::new();
    site.furnish();
    let plain = site.get(&entity("q"));
    assert_eq!((element(&plain, "ForwardTo"), element(&plain, "ForwardDeadLetteredMessagesTo")), (None, None));
    let options = CreateQueueOptions::new().forward_to("https://localhost/q");
    let created = site.create_queue("forwarding", options);
    assert_eq!(created.status, 201, "{}", text(&created));
    assert_eq!(element(&site.get(&entity("forwarding")), "ForwardTo").as_deref(), Some("https://localhost/q"));
}

#[test]
fn dlq12_dlq13_counts_and_the_path_of_a_dead_letter_queue() {
    let mut site = Site::new();
    site.furnish();
    let counts = text(&site.get(&entity("q")));
    for name in ["TransferDeadLetterMessageCount", "TransferMessageCount"] {
        assert!(counts.contains(&format!("{name}>0</")), "{name} in {counts}");
    }
    let refused = site.raw(Method::Get, "/q/$DeadLetterQueue?api-version=2021-05", "", false);
    assert_eq!(refusal(&refused), (400, format!("The specified HTTP verb (GET) is not valid. {MORE} .")));
    assert!(text(&refused).contains("SystemTracker:ns:Queue:q, Timestamp:"), "{}", text(&refused));
}

#[test]
fn adm71_adm72_adm75_adm76_more_refusals() {
    let mut site = Site::new();
    site.furnish();
    let long = Duration::from_secs(25 * 86_400);
    let lock = "The supplied lock time exceeds the allowed maximum of '5' minutes.";
    let response = site.create_queue("x", CreateQueueOptions::new().lock_duration(long));
    assert_eq!(
        refusal(&response),
        (
            400,
            format!(
                "SubCode=40000. {lock} {MORE}&#xD;\nParameter name: LockDuration&#xD;\nActual value was 25.00:00:00."
            )
        )
    );
    let below = site.create_subscription("t", "x", CreateSubscriptionOptions::new().lock_duration(long));
    assert!(refusal(&below).1.starts_with(lock));
    assert!(text(&below).contains("SystemTracker:ns:Topic:t,"), "{}", text(&below));
    let (_, detail) = refusal(&site.create_queue("x", CreateQueueOptions::new().max_size_in_megabytes(16_384)));
    assert!(
        detail.starts_with(
            "SubCode=40000. The specified value 16384 is invalid. The property 'MaxSizeInMegabytes', must be one of the \
             following values: 1024;2048;3072;4096;5120."
        ),
        "{detail}"
    );
    let body = QUEUE_BODY.replace('@', "");
    for path in ["/q%40?api-version=2021-05", "/q%20q?api-version=2021-05", "/%24q?api-version=2021-05"] {
        let (status, detail) = refusal(&site.raw(Method::Put, path, &body, false));
        assert!(
            status == 400 && detail.contains("contains character(s) that is not allowed by Service Bus."),
            "{detail}"
        );
    }
    let (status, detail) = refusal(&site.create_queue("x", CreateQueueOptions::new().forward_to("none")));
    assert!(status == 400 && detail.contains("autoforwarding destination entity does not exist"), "{detail}");
    for body in ["", "<entry/>", "no XML"] {
        assert_eq!(site.raw(Method::Put, "/x?api-version=2021-05", body, false).status, 400);
    }
    let (status, detail) = refusal(&site.raw(
        Method::Put,
        "/x?api-version=2021-05",
        &QUEUE_BODY.replace('@', "<w:LockDuration>soon</w:LockDuration>"),
        false,
    ));
    assert!(status == 400 && detail.starts_with("SubCode=40000. ") && detail.contains("LockDuration"), "{detail}");
    let wrong = QUEUE_BODY.replace('@', "");
    assert_eq!(site.raw(Method::Put, "/t/subscriptions/x?api-version=2021-05", &wrong, false).status, 400);
    let keys = |rule: api::AuthorizationRule| CreateQueueOptions::new().authorization_rules(vec![rule.clone(), rule]);
    assert_eq!(site.create_queue("x", keys(api::AuthorizationRule::new("a", [AccessRights::Send]))).status, 400);
    let lonely = vec![api::AuthorizationRule::new("a", [AccessRights::Manage])];
    assert_eq!(site.create_queue("x", CreateQueueOptions::new().authorization_rules(lonely)).status, 400);
}

#[test]
fn the_emulators_own_requests() {
    let mut site = Site::new();
    site.furnish();
    site.token = None;
    let health = site.raw(Method::Get, "/health", "", false);
    assert_eq!(
        (health.status, text(&health).as_str()),
        (200, "{\"status\":\"healthy\",\"message\":\"Service is healthy.\"}")
    );
    assert_eq!(site.raw(Method::Delete, "/$emulator/entities", "", false).status, 401);
    assert!(site.entities.queue("q").is_some());
    site.sign_with("listen", "listen-1");
    assert_eq!(site.raw(Method::Delete, "/$emulator/messages", "", false).status, 401);
    site.sign_with("root", "root-1");
    assert_eq!(site.raw(Method::Delete, "/$emulator/messages", "", false).status, 200);
    assert!(site.entities.queue("q").is_some());
    assert_eq!(site.raw(Method::Delete, "/$emulator/everything", "", false).status, 404);
    let counted = site.raw(Method::Get, "/$emulator/statistics", "", false);
    assert_eq!(counted.status, 200);
    assert!(text(&counted).starts_with("{\"connections-accepted\":0,\"connections-open\":0,"), "{}", text(&counted));
    assert_eq!(site.raw(Method::Get, "/$emulator/messages", "", false).status, 404);
    assert_eq!(site.raw(Method::Delete, "/$emulator/statistics", "", false).status, 404);
    assert_eq!(site.raw(Method::Delete, "/$emulator/links/nowhere", "", false).status, 404);
    assert_eq!(site.management.take_order(), None);
    assert_eq!(site.raw(Method::Delete, "/$emulator/connections", "", false).status, 200);
    assert_eq!(site.management.take_order(), Some(Order::CloseConnections));
    assert_eq!(site.raw(Method::Delete, "/$emulator/links/q/$deadletterqueue", "", false).status, 200);
    assert_eq!(site.management.take_order(), Some(Order::Detach("q/$deadletterqueue".into())));
    assert_eq!(site.management.take_order(), None);
    assert_eq!(site.raw(Method::Delete, "/$emulator/entities", "", false).status, 200);
    assert_eq!((site.entities.queues().count(), site.entities.topics().count()), (0, 0));
}

#[test]
fn a_throttled_namespace_asks_for_patience() {
    let mut site = Site::new();
    site.throttled = true;
    let response = site.create_queue("q", CreateQueueOptions::new());
    assert_eq!((response.status, error(&response)), (503, ServiceErrorKind::Throttled));
    assert_eq!(site.raw(Method::Get, "/health", "", false).status, 200);
}

#[test]
fn what_was_kept_for_an_entity_goes_with_it() {
    let mut site = Site::new();
    for round in 0..300 {
        site.pass(1);
        assert_eq!(
            site.create_queue(&format!("q{round}"), CreateQueueOptions::new().is_anonymous_accessible(true)).status,
            201
        );
        site.entities.clear();
    }
    site.pass(1);
    assert_eq!(site.create_queue("q299", CreateQueueOptions::new()).status, 201);
    assert!(!site.queue("q299").is_anonymous_accessible);
    assert!(site.management.kept.len() < 70);
}

#[test]
fn broken_requests_are_answered() {
    let mut site = Site::new();
    site.furnish();
    let body = QUEUE_BODY.replace('@', "<w:MaxDeliveryCount>7</w:MaxDeliveryCount>");
    for end in 0..body.len() {
        let response = site.raw(Method::Put, "/q?api-version=2021-05", body.get(..end).unwrap_or_default(), true);
        assert_eq!(response.status, 400);
    }
    for path in [
        "",
        "/",
        "?",
        "//",
        "/%",
        "/%ff",
        "/q?%",
        "/q?$skip=&$top=",
        "/$Resources/queues?$skip=99999999999999999999",
        "/a//b",
    ] {
        for method in [Method::Get, Method::Put, Method::Delete] {
            let response = site.raw(method, path, "", false);
            assert!((200..500).contains(&response.status), "{path}");
        }
    }
}

#[test]
fn a_premium_namespace_has_other_sizes_and_says_so() {
    let mut site = Site::new();
    site.entities.set_tier(Tier::Premium, None);
    let response = site.get(&Resource::Namespace);
    let namespace: NamespaceProperties = read_one(&response, &Resource::Namespace, Operation::Get).unwrap();
    assert_eq!((namespace.messaging_sku, namespace.messaging_units), (MessagingSku::Premium, Some(1)));
    for (kilobytes, megabytes, partitioned, express, expected) in [
        (None, 1_024, false, false, None),
        (Some(1_024), 81_920, false, false, None),
        (Some(102_400), 10_240, false, false, None),
        // ADM29
        (Some(256), 1_024, false, false, Some("must be between 1024 and 102400")),
        (Some(1_023), 1_024, false, false, Some("must be between 1024 and 102400")),
        (Some(102_401), 1_024, false, false, Some("must be between 1024 and 102400")),
        (None, 6_144, false, false, Some("1024;2048;3072;4096;5120;10240;20480;40960;81920.")),
        (None, 1_024, true, false, Some("EnablePartitioning")),
        (None, 1_024, false, true, Some("EnableExpress")),
    ] {
        let mut options = CreateQueueOptions::new().max_size_in_megabytes(megabytes);
        options.max_message_size_in_kilobytes = kilobytes;
        options.enable_partitioning = partitioned.then_some(true);
        options.enable_express = express.then_some(true);
        let response = site.create_queue("q", options);
        match expected {
            None => {
                assert_eq!(response.status, 201);
                let read = site.queue("q");
                assert_eq!(read.max_message_size_in_kilobytes, Some(kilobytes.unwrap_or(1_024)));
                assert_eq!(read.max_size_in_megabytes, megabytes);
                assert_eq!(site.run(site.requests.update_queue(&read)).status, 200);
                assert_eq!(site.delete(&entity("q")).status, 200);
            }
            Some(expected) => {
                let (status, detail) = refusal(&response);
                assert!(status == 400 && detail.contains(expected), "{detail}");
            }
        }
    }
}
