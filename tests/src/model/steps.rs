//! Steps of a sequence, and how they are chosen.
//!
//! A step names what it acts on by a number that is taken modulo what is there when it runs: a sequence keeps its meaning
//! when steps are left out.

use super::Time;
use super::entities::Status;
use super::random::Random;
use super::settlement::Ending;

/// Bytes of the world, and of a step, in [`Sequence::of_bytes`]: the longest step has 23.
pub const CHUNK: usize = 24;

/// The entities of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One queue.
    Queue,
    /// A queue with sessions.
    Sessions,
    /// A queue that detects duplicates.
    Duplicates,
    /// A topic with a subscription that takes everything, one with rules and one with sessions.
    Topic,
    /// `a` forwards to `b`, whose dead letters go to `c`.
    Forwarding,
}

/// A world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Its entities.
    pub kind: Kind,
    /// Milliseconds of a lock.
    pub lock: Time,
    /// The maximum of deliveries.
    pub max_delivery: u32,
    /// The entities' limit to a message's life.
    pub ttl: Option<Time>,
    /// Whether expired messages are dead-lettered.
    pub dead_on_expiry: bool,
}

/// A message of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Which session id, if any.
    pub session: Option<u8>,
    /// Which message id, if any.
    pub id: Option<u8>,
    /// Which color, if any.
    pub color: Option<u8>,
    /// A property, if any.
    pub quantity: Option<u8>,
    /// Its life.
    pub ttl: Option<Time>,
    /// How much later it is to be enqueued.
    pub delay: Option<Time>,
}

/// How time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// So many milliseconds.
    Some(Time),
    /// To the millisecond before the model's next event.
    BeforeNext,
    /// To the model's next event.
    ToNext,
    /// To the last millisecond in which the oldest message id is remembered, or one later.
    EdgeOfWindow(bool),
    /// UTC jumps forwards; the monotonic clock does not.
    Forwards(Time),
    /// UTC jumps backwards.
    Backwards(Time),
}

/// A change of a queue's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its status.
    Status(Status),
    /// The maximum of deliveries.
    MaxDelivery(u32),
    /// Milliseconds of a lock.
    Lock(Time),
}

/// A request of the management API. Those for rules are sent over AMQP by steps of their own as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Creates an entity, which may be there.
    Create,
    /// Changes its settings.
    Update(Change),
    /// Deletes it.
    Delete,
    /// Reads its settings and counts.
    Read,
    /// Adds one of the rules.
    AddRule(u8),
    /// Gives one of the rules the filter of another.
    ChangeRule(u8, u8),
    /// Removes one of the rules.
    RemoveRule(u8),
    /// Lists the rules over both protocols.
    Rules,
}

/// A step. `txn` is the transaction that it is part of, if any.
#[allow(missing_docs, reason = "the fields are named for what they choose")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One message.
    Send { client: u8, entity: u8, draft: Draft, txn: Option<u8> },
    /// Several messages in one transfer: the draft and others like it.
    Batch { client: u8, entity: u8, draft: Draft, count: u8 },
    /// By `$management`.
    Schedule { client: u8, entity: u8, draft: Draft, txn: Option<u8> },
    /// One of the numbers that were scheduled.
    Cancel { client: u8, which: u8, txn: Option<u8> },
    /// A receiver of a place.
    Open { client: u8, place: u8, deleting: bool },
    /// A receiver of a named session.
    Accept { client: u8, place: u8, session: u8 },
    /// A receiver of the next session, that waits.
    AcceptNext { client: u8, place: u8, wait: Time },
    /// Credit for a receiver.
    Credit { link: u8, count: u8 },
    /// Takes the credit back.
    Drain { link: u8 },
    /// Ends one of the deliveries that were received: on its link, or by `$management`.
    Settle { client: u8, which: u8, ending: Ending, managed: bool, txn: Option<u8> },
    /// Receives one of the messages that were deferred.
    Deferred { client: u8, which: u8, locking: bool },
    /// Peeks a place, or one of its sessions.
    Peek { client: u8, place: u8, session: Option<u8>, from: u8, count: u8 },
    /// Renews one of the locks.
    Renew { client: u8, which: u8 },
    /// Renews the lock of a session.
    RenewSession { client: u8, place: u8, session: u8 },
    /// Sets or clears the state of a session.
    SetState { client: u8, place: u8, session: u8, state: Option<u8>, txn: Option<u8> },
    /// Reads the state of a session.
    GetState { client: u8, place: u8, session: u8 },
    /// Detaches a receiver.
    Close { link: u8 },
    /// Ends a connection; another one takes its place.
    Disconnect { client: u8 },
    /// Adds one of the rules.
    AddRule { client: u8, rule: u8 },
    /// Removes one of the rules.
    RemoveRule { client: u8, rule: u8 },
    /// Begins a transaction.
    Declare { client: u8 },
    /// Commits one, or rolls it back.
    Discharge { which: u8, fail: bool },
    /// Changes settings of a queue.
    Update { entity: u8, change: Change },
    /// Deletes a queue and creates it again.
    Recreate { entity: u8 },
    /// Deletes a queue.
    Delete { entity: u8 },
    /// A request of the management API about an entity or a rule.
    Manage { client: u8, entity: u8, verb: Verb },
    /// Time passes.
    Time(Pass),
}

