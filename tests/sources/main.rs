//! What holds for the sources and documents themselves.

mod evidence;
mod fault_rows;
mod files;
mod layers;
mod pinned;
