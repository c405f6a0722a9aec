//! The sicknesses of a service, each a value with a name.

use super::edit::Verdict;
use super::links::{Node, Step};
use servicebus_core::servicebus::Reason;
use servicebus_core::time::Duration;

/// The misbehaviour of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A dial is neither accepted nor refused.
    NeverAccepts,
    /// A dial is refused.
    RefusesConnections,
    /// Reads everything and sends nothing from the step on.
    Silent {
        /// Empty frames keep coming.
        heartbeats: bool,
    },
    /// Reads nothing from the step on, and sends nothing else.
    StopsReading {
        /// Empty frames keep coming.
        heartbeats: bool,
    },
    /// Leaves out the frames of the step.
    Omits,
    /// The frames of the step are delayed by this time.
    Late(Duration),
    /// The frames of the step come twice.
    Twice,
    /// Closes every connection behind so many bytes.
    CutAt(usize),
    /// Closes every connection after this time.
    ClosesAfter(Duration),
    /// Refuses at the step with this condition, by the specification.
    Refuses(&'static str),
    /// Attaches, and detaches with this condition in the same segment.
    AttachesThenDetaches(&'static str),
    /// Answers tokens with this reason.
    RefusesTokens(Reason),
    /// Answers sends and requests to `$management` with this reason.
    RefusesOperations(Reason),
    /// Every message of the client has this outcome.
    Judges(Verdict),
    /// Sends these without end from the step on.
    Floods(Flood),
    /// Begins a message, continues it a few times, and is silent then but for heartbeats.
    NeverEnds,
    /// Delivers so many messages more than were asked for.
    Overdelivers(u8),
    /// Grants no credit.
    GrantsNothing,
    /// Grants credit and takes it back in the same segment.
    TakesBack,
    /// Its session takes no transfer.
    ShutsWindow,
    /// Its flows count transfers that were never sent.
    MisplacesWindow,
}

/// The frames of a flood, each of them valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Empty frames.
    Heartbeats,
    /// Outcomes of a delivery that was settled before.
    Dispositions,
    /// Flows of the session.
    Flows,
    /// Flows of the session that ask for an answer.
    Echoes,
    /// The first message again and again, whatever the credit.
    Transfers,
    /// Continuations of one message.
    Continuations,
}

/// A misbehaviour at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sick {
    /// Names it in tables.
    pub name: &'static str,
    /// From when on, or at which frames.
    pub step: Step,
    /// The misbehaviour.
    pub fault: Fault,
}

/// The sickness of this name.
///
/// # Panics
/// When there is none.
pub fn sick(name: &str) -> &'static Sick {
    SICK.iter().find(|sick| sick.name == name).unwrap_or_else(|| panic!("no sickness is named {name:?}"))
}

const fn has(name: &'static str, step: Step, fault: Fault) -> Sick {
    Sick { name, step, fault }
}

const SILENT: Fault = Fault::Silent { heartbeats: false };
const ONLY_HEARTBEATS: Fault = Fault::Silent { heartbeats: true };
const STOPS: Fault = Fault::StopsReading { heartbeats: false };
const STOPS_WITH_HEARTBEATS: Fault = Fault::StopsReading { heartbeats: true };
const BUSY: &str = "com.microsoft:server-busy";
const INTERNAL: &str = "amqp:internal-error";
const MISSING: &str = "amqp:not-found";
/// Just within a try time-out of two seconds.
const WITHIN: Duration = Duration::from_millis(1_900);
/// Just beyond it.
const BEYOND: Duration = Duration::from_millis(2_100);