/// A world and its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The world.
    pub setup: Setup,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Sequence {
    /// The sequence of a seed.
    pub fn of_seed(seed: u64, length: usize) -> Self {
        let random = &mut Random::new(seed);
        let setup = setup(random);
        Self { setup, steps: (0..length).map(|_| step(random, setup.kind)).collect() }
    }

    /// The sequence that bytes hold: [`CHUNK`] of them for the world, and as many for each step.
    ///
    /// A change of one chunk changes one step.
    pub fn of_bytes(bytes: &[u8], longest: usize) -> Self {
        let mut chunks = bytes.chunks(CHUNK);
        let setup = setup(&mut Random::of_bytes(chunks.next().unwrap_or_default()));
        let steps = chunks.take(longest).map(|chunk| step(&mut Random::of_bytes(chunk), setup.kind)).collect();
        Self { setup, steps }
    }

    /// Bytes that hold the sequence of a seed.
    pub fn bytes_of_seed(seed: u64, length: usize) -> Vec<u8> {
        let random = &mut Random::recording(seed);
        let mut bytes = Vec::with_capacity(CHUNK * (1 + length));
        let mut add = |mut chunk: Vec<u8>| {
            assert!(chunk.len() <= CHUNK, "{} bytes", chunk.len());
            chunk.resize(CHUNK, 0);
            bytes.extend(chunk);
        };
        let kind = setup(random).kind;
        add(random.recorded());
        for _ in 0..length {
            step(random, kind);
            add(random.recorded());
        }
        bytes
    }
}

fn setup(random: &mut Random) -> Setup {
    let kind = random.pick(&[
        Kind::Queue,
        Kind::Queue,
        Kind::Sessions,
        Kind::Sessions,
        Kind::Duplicates,
        Kind::Topic,
        Kind::Forwarding,
    ]);
    Setup {
        kind,
        lock: random.pick(&[5_000, 10_000, 30_000, 60_000]),
        max_delivery: random.pick(&[1, 2, 3, 10]),
        ttl: random.pick(&[None, None, Some(40_000)]),
        dead_on_expiry: random.one_in(2),
    }
}

fn draft(random: &mut Random, kind: Kind) -> Draft {
    let some = |random: &mut Random, one_in: u64, of: u8| random.one_in(one_in).then(|| random.small(of));
    let session = match kind {
        // One in 16 lacks the session id that it needs.
        Kind::Sessions | Kind::Topic => (!random.one_in(16)).then(|| random.small(4)),
        _ => some(random, 4, 4),
    };
    let lives = [1, 2_000, 7_000, 20_000, 90_000];
    let delays = [1, 3_000, 9_000, 40_000, 200_000];
    Draft {
        session,
        id: if kind == Kind::Duplicates { Some(random.small(5)) } else { some(random, 8, 3) },
        color: some(random, 2, 3),
        quantity: some(random, 2, 10),
        ttl: random.one_in(4).then(|| random.pick(&lives) + random.below(10)),
        // Whether a scheduled message counts as a duplicate when it is sent or when its time has come, and what it does
        // where it forwards, is decided by no document.
        delay: (!matches!(kind, Kind::Duplicates | Kind::Forwarding) && random.one_in(8))
            .then(|| random.pick(&delays) + random.below(10)),
    }
}

