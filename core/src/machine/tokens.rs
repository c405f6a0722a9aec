//! The rights to use entities: one token each, put to `$cbs` and renewed before it ends.
// docs/evidence/wire-protocol.md §2

use super::backoff::Backoff;
use super::effect::Effect;
use super::id::{EntityId, TokenId};
use super::settings::Settings;
use super::timers::{Timer, Timers};
use super::{Cause, Failure};
use crate::random::Random;
use crate::servicebus::Argument;
use crate::servicebus::address::{Address, SubQueue};
use crate::servicebus::connection_string::ConnectionCredential;
use crate::servicebus::entity::Entity;
use crate::servicebus::{RetryMode, RetryPolicy, sas};
use crate::storage::{Index, Marks, MarksOf, Place, Spare, Storage, Table, TableOf, room};
use crate::time::{Duration, Instant, Millis, Timestamp};
use crate::wire::Full;
use core::fmt::Write;

/// The type of a shared access signature; tokens of Entra ID are `jwt`.
// docs/evidence/wire-protocol.md §2.2
pub(super) const SAS_TOKEN: &str = "servicebus.windows.net:sastoken";

/// How the service begins to say that a token has ended.
// docs/evidence/service-evidence.md §6
const EXPIRED: &str = "ExpiredToken";

/// How long a token that is signed here lives: as the official SDKs'.
// docs/evidence/wire-protocol.md §2.3
const LIFETIME: Millis = Millis::from_secs(3_600);

/// Pauses between attempts to put a token: from 3 s, doubled up to 60 s, without an end while the old one counts.
// docs/evidence/invariants.md §1 row 16
const PAUSES: RetryPolicy = RetryPolicy {
    max_retries: u32::MAX,
    delay: Duration::from_secs(3),
    max_delay: Duration::from_secs(60),
    mode: RetryMode::Exponential,
    try_timeout: Duration::from_secs(60),
};

/// How long before its end a token that is signed here is renewed: a quarter of an hour, since the local clock may be
/// ten minutes behind the service's before there is any evidence of that.
const SIGNED_MARGIN: Millis = Millis::from_secs(15 * 60);
/// How long before its end a token is replaced: credentials cache theirs until five minutes before the end.
const GIVEN_MARGIN: Millis = Millis::from_secs(7 * 60);

/// When to renew a token that lives from `now` until `expiry`: at three quarters of its life, or `margin` before its
/// end where that is later.
fn renewal(now: Instant, utc: Timestamp, expiry: Timestamp, margin: Millis) -> Instant {
    let life = expiry.left(utc);
    now.after(life.before_end(life, 4, margin))
}

/// Room for an audience: scheme, host and an entity's path.
///
/// # Examples
///
/// ```
/// use servicebus_core::machine::Audience;
///
/// let audience = Audience::try_from("sb://contoso.servicebus.windows.net/orders");
/// assert!(audience.is_ok_and(|audience| audience.ends_with("/orders")));
/// ```
pub type Audience = heapless::String<408>;
/// Room for a signed token: an audience, percent-encoded, and the signature's other fields.
pub(super) type TokenText = heapless::String<1152>;

/// The field that does not fit is the one that the application has named.
fn too_long<S: Storage>() -> Failure<S> {
    Failure::new(Cause::Argument(Argument::EntityName))
}

/// How far a token is. It goes from `Due` to `Asked` and on to one of the others; back to `Due` by its timer, by a new
/// call or with a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Ready to be put.
    Due,
    /// A request puts it.
    Asked,
    /// The service has answered: its timer, if it has one, makes it due.
    Resting,
    /// It could not be put, and no call waits for it any more: the next call makes it due.
    Parked,
}

/// What the rest of the machine has to learn about a token.
#[derive(Debug)]
enum News<S: Storage> {
    Usable,
    Refused(Failure<S>),
}

