//! Requests of the management API over HTTP, and of rules over both protocols: what the broker answers, and what the
//! model does.

use super::bench;
use super::run::Run;
use crate::administrator::{Administrator, elements};
use crate::model::Time;
use crate::model::entities::{Settings, Status};
use crate::model::rules::{Filter, Rule};
use crate::model::steps::{Change, Verb};
use servicebus_core::servicebus::administration::{Headers, Method, Request, Response};
use servicebus_core::wire::Value;

/// The version of the API.
const VERSION: &str = "?api-version=2021-05";

fn check(what: &str, expected: u16, observed: &Response) -> Result<(), String> {
    if observed.status == expected {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&observed.body);
    Err(format!("{what}: expected {expected}, observed {}: {text}", observed.status))
}

fn is_subscription(entity: &str) -> bool {
    entity.contains('/')
}

fn iso(time: Time) -> String {
    format!("PT{}.{:03}S", time / 1_000, time % 1_000)
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Active => "Active",
        Status::Disabled => "Disabled",
        Status::SendDisabled => "SendDisabled",
        Status::ReceiveDisabled => "ReceiveDisabled",
    }
}

/// A queue's or subscription's settings as the elements of its description, in their order.
fn described(entity: &str, settings: &Settings) -> String {
    let subscription = is_subscription(entity);
    let mut text = format!("<LockDuration>{}</LockDuration>", iso(settings.lock));
    if !subscription {
        text += &format!("<RequiresDuplicateDetection>{}</RequiresDuplicateDetection>", settings.duplicates.is_some());
    }
    text += &format!("<RequiresSession>{}</RequiresSession>", settings.sessions);
    if let Some(ttl) = settings.ttl {
        text += &format!("<DefaultMessageTimeToLive>{}</DefaultMessageTimeToLive>", iso(ttl));
    }
    let dead = settings.dead_on_expiry;
    text += &format!("<DeadLetteringOnMessageExpiration>{dead}</DeadLetteringOnMessageExpiration>");
    if let Some(window) = settings.duplicates {
        text += &format!("<DuplicateDetectionHistoryTimeWindow>{}</DuplicateDetectionHistoryTimeWindow>", iso(window));
    }
    text += &format!("<MaxDeliveryCount>{}</MaxDeliveryCount>", settings.max_delivery);
    text += &format!("<Status>{}</Status>", status(settings.status));
    if let Some(target) = &settings.forward {
        text += &format!("<ForwardTo>{target}</ForwardTo>");
    }
    if let Some(target) = &settings.forward_dead {
        text += &format!("<ForwardDeadLetteredMessagesTo>{target}</ForwardDeadLetteredMessagesTo>");
    }
    text
}

/// A rule as the elements of its description.
fn ruled(rule: &Rule) -> String {
    let filter = match &rule.filter {
        Filter::True => "<Filter i:type=\"TrueFilter\"><SqlExpression>1=1</SqlExpression></Filter>".to_owned(),
        Filter::Color(color) => format!(
            "<Filter i:type=\"CorrelationFilter\"><Properties><KeyValueOfstringanyType><Key>Color</Key>\
             <Value xmlns:x=\"http://www.w3.org/2001/XMLSchema\" i:type=\"x:string\">{color}</Value>\
             </KeyValueOfstringanyType></Properties></Filter>"
        ),
        Filter::Sql(condition) => {
            let text = condition.sql().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            format!(
                "<Filter i:type=\"SqlFilter\"><SqlExpression>{text}</SqlExpression>\
                 <CompatibilityLevel>20</CompatibilityLevel></Filter>"
            )
        }
    };
    format!("{filter}<Action i:type=\"EmptyRuleAction\"/><Name>{}</Name>", rule.name)
}

fn path(entity: &str) -> String {
    format!("/{entity}{VERSION}")
}

fn rule_path(name: &str) -> String {
    format!("/{}/Rules/{name}{VERSION}", bench::RULED)
}

impl Run {
    fn delete_at(&mut self, path: String) -> Response {
        let request =
            Request { method: Method::Delete, path_and_query: path, headers: Headers::new(), body: Vec::new() };
        Administrator::default().send(&mut self.world, request)
    }

