//! Lists, counts and run-time properties.

use super::*;

#[test]
fn adm57_to_adm60_runtime_properties_of_what_is_new() {
    let mut site = Site::new();
    assert_eq!(site.create_queue("q", CreateQueueOptions::new()).status, 201);
    assert_eq!(site.create_topic("t", CreateTopicOptions::new()).status, 201);
    let topic: TopicRuntimeProperties = read_one(&site.get(&entity("t")), &entity("t"), Operation::Get).unwrap();
    assert_eq!((topic.accessed_at, topic.subscription_count), (None, 0));
    let queue: QueueRuntimeProperties = read_one(&site.get(&entity("q")), &entity("q"), Operation::Get).unwrap();
    assert_eq!((queue.accessed_at, queue.total_message_count), (None, 0));
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
        page.entries
            .iter()
            .all(|subscription| subscription.accessed_at == Some(site.utc) && subscription.topic_name == "t")
    );
}

#[test]
fn rul46_filters_are_counted_since_2024_05() {
    let mut site = Site::new();
    site.furnish();
    let correlation = CreateRuleOptions::new().with_filter(CorrelationRuleFilter::new().with_subject("x"));
    assert_eq!(site.create_rule("t", "s", "c", correlation).status, 201);
    let sql = CreateRuleOptions::new().with_filter(SqlRuleFilter::new("a = 1"));
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
