//! Puts the time of the build into the image: the clock before the first answer of a time server.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo:rerun-if-env-changed=SERVICEBUS_CONNECTION_STRING");
    // A file that never exists: cargo runs this at each build, and the time is the last one's.
    println!("cargo:rerun-if-changed=always");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    println!("cargo:rustc-env=BUILT_AT={now}");
}