    fn put_at(&mut self, path: &str, kind: &str, elements: &str, update: bool) -> Response {
        Administrator::default().put(&mut self.world, path, kind, elements, update)
    }

    /// Carries a verb out on an entity, or on a rule.
    pub(crate) fn administer(&mut self, client: usize, entity: &str, verb: Verb) -> Result<(), String> {
        match verb {
            Verb::Create => self.create_over_http(entity),
            Verb::Update(change) => self.update_over_http(entity, change),
            Verb::Delete => self.delete_over_http(entity),
            Verb::Read => self.read_over_http(entity),
            Verb::AddRule(rule) => self.add_rule_over_http(&bench::rule(rule)),
            Verb::ChangeRule(named, filter) => {
                let (Rule { name, .. }, Rule { filter, .. }) = (bench::rule(named), bench::rule(filter));
                self.change_rule_over_http(&Rule { name, filter })
            }
            Verb::RemoveRule(rule) => self.remove_rule_over_http(&bench::rule(rule).name),
            Verb::Rules => self.list_rules(client),
        }
    }

    /// Creates an entity; one that is there is not touched (docs/evidence/pinned-behaviour.md ADM43, ADM44).
    fn create_over_http(&mut self, entity: &str) -> Result<(), String> {
        let subscription = is_subscription(entity);
        let exists = self.model.entities.contains_key(entity);
        let settings = self.fresh(entity);
        let kind = if subscription { "SubscriptionDescription" } else { "QueueDescription" };
        let response = self.put_at(&path(entity), kind, &described(entity, &settings), false);
        if exists {
            return check("create what exists", 409, &response);
        }
        check("create", 201, &response)?;
        self.model.create(entity, settings);
        if subscription && let Some(topic) = self.model.topics.get_mut("t") {
            topic.subscriptions.insert(entity.to_owned(), vec![Rule::default_rule()]);
        }
        // Dead letters that waited for this entity go on.
        self.model.run_timers();
        Ok(())
    }

    fn update_over_http(&mut self, entity: &str, change: Change) -> Result<(), String> {
        let kind = if is_subscription(entity) { "SubscriptionDescription" } else { "QueueDescription" };
        let Some(settings) = self.changed(entity, change) else {
            if self.model.entities.contains_key(entity) {
                return Ok(());
            }
            let response = self.put_at(&path(entity), kind, &described(entity, &Settings::default()), true);
            return check("update what does not exist", 404, &response);
        };
        self.model.detach_all(entity);
        // The detach comes about a second after an update (docs/evidence/field-reports.md F6): see `bench::update`.
        self.world.broker.force_detach(entity, self.world.clock);
        let response = self.put_at(&path(entity), kind, &described(entity, &settings), true);
        check("update", 200, &response)?;
        self.model.run_timers();
        self.compare()
    }

    /// Deletes an entity with its messages; its links are detached.
    fn delete_over_http(&mut self, entity: &str) -> Result<(), String> {
        if !self.is_unused(entity) {
            return Ok(());
        }
        let exists = self.model.entities.contains_key(entity);
        let response = self.delete_at(path(entity));
        if !exists {
            return check("delete what does not exist", 404, &response);
        }
        check("delete", 200, &response)?;
        self.model.delete(entity);
        for topic in self.model.topics.values_mut() {
            topic.subscriptions.remove(entity);
        }
        Ok(())
    }

