//! What holds for the sources and documents themselves.

mod layers;
mod parts;
mod pinned;