fn step(random: &mut Random, kind: Kind) -> Step {
    let client = random.small(2);
    let which = random.small(16);
    let place = random.small(8);
    let sessions = matches!(kind, Kind::Sessions | Kind::Topic);
    let txn = (kind != Kind::Duplicates && random.one_in(5)).then(|| random.small(4));
    match random.below(100) {
        0..=15 => Step::Send { client, entity: place, draft: draft(random, kind), txn },
        16..=18 => Step::Batch { client, entity: place, draft: draft(random, kind), count: 1 + random.small(5) },
        19..=20 if kind != Kind::Duplicates => {
            let mut draft = draft(random, kind);
            draft.delay = Some(random.pick(&[1, 5_000, 30_000, 150_000]) + random.below(10));
            // No document orders messages that are due at once where one of them moves on: only `b` gets any.
            let entity = if kind == Kind::Forwarding { 1 } else { place };
            Step::Schedule { client, entity, draft, txn }
        }
        21 => Step::Cancel { client, which, txn },
        22..=29 if sessions => match random.below(3) {
            0 => Step::Accept { client, place, session: random.small(4) },
            1 => Step::AcceptNext { client, place, wait: 1 },
            _ => Step::AcceptNext { client, place, wait: random.pick(&[1_000, 20_000, 60_000]) },
        },
        22..=26 => Step::Open { client, place, deleting: random.one_in(4) },
        27..=39 => Step::Credit { link: which, count: 1 + random.small(4) },
        40..=45 => Step::Drain { link: which },
        46..=62 => Step::Settle {
            client,
            which,
            ending: random.pick(&[
                Ending::Complete,
                Ending::Complete,
                Ending::Abandon,
                Ending::Abandon,
                Ending::Defer,
                Ending::Release,
                Ending::Reject,
            ]),
            managed: random.one_in(3),
            txn,
        },
        63..=66 => Step::Deferred { client, which, locking: !random.one_in(4) },
        67 => Step::Peek {
            client,
            place,
            session: random.one_in(3).then(|| random.small(4)),
            from: random.small(12),
            count: 1 + random.small(10),
        },
        68..=69 => Step::Renew { client, which },
        70..=72 if sessions => Step::RenewSession { client, place, session: random.small(4) },
        73..=74 if sessions => {
            let state = (!random.one_in(4)).then(|| random.small(200));
            Step::SetState { client, place, session: random.small(4), state, txn }
        }
        75 if sessions => Step::GetState { client, place, session: random.small(4) },
        70..=72 if kind == Kind::Topic => Step::AddRule { client, rule: random.small(6) },
        73..=74 if kind == Kind::Topic => Step::RemoveRule { client, rule: random.small(6) },
        76..=77 => Step::Close { link: which },
        78 if random.one_in(3) => Step::Disconnect { client },
        79..=80 if kind == Kind::Topic => Step::AddRule { client, rule: random.small(6) },
        81 if kind == Kind::Topic => Step::RemoveRule { client, rule: random.small(6) },
        79..=80 if kind != Kind::Duplicates => Step::Declare { client },
        81..=82 => Step::Discharge { which: random.small(4), fail: random.one_in(3) },
        83 => Step::Update { entity: place, change: change(random) },
        84 if random.one_in(4) => Step::Recreate { entity: place },
        84 if kind == Kind::Forwarding && random.one_in(8) => Step::Delete { entity: place },
        85..=91 => Step::Time(pass(random, kind)),
        92..=94 => Step::Manage { client, entity: place, verb: verb(random, kind) },
        _ => Step::Time(Pass::Some(random.pick(&[1, 100, 2_000, 5_000]) + random.below(1_000))),
    }
}

fn verb(random: &mut Random, kind: Kind) -> Verb {
    let below = if kind == Kind::Topic { 10 } else { 5 };
    match random.below(below) {
        0 => Verb::Create,
        1 => Verb::Update(change(random)),
        2 => Verb::Delete,
        3..=4 => Verb::Read,
        5..=6 => Verb::AddRule(random.small(6)),
        7 => Verb::ChangeRule(random.small(6), random.small(6)),
        8 => Verb::RemoveRule(random.small(6)),
        _ => Verb::Rules,
    }
}

fn change(random: &mut Random) -> Change {
    match random.below(6) {
        0 => Change::Status(Status::Disabled),
        1 => Change::Status(Status::SendDisabled),
        2 => Change::Status(Status::ReceiveDisabled),
        3 => Change::Status(Status::Active),
        4 => Change::MaxDelivery(random.pick(&[1, 2, 5])),
        _ => Change::Lock(random.pick(&[5_000, 20_000])),
    }
}

fn pass(random: &mut Random, kind: Kind) -> Pass {
    match random.below(8) {
        0..=1 => Pass::BeforeNext,
        2..=3 => Pass::ToNext,
        4 if kind == Kind::Duplicates => Pass::EdgeOfWindow(random.one_in(2)),
        4 => Pass::Some(125_000 + random.below(5_000)),
        5 => Pass::Some(20_000 + random.below(60_000)),
        // Where messages move on, what a jump makes due at once would get numbers in an order that is open.
        6 if kind != Kind::Forwarding => Pass::Forwards(1 + random.below(70_000)),
        // How long ids are remembered when UTC goes back is decided by no document.
        7 if kind != Kind::Duplicates => Pass::Backwards(1 + random.below(5_000)),
        _ => Pass::Some(1),
    }
}
