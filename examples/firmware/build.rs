//! Puts the memory's layout where the linker looks for it; with `defmt` the linker has to keep the texts of its frames apart.

use std::path::PathBuf;

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let target = std::env::var("TARGET").expect("cargo sets it");
    // The Cortex-M0 is emulated with memory in the places of the Cortex-M4's.
    let memory = if target.starts_with("thumbv8m") { "memory/cortex-m33.x" } else { "memory/cortex-m4.x" };
    std::fs::copy(memory, out.join("memory.x")).expect("the build's own folder can be written");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=memory");
    if std::env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo:rustc-link-arg-bins=-Tdefmt.x");
    }
}