/// Every sickness of the library.
pub const SICK: &[Sick] = &[
    // Silent from a step on.
    has("never accepts", Step::Tcp, Fault::NeverAccepts),
    has("refuses connections", Step::Tcp, Fault::RefusesConnections),
    has("silent at once", Step::Now, SILENT),
    has("silent from TCP", Step::SaslHeader, SILENT),
    has("silent from SASL mechanisms", Step::SaslMechanisms, SILENT),
    has("silent from SASL outcome", Step::SaslOutcome, SILENT),
    has("silent from AMQP header", Step::AmqpHeader, SILENT),
    has("silent from open", Step::Open, SILENT),
    has("silent from begin", Step::Begin, SILENT),
    has("silent from attach of $cbs", Step::Attach(Node::Cbs), SILENT),
    has("silent from answer of $cbs", Step::Transfer(Node::Cbs), SILENT),
    has("silent from attach of sender", Step::Attach(Node::Sender), SILENT),
    has("silent from attach of receiver", Step::Attach(Node::Receiver), SILENT),
    has("silent from attach of $management", Step::Attach(Node::Management), SILENT),
    has("silent from attach of coordinator", Step::Attach(Node::Coordinator), SILENT),
    has("silent from credit", Step::Credit(Node::Sender), SILENT),
    has("silent from delivery", Step::Transfer(Node::Receiver), SILENT),
    has("silent from outcome", Step::Accepts(Node::Sender), SILENT),
    has("silent from answer of $management", Step::Transfer(Node::Management), SILENT),
    has("silent from outcome of coordinator", Step::Accepts(Node::Coordinator), SILENT),
    has("silent from settlement", Step::Settles, SILENT),
    has("silent from drained", Step::Drained, SILENT),
    has("silent from close", Step::Close, SILENT),
    // The same with heartbeats, so that the idle time-out does not end it.
    has("only heartbeats at once", Step::Now, ONLY_HEARTBEATS),
    has("only heartbeats from begin", Step::Begin, ONLY_HEARTBEATS),
    has("only heartbeats from answer of $cbs", Step::Transfer(Node::Cbs), ONLY_HEARTBEATS),
    has("only heartbeats from attach of sender", Step::Attach(Node::Sender), ONLY_HEARTBEATS),
    has("only heartbeats from attach of receiver", Step::Attach(Node::Receiver), ONLY_HEARTBEATS),
    has("only heartbeats from answer of $management", Step::Transfer(Node::Management), ONLY_HEARTBEATS),
    // One kind of answer is missing, everything else works.
    has("omits delivery", Step::Transfer(Node::Receiver), Fault::Omits),
    has("omits outcome", Step::Accepts(Node::Sender), Fault::Omits),
    has("omits settlement", Step::Settles, Fault::Omits),
    has("omits drained", Step::Drained, Fault::Omits),
    has("omits answer of $management", Step::Transfer(Node::Management), Fault::Omits),
    has("omits outcome of coordinator", Step::Accepts(Node::Coordinator), Fault::Omits),
    has("omits detach of sender", Step::Detach(Node::Sender), Fault::Omits),
    has("omits detach of receiver", Step::Detach(Node::Receiver), Fault::Omits),
    has("omits credit", Step::Credit(Node::Sender), Fault::Omits),
    has("omits close", Step::Close, Fault::Omits),
    // Stops reading.
    has("stops reading at once", Step::Now, STOPS),
    has("stops reading at once, with heartbeats", Step::Now, STOPS_WITH_HEARTBEATS),
    has("stops reading from TCP", Step::SaslHeader, STOPS),
    has("stops reading from open", Step::Open, STOPS),
    has("stops reading from begin, with heartbeats", Step::Begin, STOPS_WITH_HEARTBEATS),
    has("stops reading in a transfer", Step::Sends(Node::Sender), STOPS),
    has("stops reading in a transfer, with heartbeats", Step::Sends(Node::Sender), STOPS_WITH_HEARTBEATS),
    has("stops reading in a request", Step::Sends(Node::Management), STOPS_WITH_HEARTBEATS),
    // Floods.
    has("floods with heartbeats", Step::Now, Fault::Floods(Flood::Heartbeats)),
    has("floods with dispositions", Step::Now, Fault::Floods(Flood::Dispositions)),
    has("floods with flows", Step::Now, Fault::Floods(Flood::Flows)),
    has("floods with echoes", Step::Now, Fault::Floods(Flood::Echoes)),
    has("floods with transfers", Step::Transfer(Node::Receiver), Fault::Floods(Flood::Transfers)),
    has("floods with one message", Step::Transfer(Node::Receiver), Fault::Floods(Flood::Continuations)),
    has("never ends a message", Step::Transfer(Node::Receiver), Fault::NeverEnds),
    has("never ends an answer", Step::Transfer(Node::Management), Fault::NeverEnds),
    // Late and twice.
    has("open within the time-out", Step::Open, Fault::Late(WITHIN)),
    has("open beyond the time-out", Step::Open, Fault::Late(BEYOND)),
    has("attach of sender within the time-out", Step::Attach(Node::Sender), Fault::Late(WITHIN)),
    has("attach of sender beyond the time-out", Step::Attach(Node::Sender), Fault::Late(BEYOND)),
    has("attach of receiver beyond the time-out", Step::Attach(Node::Receiver), Fault::Late(BEYOND)),
    has("outcome within the time-out", Step::Accepts(Node::Sender), Fault::Late(WITHIN)),
    has("outcome beyond the time-out", Step::Accepts(Node::Sender), Fault::Late(BEYOND)),
    has("settlement beyond the time-out", Step::Settles, Fault::Late(BEYOND)),
    has("answer of $cbs beyond the time-out", Step::Transfer(Node::Cbs), Fault::Late(BEYOND)),
    has("answer of $management within the time-out", Step::Transfer(Node::Management), Fault::Late(WITHIN)),
    has("answer of $management beyond the time-out", Step::Transfer(Node::Management), Fault::Late(BEYOND)),
    has("drained beyond the time-out", Step::Drained, Fault::Late(BEYOND)),
    has("attach twice", Step::Attach(Node::Sender), Fault::Twice),
    has("delivery twice", Step::Transfer(Node::Receiver), Fault::Twice),
    has("outcome twice", Step::Accepts(Node::Sender), Fault::Twice),
    has("settlement twice", Step::Settles, Fault::Twice),
    has("answer of $cbs twice", Step::Transfer(Node::Cbs), Fault::Twice),
    has("answer of $management twice", Step::Transfer(Node::Management), Fault::Twice),
    has("detach twice", Step::Detach(Node::Sender), Fault::Twice),
    // Connections that end.
    has("cut in the SASL header", Step::Tcp, Fault::CutAt(3)),
    has("cut in SASL", Step::Tcp, Fault::CutAt(40)),
    has("cut in open", Step::Tcp, Fault::CutAt(120)),
    has("cut in an attach", Step::Tcp, Fault::CutAt(400)),
    has("cut later", Step::Tcp, Fault::CutAt(1_500)),
    has("closes at once", Step::Tcp, Fault::ClosesAfter(Duration::ZERO)),
    has("closes after 1.1 s", Step::Tcp, Fault::ClosesAfter(Duration::from_millis(1_100))),
    // Refuses in a loop.
    has("refuses SASL", Step::SaslOutcome, Fault::Refuses("amqp:unauthorized-access")),
    has("refuses the connection", Step::Open, Fault::Refuses("amqp:connection:forced")),
    has("refuses the session", Step::Begin, Fault::Refuses(INTERNAL)),
    has("refuses $cbs", Step::Attach(Node::Cbs), Fault::Refuses(INTERNAL)),
    has("attaches and detaches $cbs", Step::Attach(Node::Cbs), Fault::AttachesThenDetaches(INTERNAL)),
    has("refuses senders as busy", Step::Attach(Node::Sender), Fault::Refuses(BUSY)),
    has("refuses senders as missing", Step::Attach(Node::Sender), Fault::Refuses(MISSING)),
    has("attaches and detaches senders", Step::Attach(Node::Sender), Fault::AttachesThenDetaches(INTERNAL)),
    has("refuses receivers as busy", Step::Attach(Node::Receiver), Fault::Refuses(BUSY)),
    has("refuses receivers as missing", Step::Attach(Node::Receiver), Fault::Refuses(MISSING)),
    has("attaches and detaches receivers", Step::Attach(Node::Receiver), Fault::AttachesThenDetaches(INTERNAL)),
    has("refuses $management", Step::Attach(Node::Management), Fault::Refuses(INTERNAL)),
    has("attaches and detaches $management", Step::Attach(Node::Management), Fault::AttachesThenDetaches(INTERNAL)),
    has(
        "attaches and detaches the coordinator",
        Step::Attach(Node::Coordinator),
        Fault::AttachesThenDetaches(INTERNAL),
    ),
    has("refuses tokens as unauthorized", Step::Transfer(Node::Cbs), Fault::RefusesTokens(Reason::Unauthorized)),
    has("refuses tokens as busy", Step::Transfer(Node::Cbs), Fault::RefusesTokens(Reason::ServerBusy)),
    has("refuses operations as busy", Step::Now, Fault::RefusesOperations(Reason::ServerBusy)),
    has("refuses operations with internal errors", Step::Now, Fault::RefusesOperations(Reason::InternalError)),
    // Outcomes.
    has("releases every message", Step::Accepts(Node::Sender), Fault::Judges(Verdict::Released)),
    has("modifies every message", Step::Accepts(Node::Sender), Fault::Judges(Verdict::Modified)),
    has("rejects every message", Step::Accepts(Node::Sender), Fault::Judges(Verdict::Rejected(INTERNAL))),
    has("settles without an outcome", Step::Accepts(Node::Sender), Fault::Judges(Verdict::Nothing)),
    has("settles as received", Step::Accepts(Node::Sender), Fault::Judges(Verdict::Received)),
    has("releases every declaration", Step::Accepts(Node::Coordinator), Fault::Judges(Verdict::Released)),
    // Lies about credit.
    has("delivers more than was asked for", Step::Transfer(Node::Receiver), Fault::Overdelivers(20)),
    has("grants no credit", Step::Credit(Node::Sender), Fault::GrantsNothing),
    has("grants $management no credit", Step::Credit(Node::Management), Fault::GrantsNothing),
    has("grants $cbs no credit", Step::Credit(Node::Cbs), Fault::GrantsNothing),
    has("takes credit back", Step::Credit(Node::Sender), Fault::TakesBack),
    has("shuts the session's window", Step::Begin, Fault::ShutsWindow),
    has("misplaces the session's window", Step::Begin, Fault::MisplacesWindow),
];
