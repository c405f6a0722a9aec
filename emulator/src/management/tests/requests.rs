//! The emulator's own requests, and what the endpoint keeps.

use super::*;

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
fn what_was_kept_for_an_entity_goes_with_it() {
    let mut site = Site::new();
    for round in 0..300 {
        site.pass(1);
        assert_eq!(
            site.create_queue(&format!("q{round}"), CreateQueueOptions::new().with_is_anonymous_accessible(true))
                .status,
            201
        );
        site.entities.clear();
    }
    site.pass(1);
    assert_eq!(site.create_queue("q299", CreateQueueOptions::new()).status, 201);
    assert!(!site.queue("q299").is_anonymous_accessible);
    assert!(site.management.kept.len() < 70);
}

/// Also where another is made in the same moment, and not by this endpoint.
#[test]
fn what_was_kept_for_an_entity_is_not_told_of_the_next() {
    use crate::broker::entities::{QueueDescription, TopicDescription};
    let mut site = Site::new();
    let options = CreateQueueOptions::new().with_is_anonymous_accessible(true);
    assert_eq!(site.create_queue("q", options).status, 201);
    let options = CreateTopicOptions::new().with_is_anonymous_accessible(true);
    assert_eq!(site.create_topic("t", options).status, 201);
    let is_open = |site: &mut Site, name: &str| text(&site.get(&entity(name))).contains("<IsAnonymousAccessible>true<");
    assert!(is_open(&mut site, "q") && is_open(&mut site, "t"));
    site.entities.clear();
    site.entities.create_queue("q", QueueDescription::default(), site.utc).unwrap();
    site.entities.create_topic("t", TopicDescription::default(), site.utc).unwrap();
    assert!(!is_open(&mut site, "q") && !is_open(&mut site, "t"));
}