/// A token for one entity, shared by everything that uses it.
struct Token<S: Storage> {
    name: S::Literal,
    subscription: Option<S::Literal>,
    state: State,
    /// The service has accepted it on this connection.
    valid: bool,
    /// The credential holds it up, not the service.
    held_up: bool,
    news: Option<News<S>>,
    /// Channels to `$management`: one each for the entity and its sub-queues.
    channels: u8,
    /// Senders and receivers of the entity and its sub-queues.
    links: u16,
    /// Attempts that failed in a row, across connections.
    backoff: Backoff,
    /// The request that puts it, as long as that is there.
    request: Option<Place>,
    /// The end of the token that was accepted last.
    expiry: Timestamp,
}

impl<S: Storage> Token<S> {
    /// Whether it is this entity's: sub-queues share their entity's token.
    fn is_for(&self, entity: &Entity<S>) -> bool {
        let (own, other) = (self.subscription.as_ref(), entity.subscription.as_ref());
        self.name.as_ref().eq_ignore_ascii_case(entity.name.as_ref())
            && own.map(AsRef::as_ref) == other.map(AsRef::as_ref)
    }

    fn address(&self, sub_queue: Option<SubQueue>) -> Address<'_> {
        Address::new(self.name.as_ref(), self.subscription.as_ref().map(AsRef::as_ref), sub_queue)
    }
}

/// What uses an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    /// A sender or receiver.
    Link,
    /// A channel to its `$management`.
    Channel,
}

/// The end of an entity's use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Released {
    /// No sender or receiver uses the entity any more.
    pub(super) without_links: bool,
    /// The request that was to put the token, which is gone.
    pub(super) request: Option<Place>,
}

/// The time and the rules of an attempt.
pub(super) struct Attempt<'a, S: Storage> {
    pub(super) now: Instant,
    /// The service's time, as far as it is known.
    pub(super) utc: Timestamp,
    pub(super) settings: &'a Settings<S>,
    pub(super) random: &'a mut Random,
    pub(super) timers: &'a mut Timers<S>,
}

/// The tokens of a client.
// In this order: the places of small fields before the tables fit into the instructions of small machines.
#[repr(C)]
pub(super) struct Tokens<S: Storage> {
    /// The credential must be asked.
    wanted: bool,
    /// Its answer is missing.
    pending: bool,
    /// Those that are due or have news.
    marked: MarksOf<S, room::Links>,
    /// Those that wait for the credential.
    without_text: MarksOf<S, room::Links>,
    /// Those that were put, or were to be, on this connection.
    tried: MarksOf<S, room::Links>,
    table: TableOf<S, room::Links, Token<S>>,
    /// Finds them by their entities' names where there may be many.
    names: Spare<S, S::Index>,
    /// The last token of an external credential, and its end. Storage without room for it asks the credential for each
    /// entity.
    kept: Spare<S, (S::Payload, Timestamp)>,
}

