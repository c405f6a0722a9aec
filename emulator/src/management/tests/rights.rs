//! Who may use the endpoint.

use super::*;

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
    assert_eq!(site.create_queue("mine", CreateQueueOptions::new().with_authorization_rules(rules)).status, 201);
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