    /// Settings and counts of an entity (docs/evidence/pinned-behaviour.md ADM53, ADM54).
    fn read_over_http(&mut self, entity: &str) -> Result<(), String> {
        let response = Administrator::default().get(&mut self.world, &path(entity));
        let Some(found) = self.model.entities.get(entity) else {
            // A queue that is not there is an empty list, a subscription below a topic that is there is not found
            // (docs/evidence/pinned-behaviour.md ADM35).
            check("read what does not exist", if is_subscription(entity) { 404 } else { 200 }, &response)?;
            return if elements(&response, "LockDuration").is_empty() { Ok(()) } else { Err("it exists".into()) };
        };
        check("read", 200, &response)?;
        let counts = self.model.counts(entity);
        let (settings, details) = (&found.settings, ["d2p1:", "d3p1:", ""]);
        let count =
            |name: &str| details.iter().find_map(|prefix| elements(&response, &format!("{prefix}{name}")).pop());
        for (name, expected, observed) in [
            ("MaxDeliveryCount", settings.max_delivery.to_string(), count("MaxDeliveryCount")),
            ("RequiresSession", settings.sessions.to_string(), count("RequiresSession")),
            ("Status", status(settings.status).to_owned(), count("Status")),
            ("ActiveMessageCount", counts.active.to_string(), count("ActiveMessageCount")),
            ("DeadLetterMessageCount", counts.dead.to_string(), count("DeadLetterMessageCount")),
            ("ScheduledMessageCount", counts.scheduled.to_string(), count("ScheduledMessageCount")),
            ("TransferDeadLetterMessageCount", counts.transfer.to_string(), count("TransferDeadLetterMessageCount")),
        ] {
            if observed.as_ref() != Some(&expected) {
                return Err(format!("{name} of {entity}: expected {expected}, observed {observed:?}"));
            }
        }
        Ok(())
    }

    fn add_rule_over_http(&mut self, rule: &Rule) -> Result<(), String> {
        let response = self.put_at(&rule_path(&rule.name), "RuleDescription", &ruled(rule), false);
        let Some(rules) = self.model.rules_of(bench::RULED) else {
            return check("rule below nothing", 404, &response);
        };
        if rules.iter().any(|found| found.name == rule.name) {
            return check("rule that exists", 409, &response);
        }
        rules.push(rule.clone());
        check("add rule", 201, &response)
    }

    /// A rule that is changed counts for the messages that come then (docs/evidence/pinned-behaviour.md ADM34).
    fn change_rule_over_http(&mut self, rule: &Rule) -> Result<(), String> {
        let response = self.put_at(&rule_path(&rule.name), "RuleDescription", &ruled(rule), true);
        let rules = self.model.rules_of(bench::RULED);
        match rules.and_then(|rules| rules.iter_mut().find(|found| found.name == rule.name)) {
            None => check("change a rule that does not exist", 404, &response),
            Some(found) => {
                found.clone_from(rule);
                check("change rule", 200, &response)
            }
        }
    }

    fn remove_rule_over_http(&mut self, name: &str) -> Result<(), String> {
        let response = self.delete_at(rule_path(name));
        let rules = self.model.rules_of(bench::RULED);
        let found = rules.and_then(|rules| Some((rules.iter().position(|found| found.name == name)?, rules)));
        let Some((at, rules)) = found else { return check("remove a rule that does not exist", 404, &response) };
        rules.remove(at);
        check("remove rule", 200, &response)
    }

    /// The names of all rules over both protocols, in their order (docs/evidence/pinned-behaviour.md RUL4).
    fn list_rules(&mut self, client: usize) -> Result<(), String> {
        let rules = self.model.rules_of(bench::RULED).cloned();
        let list = format!("/{}/Rules{VERSION}", bench::RULED);
        let response = Administrator::default().get(&mut self.world, &list);
        let Some(rules) = rules else { return check("rules of nothing", 404, &response) };
        check("rules", 200, &response)?;
        let mut expected: Vec<String> = rules.into_iter().map(|rule| rule.name).collect();
        expected.sort_by_key(|name| name.to_lowercase());
        let observed = elements(&response, "Name");
        if expected != observed {
            return Err(format!("rules over HTTP: expected {expected:?}, observed {observed:?}"));
        }
        if !bench::is_open(&self.model, bench::RULED) {
            return Ok(());
        }
        let entries = [("skip", Value::Int(0)), ("top", Value::Int(100))];
        let response = self.request(client, bench::RULED, "enumerate-rules", &entries, None);
        let observed = response.rule_names();
        if expected == observed { Ok(()) } else { Err(format!("rules over AMQP: {observed:?}, expected {expected:?}")) }
    }

    /// Whether no transaction uses an entity: what becomes of one whose entity is deleted is named by no document.
    pub(crate) fn is_unused(&self, entity: &str) -> bool {
        !self.model.transactions.values().any(|found| found.entities().any(|used| used == entity))
    }
}