/// A number for an entity's name (FNV-1a); other names may have the same.
fn number_of<T: AsRef<str>>(name: &T, subscription: Option<&T>) -> u64 {
    let subscription = subscription.map(AsRef::as_ref).unwrap_or_default();
    let name = name.as_ref().bytes().map(|byte| byte.to_ascii_lowercase());
    let bytes = name.chain([b'\n']).chain(subscription.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl<S: Storage> Tokens<S> {
    // Inlined, it is made in its place.
    #[inline(always)]
    pub(super) fn new(limit: usize) -> Self {
        let mut names = Spare::default();
        names.keep(S::Index::bounded(limit));
        Self {
            wanted: false,
            pending: false,
            marked: Marks::empty(),
            without_text: Marks::empty(),
            tried: Marks::empty(),
            table: Table::bounded(limit),
            names,
            kept: Spare::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    fn get(&self, id: TokenId) -> Option<&Token<S>> {
        self.table.get(id.index())
    }

    /// Whether it is there: the place of one that nothing uses any more may get another.
    pub(super) fn has(&self, id: TokenId) -> bool {
        self.get(id).is_some()
    }

    fn mark(&mut self, id: TokenId) {
        self.marked.mark(id.index());
    }

    /// The entity, if its token is here.
    pub(super) fn find(&self, entity: &Entity<S>) -> Option<EntityId> {
        let is_it = |&place: &u32| self.table.get(place).is_some_and(|token| token.is_for(entity));
        // Without an index, and where names share their number, the table is searched.
        let place = match self.names.kept() {
            Some(names) => Some(names.get(number_of(&entity.name, entity.subscription.as_ref()))?).filter(is_it),
            None => None,
        };
        let place = place.or_else(|| (0..self.table.end()).find(is_it))?;
        Some(EntityId { token: TokenId::new(place), sub_queue: entity.sub_queue })
    }

    /// Begins a use of an entity.
    ///
    /// # Errors
    /// A full table.
    pub(super) fn acquire(&mut self, entity: &Entity<S>, user: User) -> Result<EntityId, Full> {
        let id = match self.find(entity) {
            Some(id) => id,
            None => self.insert(entity)?,
        };
        self.acquire_again(id.token, user);
        Ok(id)
    }

    /// Begins another use of an entity that is in use.
    pub(super) fn acquire_again(&mut self, id: TokenId, user: User) {
        if let Some(token) = self.table.get_mut(id.index()) {
            match user {
                User::Link => token.links += 1,
                User::Channel => token.channels += 1,
            }
        }
    }

    fn insert(&mut self, entity: &Entity<S>) -> Result<EntityId, Full> {
        let token = Token {
            name: entity.name.clone(),
            subscription: entity.subscription.clone(),
            state: State::Due,
            valid: false,
            held_up: false,
            news: None,
            channels: 0,
            links: 0,
            backoff: Backoff::default(),
            request: None,
            expiry: Timestamp::DOTNET_MIN,
        };
        let id = TokenId::new(self.table.insert(token)?.index);
        if let Some(names) = self.names.kept_mut() {
            let _ = names.insert(number_of(&entity.name, entity.subscription.as_ref()), id.index());
        }
        self.mark(id);
        Ok(EntityId { token: id, sub_queue: entity.sub_queue })
    }

    /// Ends a use of an entity: the token is forgotten with the last one.
    pub(super) fn release(&mut self, id: TokenId, user: User, timers: &mut Timers<S>) -> Released {
        let Some(token) = self.table.get_mut(id.index()) else { return Released::default() };
        match user {
            User::Link => token.links = token.links.saturating_sub(1),
            User::Channel => token.channels = token.channels.saturating_sub(1),
        }
        let mut released = Released { without_links: token.links == 0, request: None };
        if released.without_links && token.channels == 0 {
            released.request = token.request;
            if let Some(names) = self.names.kept_mut() {
                let number = number_of(&token.name, token.subscription.as_ref());
                if names.get(number) == Some(id.index()) {
                    names.remove(number);
                }
            }
            self.table.free(id.index());
            self.marked.clear(id.index());
            self.without_text.clear(id.index());
            self.tried.clear(id.index());
            timers.stop(Timer::Token, id.index());
        }
        released
    }

    /// Whether a sender or receiver uses the entity.
    pub(super) fn has_links(&self, id: TokenId) -> bool {
        self.get(id).is_some_and(|token| token.links > 0)
    }

    /// The address of an entity on the wire.
    pub(super) fn address(&self, entity: EntityId) -> Option<Address<'_>> {
        Some(self.get(entity.token)?.address(entity.sub_queue))
    }

    /// An entity with a sender or receiver; one whose token counts, where there is any.
    pub(super) fn used(&self) -> Option<Entity<S>> {
        let used = || (0..self.table.end()).filter_map(|place| self.table.get(place)).filter(|token| token.links > 0);
        let token = used().find(|token| token.valid).or_else(|| used().next())?;
        Some(Entity { name: token.name.clone(), subscription: token.subscription.clone(), sub_queue: None })
    }

    pub(super) fn is_valid(&self, id: TokenId) -> bool {
        self.get(id).is_some_and(|token| token.valid)
    }

    /// Whether a token is missing that neither a pause nor the credential holds up: the service owes an answer.
    pub(super) fn awaits_service(&self) -> bool {
        let mut tokens = (0..self.table.end()).filter_map(|place| self.table.get(place));
        tokens.any(|token| !token.valid && !token.held_up && token.state != State::Parked)
    }

    /// A new call: a token that could not be put is put again, with the attempts of a call. A pause under way
    /// continues.
    pub(super) fn retry(&mut self, id: TokenId) {
        let parked = self.table.get_mut(id.index()).filter(|token| token.state == State::Parked);
        if let Some(token) = parked {
            token.state = State::Due;
            token.backoff.forget();
            self.mark(id);
        }
    }

    /// A token's pause is over, or its renewal is due.
    pub(super) fn handle_timer(&mut self, place: u32) {
        if let Some(token) = self.table.get_mut(place).filter(|token| token.state == State::Resting) {
            token.state = State::Due;
            self.marked.mark(place);
        }
    }

    /// The connection string has been exchanged: what would not be put again by itself is put with the new one. Tokens
    /// that are signed here follow when they are renewed.
    pub(super) fn exchanged(&mut self, timers: &Timers<S>) {
        for place in 0..self.table.end() {
            let Some(token) = self.table.get_mut(place) else { continue };
            if matches!(token.state, State::Resting | State::Parked) && timers.get(Timer::Token, place).is_none() {
                token.state = State::Due;
                token.backoff.forget();
                self.marked.mark(place);
            }
        }
    }

    /// The connection is gone, and with it all that the service has accepted. Attempts that failed still count: else
    /// each connection would bring as many again.
    pub(super) fn handle_disconnected(&mut self, timers: &mut Timers<S>) {
        self.wanted = false;
        self.pending = false;
        for _ in 0..self.tried.count() {
            let Some(place) = self.tried.take() else { break };
            self.without_text.clear(place);
            let Some(token) = self.table.get_mut(place) else { continue };
            if core::mem::take(&mut token.valid) {
                token.backoff.forget();
            } else if token.state == State::Asked {
                token.backoff.failed();
            }
            (token.request, token.news) = (None, None);
            token.held_up = false;
            if token.state != State::Parked {
                token.state = State::Due;
                self.marked.mark(place);
            }
            timers.stop(Timer::Token, place);
        }
    }

    /// The next action for a token, while there is a connection.
    pub(super) fn poll_effect(&mut self) -> Option<Effect<S>> {
        loop {
            let place = self.marked.take()?;
            let id = TokenId::new(place);
            let Some(token) = self.table.get_mut(place) else { continue };
            let due = token.state == State::Due;
            let hopeless = token.state == State::Parked;
            let news = token.news.take();
            if due && news.is_some() {
                self.marked.mark(place);
            }
            match news {
                Some(News::Usable) => return Some(Effect::Usable(id)),
                Some(News::Refused(failure)) => return Some(Effect::Refused { token: id, failure, hopeless }),
                None if due => return Some(Effect::Put(id)),
                None => {}
            }
        }
    }

    /// A request has been begun for a token that is due.
    pub(super) fn begun(&mut self, id: TokenId, request: u32) {
        self.tried.mark(id.index());
        if let Some(token) = self.table.get_mut(id.index()) {
            token.state = State::Asked;
            token.request = Some(Place::new(request));
            token.held_up = false;
        }
    }

    /// The audience of a token.
    ///
    /// # Errors
    /// One that does not fit.
    // docs/evidence/wire-protocol.md §2.2
    pub(super) fn audience(&self, id: TokenId, settings: &Settings<S>) -> Result<Audience, Failure<S>> {
        let host = settings.parsed()?.host;
        let known = self.get(id).ok_or_else(|| Failure::new(Cause::Closed))?;
        let mut audience = Audience::new();
        write!(audience, "sb://{host}/{}", known.address(None).audience()).map_err(|_| too_long())?;
        Ok(audience)
    }

    /// Puts the token that the connection string gives for `audience` into `text`; returns its end.
    ///
    /// # Errors
    /// One that does not fit, or a connection string without a credential.
    pub(super) fn sign(
        audience: &str,
        settings: &Settings<S>,
        utc: Timestamp,
        text: &mut TokenText,
    ) -> Result<Timestamp, Failure<S>> {
        let unusable = || Failure::new(Cause::Argument(Argument::ConnectionString));
        match settings.parsed()?.credential {
            ConnectionCredential::SharedAccessKey { name, key } => {
                let expiry = utc.after(LIFETIME);
                sas::sign(audience, name, key, expiry, text).map_err(|_| too_long())?;
                Ok(expiry)
            }
            ConnectionCredential::SharedAccessSignature(signature) => {
                text.push_str(signature).map_err(|_| unusable())?;
                Ok(sas::expiry(signature))
            }
            ConnectionCredential::None => Err(unusable()),
        }
    }

    /// The token's text is on its way to the service.
    pub(super) fn sent(&mut self, id: TokenId) {
        self.without_text.clear(id.index());
        if let Some(token) = self.table.get_mut(id.index()) {
            token.held_up = false;
        }
    }

    /// Whether the service refuses a token as expired with these words.
    pub(super) fn says_expired(words: &str) -> bool {
        words.starts_with(EXPIRED)
    }

    /// The service has accepted a token that ends at `expiry`.
    pub(super) fn accepted(&mut self, id: TokenId, expiry: Timestamp, attempt: &mut Attempt<'_, S>) {
        let Some(token) = self.table.get_mut(id.index()) else { return };
        self.tried.mark(id.index());
        token.request = None;
        token.state = State::Resting;
        token.valid = true;
        token.expiry = expiry;
        token.backoff.forget();
        token.news = Some(News::Usable);
        let at = attempt.renewal(token.expiry);
        attempt.timers.set(Timer::Token, id.index(), at);
        self.mark(id);
    }

    /// A token could not be put. While the previous one is valid, attempts continue indefinitely. Afterwards the
    /// waiting calls fail where waiting does not help, and the next call makes the next attempt. `expired` if the
    /// service reports expiry: the next token is signed with a corrected clock.
    #[inline(never)]
    pub(super) fn refused(&mut self, id: TokenId, failure: Failure<S>, expired: bool, attempt: &mut Attempt<'_, S>) {
        let Some(token) = self.table.get_mut(id.index()) else { return };
        self.tried.mark(id.index());
        token.request = None;
        token.valid &= attempt.utc < token.expiry;
        token.backoff.failed();
        let Attempt { now, settings, random, timers, .. } = attempt;
        let may_help = failure.is_transient() || (expired && !settings.takes_tokens());
        if settings.takes_tokens() && !may_help && failure.reason().is_some() {
            // The service refuses the credential's token: requests another.
            self.kept.take();
        }
        let hopeless = !token.valid && (!may_help || token.backoff.is_exhausted(&settings.retry));
        token.state = if hopeless { State::Parked } else { State::Resting };
        // Never at once: the pump would not end.
        let pause = token.backoff.pause(&PAUSES, failure.reason(), random);
        let at = (!hopeless).then(|| now.after(pause));
        timers.set(Timer::Token, id.index(), at);
        token.news = Some(News::Refused(failure));
        self.mark(id);
    }

    /// The local UTC turned out to be wrong: tokens may end sooner than was planned for.
    pub(super) fn replan(&mut self, attempt: &mut Attempt<'_, S>) {
        for place in 0..self.table.end() {
            let Some(token) = self.table.get(place).filter(|token| token.valid) else { continue };
            if let (Some(at), Some(planned)) = (attempt.renewal(token.expiry), attempt.timers.get(Timer::Token, place))
            {
                attempt.timers.set(Timer::Token, place, Some(at.min(planned)));
            }
        }
    }
}

/// The state of the external credential.
impl<S: Storage> Tokens<S> {
    /// A token's request can be sent, and needs a text of the credential's.
    pub(super) fn want_text(&mut self, id: TokenId) {
        self.without_text.mark(id.index());
        self.wanted = !self.pending;
        if let Some(token) = self.table.get_mut(id.index()) {
            token.held_up = true;
        }
    }

    /// The credential has not answered: tokens that wait for it ask again.
    pub(super) fn ask_again(&mut self) {
        if let Some((id, _)) = self.next_without_text() {
            self.want_text(id);
        }
    }

    /// The credential's last token does not suit one: it waits for the next.
    pub(super) fn leave_without_text(&mut self, id: TokenId) {
        self.without_text.mark(id.index());
    }

    /// A token that waits for the credential, and the request that puts it. The mark is taken.
    pub(super) fn next_without_text(&mut self) -> Option<(TokenId, u32)> {
        loop {
            let place = self.without_text.take()?;
            let request =
                self.table.get(place).filter(|token| token.state == State::Asked).and_then(|token| token.request);
            if let Some(request) = request {
                return Some((TokenId::new(place), request.index()));
            }
        }
    }

    /// As many tokens as wait for the credential, or more.
    pub(super) fn count_without_text(&self) -> usize {
        self.without_text.count()
    }

    /// Whether a token that ends at `expiry` is of use: to renew one, it has to end later than that.
    pub(super) fn lasts(&self, id: TokenId, expiry: Timestamp, utc: Timestamp) -> bool {
        expiry > self.get(id).filter(|known| known.valid).map_or(utc, |known| known.expiry.max(utc))
    }

    /// Whether the credential must be asked.
    pub(super) fn wants_credential(&self) -> bool {
        self.wanted
    }

    /// Whether its answer is waited for.
    pub(super) fn awaits_credential(&self) -> bool {
        self.pending
    }

    /// The credential is not asked again until a request needs it.
    pub(super) fn take_wanted(&mut self) -> bool {
        core::mem::take(&mut self.wanted)
    }

    /// Sets whether an answer of the credential is pending.
    pub(super) fn set_pending(&mut self, pending: bool) {
        self.pending = pending;
    }

    /// The token that the credential gave last.
    pub(super) fn take_kept(&mut self) -> Option<(S::Payload, Timestamp)> {
        self.kept.take()
    }

    /// Keeps it for entities to come.
    pub(super) fn keep(&mut self, token: (S::Payload, Timestamp)) {
        self.kept.keep(token);
    }
}

impl<S: Storage> Attempt<'_, S> {
    /// When to renew a token that ends at `expiry`; never where that is given as a whole.
    fn renewal(&self, expiry: Timestamp) -> Option<Instant> {
        let margin = if self.settings.takes_tokens() {
            GIVEN_MARGIN
        } else {
            let parsed = self.settings.parsed().ok()?;
            matches!(parsed.credential, ConnectionCredential::SharedAccessKey { .. }).then_some(SIGNED_MARGIN)?
        };
        Some(renewal(self.now, self.utc, expiry, margin))
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::servicebus::Reason;
    use crate::storage::Heap;

    crate::fixed_storage! {
        type Board { sessions: 1, links: 4, deliveries: 8, receive: 512, transmit: 512, message: 512 }
    }

    const STRING: &str = "Endpoint=sb://a.example/;SharedAccessKeyName=n;SharedAccessKey=a2V5";

    /// Tokens, and what else an attempt needs.
    struct Alone<S: Storage> {
        tokens: Tokens<S>,
        timers: Timers<S>,
        settings: Settings<S>,
        random: Random,
        now: Instant,
        utc: Timestamp,
    }

    impl<S: Storage> Alone<S> {
        fn new(limit: usize) -> Self {
            Self {
                tokens: Tokens::new(limit),
                timers: Timers::new(),
                settings: Settings::new(STRING.into(), 1),
                random: Random::seeded(1),
                now: Instant::from_millis(1_000),
                utc: Timestamp::from_millis(1_700_000_000_000),
            }
        }

        fn parts(&mut self) -> (&mut Tokens<S>, Attempt<'_, S>) {
            let Self { tokens, timers, settings, random, now, utc } = self;
            (tokens, Attempt { now: *now, utc: *utc, settings, random, timers })
        }

        fn refuse(&mut self, token: TokenId, cause: Cause) {
            let (tokens, mut attempt) = self.parts();
            tokens.refused(token, Failure::new(cause), false, &mut attempt);
        }

        fn accept(&mut self, token: TokenId, life: Millis) {
            let utc = self.utc;
            let (tokens, mut attempt) = self.parts();
            tokens.sent(token);
            tokens.accepted(token, utc.after(life), &mut attempt);
        }

        fn put(&mut self) -> TokenId {
            match self.tokens.poll_effect() {
                Some(Effect::Put(token)) => token,
                _ => panic!("no token is due"),
            }
        }

        /// Lets time pass up to the next deadline.
        fn pass(&mut self) -> bool {
            let Some(at) = self.timers.next() else { return false };
            self.utc = self.utc.after(at.left(self.now));
            self.now = at;
            while let Some((timer, place)) = self.timers.pop(self.now) {
                assert_eq!(timer, Timer::Token);
                self.tokens.handle_timer(place);
            }
            true
        }
    }

    fn full_tables_refuse_and_every_refusal_ends<S: Storage>(limit: usize) {
        let mut alone = Alone::<S>::new(limit);
        let names: &[&'static str] = &["a", "b", "c", "d"];
        for &name in names {
            assert!(alone.tokens.acquire(&Entity::queue(name), User::Link).is_ok());
        }
        assert!(alone.tokens.acquire(&Entity::queue("e"), User::Link).is_err(), "the table is full");
        let shared = alone.tokens.acquire(&Entity::queue("A").dead_letter(), User::Link).unwrap();
        assert_eq!(Some(shared.token), alone.tokens.find(&Entity::queue("a")).map(|found| found.token));
        for round in 0..20 {
            let mut effects = 0;
            while let Some(effect) = alone.tokens.poll_effect() {
                effects += 1;
                assert!(effects <= 2 * names.len(), "round {round}: the pump does not end");
                if let Effect::Put(token) = effect {
                    alone.refuse(token, Cause::Timeout);
                }
            }
            if !alone.pass() {
                break;
            }
        }
        assert!(!alone.pass(), "attempts end where no token is valid");
        for &name in names {
            let token = alone.tokens.find(&Entity::queue(name)).unwrap().token;
            alone.tokens.retry(token);
        }
        let mut effects = 0;
        while let Some(effect) = alone.tokens.poll_effect() {
            effects += usize::from(matches!(effect, Effect::Put(_)));
        }
        assert_eq!(effects, names.len(), "a call tries again");
    }

    #[test]
    fn full_tables_refuse_and_every_refusal_ends_on_the_heap() {
        full_tables_refuse_and_every_refusal_ends::<Heap>(4);
    }

    #[test]
    fn full_tables_refuse_and_every_refusal_ends_in_fixed_storage() {
        full_tables_refuse_and_every_refusal_ends::<Board>(4);
    }

    #[test]
    fn a_call_does_not_shorten_the_pause_of_a_token() {
        let mut alone = Alone::<Heap>::new(4);
        let id = alone.tokens.acquire(&Entity::queue("a"), User::Link).unwrap().token;
        assert_eq!(alone.put(), id);
        alone.tokens.begun(id, 0);
        alone.refuse(id, Cause::Timeout);
        let until = alone.timers.get(Timer::Token, id.index());
        assert!(until.is_some_and(|at| at > alone.now));
        alone.tokens.retry(id);
        assert!(matches!(alone.tokens.poll_effect(), Some(Effect::Refused { hopeless: false, .. })));
        assert!(alone.tokens.poll_effect().is_none(), "it waits for its pause");
        assert_eq!(alone.timers.get(Timer::Token, id.index()), until);
    }

    #[test]
    fn a_token_is_renewed_before_its_end_and_counts_until_then() {
        let mut alone = Alone::<Heap>::new(4);
        let id = alone.tokens.acquire(&Entity::queue("a"), User::Link).unwrap().token;
        alone.put();
        alone.accept(id, LIFETIME);
        assert!(matches!(alone.tokens.poll_effect(), Some(Effect::Usable(token)) if token == id));
        assert!(alone.pass(), "a renewal is planned");
        assert_eq!(alone.put(), id);
        alone.refuse(id, Cause::Service(Reason::Unauthorized));
        assert!(alone.tokens.is_valid(id), "the old one counts until its end");
        assert!(matches!(alone.tokens.poll_effect(), Some(Effect::Refused { hopeless: false, .. })));
        let mut rounds = 0;
        while alone.pass() {
            rounds += 1;
            assert!(rounds < 100, "no attempt after the end of the old one");
            alone.put();
            alone.refuse(id, Cause::Service(Reason::Unauthorized));
            alone.tokens.poll_effect();
        }
        assert!(!alone.tokens.is_valid(id));
    }

    #[test]
    fn a_token_goes_with_its_last_user() {
        let mut alone = Alone::<Heap>::new(4);
        let id = alone.tokens.acquire(&Entity::queue("a"), User::Link).unwrap().token;
        alone.tokens.acquire_again(id, User::Channel);
        alone.put();
        alone.tokens.begun(id, 7);
        let released = alone.tokens.release(id, User::Link, &mut alone.timers);
        assert_eq!(released, Released { without_links: true, request: None }, "a channel uses it");
        let released = alone.tokens.release(id, User::Channel, &mut alone.timers);
        assert_eq!(released.request, Some(Place::new(7)), "its request is of no use");
        assert_eq!((alone.tokens.len(), alone.tokens.find(&Entity::queue("a"))), (0, None));
    }

    #[test]
    fn a_credential_that_fails_is_not_the_services_fault() {
        let mut alone = Alone::<Heap>::new(4);
        alone.settings.external_tokens = true;
        let id = alone.tokens.acquire(&Entity::queue("a"), User::Link).unwrap().token;
        alone.put();
        alone.tokens.begun(id, 0);
        assert!(alone.tokens.awaits_service(), "its channel is not there");
        alone.tokens.want_text(id);
        assert!(!alone.tokens.awaits_service());
        assert!(alone.tokens.take_wanted());
        assert_eq!(alone.tokens.next_without_text(), Some((id, 0)));
        alone.refuse(id, Cause::Credential);
        assert!(!alone.tokens.awaits_service(), "nor while it pauses");
        alone.pass();
        alone.tokens.poll_effect();
        alone.put();
        alone.tokens.begun(id, 1);
        assert!(alone.tokens.awaits_service());
    }

    #[test]
    fn a_new_connection_puts_all_again_and_counts_failures() {
        let mut alone = Alone::<Heap>::new(4);
        let id = alone.tokens.acquire(&Entity::queue("a"), User::Link).unwrap().token;
        for _ in 0..4 {
            assert_eq!(alone.put(), id);
            alone.tokens.begun(id, 0);
            alone.tokens.handle_disconnected(&mut alone.timers);
        }
        alone.put();
        alone.refuse(id, Cause::Timeout);
        assert!(matches!(alone.tokens.poll_effect(), Some(Effect::Refused { hopeless: true, .. })));
    }
}
