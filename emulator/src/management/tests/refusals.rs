//! What is refused, and in which words.

use super::*;

#[test]
fn adm25_to_adm28_values() {
    let mut site = Site::new();
    for (at, minutes) in [5, 6, 7, 10, 11, 60].into_iter().enumerate() {
        let options = CreateQueueOptions::new().with_auto_delete_on_idle(Duration::from_secs(minutes * 60));
        assert_eq!(site.create_queue(&format!("idle{at}"), options).status, 201);
    }
    for (at, seconds) in [5, 45, 50, 180, 300].into_iter().enumerate() {
        let options = CreateQueueOptions::new().with_lock_duration(Duration::from_secs(seconds));
        assert_eq!(site.create_queue(&format!("lock{at}"), options).status, 201);
    }
    let body =
        QUEUE_BODY.replace('@', "<w:DefaultMessageTimeToLive>P10675199DT2H48M5.477S</w:DefaultMessageTimeToLive>");
    let created = site.raw(Method::Put, "/ttl?api-version=2021-05", &body, false);
    assert!(text(&created).contains("<DefaultMessageTimeToLive>P10675199DT2H48M5.477S<"), "{}", text(&created));
    for (options, expected) in [
        (CreateQueueOptions::new().with_max_delivery_count(0), "MaxDeliveryCount"),
        (CreateQueueOptions::new().with_auto_delete_on_idle(Duration::from_secs(299)), "AutoDeleteOnIdle"),
        (CreateQueueOptions::new().with_default_message_time_to_live(Duration::ZERO), "DefaultMessageTimeToLive"),
        (
            CreateQueueOptions::new().with_duplicate_detection_history_time_window(Duration::from_secs(19)),
            "DuplicateDetection",
        ),
        (CreateQueueOptions::new().with_user_metadata("x".repeat(1_025)), "UserMetadata"),
        (CreateQueueOptions::new().with_status(EntityStatus::Renaming), "Renaming"),
        // FWD11
        (
            CreateQueueOptions::new().with_requires_session(true).with_forward_to("ttl"),
            "Bad Request. To know more visit",
        ),
        (CreateQueueOptions::new().with_forward_to("bad"), "destination entity does not exist"),
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
fn adm71_adm72_adm75_adm76_more_refusals() {
    let mut site = Site::new();
    site.furnish();
    let long = Duration::from_secs(25 * 86_400);
    let lock = "The supplied lock time exceeds the allowed maximum of '5' minutes.";
    let response = site.create_queue("x", CreateQueueOptions::new().with_lock_duration(long));
    assert_eq!(
        refusal(&response),
        (
            400,
            format!(
                "SubCode=40000. {lock} {MORE}&#xD;\nParameter name: LockDuration&#xD;\nActual value was 25.00:00:00."
            )
        )
    );
    let below = site.create_subscription("t", "x", CreateSubscriptionOptions::new().with_lock_duration(long));
    assert!(refusal(&below).1.starts_with(lock));
    assert!(text(&below).contains("SystemTracker:ns:Topic:t,"), "{}", text(&below));
    let (_, detail) = refusal(&site.create_queue("x", CreateQueueOptions::new().with_max_size_in_megabytes(16_384)));
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
    let (status, detail) = refusal(&site.create_queue("x", CreateQueueOptions::new().with_forward_to("none")));
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
    let keys =
        |rule: api::AuthorizationRule| CreateQueueOptions::new().with_authorization_rules(vec![rule.clone(), rule]);
    assert_eq!(site.create_queue("x", keys(api::AuthorizationRule::new("a", [AccessRights::Send]))).status, 400);
    let lonely = vec![api::AuthorizationRule::new("a", [AccessRights::Manage])];
    assert_eq!(site.create_queue("x", CreateQueueOptions::new().with_authorization_rules(lonely)).status, 400);
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
