//! What holds for the sources and documents themselves.

mod errors;
mod evidence;
mod examples;
mod fault_cells;
mod fault_rows;
mod files;
mod first_hours;
mod guide;
mod imports;
mod layers;
mod parts;
mod pinned;
mod public_futures;
mod rustdoc;
mod sentences;
mod versions;
mod wire_names;
