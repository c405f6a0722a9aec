//! Effects: how parts ask for what another part has to do.

use super::Failure;
use super::id::TokenId;
use crate::storage::Storage;

/// What a part asks of the machine. A part marks its own entry when it changes and names the effect when it is polled;
/// the machine carries each out by calls to other parts (`carry_out`).
///
/// It ends: within one pump an entry only moves forward through its states. It goes back (tries again, asks again) only
/// by a timer or new input.
pub(super) enum Effect<S: Storage> {
    /// Begin the put-token request.
    Put(TokenId),
    /// The service has accepted a token: attach what waits for it.
    Usable(TokenId),
    /// A token could not be put, for this reason.
    Refused {
        token: TokenId,
        failure: Failure<S>,
        /// Waiting does not help: end what waits for it.
        hopeless: bool,
    },
}
