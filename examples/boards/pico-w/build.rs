//! Puts the memory's layout where the linker looks for it, and the radio's firmware into the image.

use std::path::PathBuf;

/// The radio's files, by the names that embassy's repository gives them, and the constants that they become.
const FILES: [(&str, &str); 3] =
    [("FIRMWARE", "43439A0.bin"), ("COUNTRIES", "43439A0_clm.bin"), ("NVRAM", "nvram_rp2040.bin")];

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    std::fs::write(out.join("memory.x"), include_bytes!("memory.x")).expect("the build's own folder can be written");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-env-changed=CYW43_FIRMWARE");
    let folder = std::env::var_os("CYW43_FIRMWARE").map(PathBuf::from);
    let mut constants = String::new();
    for (name, file) in FILES {
        // Without the files everything compiles, and the image says what is missing.
        let path = match &folder {
            Some(folder) => folder.join(file),
            None => out.join("empty"),
        };
        if folder.is_none() {
            std::fs::write(&path, []).expect("the build's own folder can be written");
        }
        println!("cargo:rerun-if-changed={}", path.display());
        constants += &format!("static {name}: &Aligned<A4, [u8]> = &Aligned(*include_bytes!({path:?}));\n");
    }
    std::fs::write(out.join("radio.rs"), constants).expect("the build's own folder can be written");
}
