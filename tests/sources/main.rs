//! What holds for the sources and documents themselves.

mod first_hours;
mod layers;
mod parts;
mod pinned;
