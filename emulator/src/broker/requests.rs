//! Requests of the management API: which namespace each is for, and what it means for connections.

use super::shared::Shared;
use super::{Broker, Clock, NamespaceId};
use crate::management::{self, Authority, Order, Signers};
use servicebus_core::servicebus::administration::{Request, Response};

impl Broker {
    /// The namespace that a request of the management API is for: that of the host that it names, else the default one.
    fn namespace_of_request(&self, request: &Request) -> NamespaceId {
        self.namespaces.at_host(request.headers.get("Host").unwrap_or_default()).unwrap_or_default()
    }

    /// Answers a request of the management API; what follows from it for connections happens before this returns.
    /// `scheme` is the one that the client used, `http` or `https`. The emulator has requests of its own, which its README
    /// lists under "Management endpoint".
    ///
    /// # Examples
    /// ```
    /// # use servicebus_core::time::{Duration, Instant, Timestamp};
    /// # use servicebus_emulator::Emulator;
    /// # use servicebus_emulator::broker::*;
    /// # use servicebus_core::servicebus::administration::{Method, Request};
    /// # let clock = Clock { now: Instant::ZERO, utc: Timestamp::from_secs(1_795_000_000) };
    /// # let mut broker = Emulator::builder().queue("orders").broker(clock)?;
    /// let request = Request {
    ///     method: Method::Get,
    ///     path_and_query: "/orders?api-version=2021-05".into(),
    ///     headers: Default::default(),
    ///     body: Vec::new(),
    /// };
    /// assert_eq!(broker.manage(clock, "http", &request).status, 401);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn manage(&mut self, clock: Clock, scheme: &str, request: &Request) -> Response {
        self.manage_from(clock, scheme, request, false).0
    }

    /// Answers a request of the management API, with the text of the status line where it is not the status's own. A
    /// client on this machine (`local`) may read counters and metrics without a token.
    #[doc(hidden)]
    pub fn manage_from(
        &mut self,
        clock: Clock,
        scheme: &str,
        request: &Request,
        local: bool,
    ) -> (Response, Option<String>) {
        let id = self.namespace_of_request(request);
        self.advance(id, clock);
        // Who may manage a further namespace sees nothing of the others.
        let sees_all = local || id == NamespaceId::default();
        let statistics = if sees_all { self.statistics() } else { self.statistics_of(id) };
        let shared = self.namespaces.get_mut(id);
        let own = management::is_own(&shared.namespace, request);
        let throttled = !own && shared.injected().is_some();
        let Shared { keys, accept_jwt, names, namespace, management, .. } = shared;
        let signers = Signers { keys, accept_jwt: *accept_jwt, names, id };
        let authority = Authority { signers, throttled, statistics, local };
        let mut response = management.handle(namespace, authority, scheme, request, clock.utc);
        let (order, reason_phrase) = (management.take_order(), management.take_reason_phrase());
        self.run_signals(id, clock);
        match order {
            Some(Order::CloseConnections) => {
                for connection in self.connections_of(id) {
                    self.close_connection(connection, clock);
                }
            }
            Some(Order::Detach(path)) => self.force_detach_in(id, &path, clock),
            Some(Order::Metrics) => {
                let page = if sees_all { self.metrics() } else { self.metrics_of(id) };
                response.body = page.into_bytes();
            }
            None => {}
        }
        let (method, path) = (request.method, request.path_and_query.as_str());
        tracing::debug!(?method, path, status = response.status, "management");
        (response, reason_phrase)
    }

    /// Whether a request of the management API shows a token that grants anything. It is asked before its body is kept.
    #[doc(hidden)]
    pub fn is_authorized(&self, clock: Clock, request: &Request) -> bool {
        let id = self.namespace_of_request(request);
        let Shared { namespace, keys, accept_jwt, names, .. } = self.namespaces.get(id);
        let signers = Signers { keys, accept_jwt: *accept_jwt, names, id };
        management::is_authorized(namespace, signers, request, clock.utc)
    }
}
