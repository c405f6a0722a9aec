//! What holds for the sources and documents themselves.

mod layers;
mod pinned;
mod public_futures;
