//! Queues, topics and subscriptions as they are made, read, changed and shown.

use super::*;

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

/// The clock can stand still, or go back: no two settings have one ETag.
#[test]
fn every_change_of_a_queue_or_topic_makes_another_etag() {
    let mut site = Site::new();
    site.furnish();
    for name in ["q", "t"] {
        let mut seen = Vec::new();
        for back in [0, 0, 3_600] {
            site.utc = site.utc - Duration::from_secs(back);
            seen.push(header(&site.get(&entity(name)), "ETag").unwrap().to_owned());
            let request = if name == "q" {
                let queue = site.queue("q");
                site.requests.update_queue(&queue)
            } else {
                let read = site.get(&entity("t"));
                let topic: TopicProperties = read_one(&read, &entity("t"), Operation::Get).unwrap();
                site.requests.update_topic(&topic)
            };
            assert_eq!(site.run(request).status, 200);
        }
        seen.push(header(&site.get(&entity(name)), "ETag").unwrap().to_owned());
        assert!(seen.is_sorted_by(|before, after| before < after), "{name}: {seen:?}");
        let queue = site.queue("q");
        let mut late = site.requests.update_queue(&queue).unwrap().request().clone();
        late.headers = Headers::new();
        late.headers.push("If-Match", seen[0].clone());
        assert_eq!(site.send(late).status, 412);
    }
}

/// Whatever is made under the name of a queue or topic that was deleted has a later ETag than that had.
#[test]
fn what_is_made_again_has_a_later_etag() {
    let mut site = Site::new();
    let mut seen = Vec::new();
    for (name, cleared) in [("q", false), ("t", false), ("q", true), ("t", true), ("q", false)] {
        for back in [0, 0, 3_600, 0] {
            site.utc = site.utc - Duration::from_secs(back);
            site.furnish();
            seen.push(header(&site.get(&entity(name)), "ETag").unwrap().to_owned());
            let queue = site.queue("q");
            assert_eq!(site.run(site.requests.update_queue(&queue)).status, 200);
            seen.push(header(&site.get(&entity("q")), "ETag").unwrap().to_owned());
            if cleared {
                site.entities.clear();
            } else {
                for name in ["q", "t"] {
                    assert_eq!(site.delete(&entity(name)).status, 200);
                }
            }
        }
    }
    assert!(seen.is_sorted_by(|before, after| before < after), "{seen:?}");
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
        .with_lock_duration(Duration::from_secs(45))
        .with_max_size_in_megabytes(2_048)
        .with_requires_duplicate_detection(true)
        .with_default_message_time_to_live(Duration::from_secs(172_800))
        .with_dead_lettering_on_message_expiration(true)
        .with_duplicate_detection_history_time_window(Duration::from_secs(120))
        .with_max_delivery_count(101)
        .with_enable_batched_operations(false)
        .with_is_anonymous_accessible(true)
        .with_authorization_rules(rules)
        .with_status(EntityStatus::SendDisabled)
        .with_support_ordering(false)
        .with_auto_delete_on_idle(Duration::from_secs(360))
        .with_enable_partitioning(true)
        .with_enable_express(true)
        .with_forward_to("t")
        .with_user_metadata("a < b")
        .with_forward_dead_lettered_messages_to("SB://LocalHost/T")
        .with_max_message_size_in_kilobytes(256u64);
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
        .with_default_message_time_to_live(Duration::from_secs(60))
        .with_max_size_in_megabytes(4_096)
        .with_requires_duplicate_detection(true)
        .with_duplicate_detection_history_time_window(Duration::from_secs(20))
        .with_enable_batched_operations(false)
        .with_filtering_messages_before_publishing(true)
        .with_is_anonymous_accessible(true)
        .with_authorization_rules(vec![api::AuthorizationRule::new("k", [AccessRights::Send]).with_keys("1", "2")])
        .with_status(EntityStatus::Disabled)
        .with_support_ordering(false)
        .with_auto_delete_on_idle(Duration::from_secs(300))
        .with_enable_subscription_partitioning(true)
        .with_enable_express(true)
        .with_user_metadata("m")
        .with_max_message_size_in_kilobytes(256u64);
    assert_eq!(site.create_topic("all", options.clone()).status, 201);
    let read: TopicProperties = read_one(&site.get(&entity("all")), &entity("all"), Operation::Get).unwrap();
    let mut expected = TopicProperties::new("all", options);
    expected.authorization_rules = read.authorization_rules.clone();
    assert_eq!(read, expected);
    assert_eq!(site.run(site.requests.update_topic(&read)).status, 200);

    let options = CreateSubscriptionOptions::new()
        .with_lock_duration(Duration::from_secs(5))
        .with_default_message_time_to_live(Duration::from_millis(90_500))
        .with_dead_lettering_on_message_expiration(true)
        .with_dead_lettering_on_filter_evaluation_exceptions(false)
        .with_max_delivery_count(5)
        .with_enable_batched_operations(false)
        .with_status(EntityStatus::ReceiveDisabled)
        .with_auto_delete_on_idle(Duration::from_secs(3_600))
        .with_forward_to("sb://localhost/q")
        .with_forward_dead_lettered_messages_to("sb://localhost/q")
        .with_user_metadata("m");
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
fn dup1_to_dup4_the_window_of_duplicate_detection() {
    let mut site = Site::new();
    site.furnish();
    let read = site.queue("q");
    assert!(!read.requires_duplicate_detection);
    assert_eq!(read.duplicate_detection_history_time_window, Duration::from_secs(600));
    for (name, minutes) in [("a", 1), ("b", 2), ("c", 4), ("d", 240)] {
        let window = Duration::from_secs(minutes * 60);
        let options = CreateQueueOptions::new()
            .with_requires_duplicate_detection(true)
            .with_duplicate_detection_history_time_window(window);
        assert_eq!(site.create_queue(name, options).status, 201);
        assert_eq!(site.queue(name).duplicate_detection_history_time_window, window);
    }
    let mut changed = site.queue("a");
    changed.duplicate_detection_history_time_window = Duration::from_secs(120);
    assert_eq!(site.run(site.requests.update_queue(&changed)).status, 200);
    assert_eq!(site.queue("a").duplicate_detection_history_time_window, Duration::from_secs(120));
    // While detection is off it is kept all the same.
    let options = CreateQueueOptions::new().with_duplicate_detection_history_time_window(Duration::from_secs(60));
    assert_eq!(site.create_queue("off", options).status, 201);
    let read = site.queue("off");
    assert!(!read.requires_duplicate_detection);
    assert_eq!(read.duplicate_detection_history_time_window, Duration::from_secs(60));
    let options = CreateTopicOptions::new()
        .with_requires_duplicate_detection(true)
        .with_duplicate_detection_history_time_window(Duration::from_secs(60));
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
    let options = CreateQueueOptions::new().with_forward_to("https://localhost/q");
    let created = site.create_queue("forwarding", options);
    assert_eq!(created.status, 201, "{}", text(&created));
    assert_eq!(element(&site.get(&entity("forwarding")), "ForwardTo").as_deref(), Some("https://localhost/q"));
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
        let mut options = CreateQueueOptions::new().with_max_size_in_megabytes(megabytes);
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
