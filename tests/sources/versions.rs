//! The versions of embassy's crates: those that the guide names, and one of each in every firmware.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What shares types and statics between a board's drivers and this library.
const ONE_EACH: [&str; 6] = [
    "embassy-executor",
    "embassy-net",
    "embassy-net-driver",
    "embassy-time",
    "embassy-time-driver",
    "embassy-time-queue-utils",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The packages of a lock file with their versions.
fn locked(lock: &Path) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(lock).expect("a lock file can be read");
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for entry in text.split("[[package]]") {
        let value =
            |key: &str| entry.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'));
        if let (Some(name), Some(version)) = (value("name"), value("version")) {
            found.entry(name.to_owned()).or_default().push(version.to_owned());
        }
    }
    found
}

fn firmwares() -> Vec<PathBuf> {
    let examples = root().join("examples");
    let boards = fs::read_dir(examples.join("boards")).expect("the boards can be listed");
    let boards = boards.map(|entry| entry.expect("a board").path());
    let locks = boards.chain([examples.join("firmware")]).map(|folder| folder.join("Cargo.lock"));
    // What boards share has no lock file of its own.
    locks.filter(|lock| lock.exists()).collect()
}

#[test]
fn a_firmware_has_one_version_of_what_shares_statics() {
    let ours = locked(&root().join("Cargo.lock"));
    let firmwares = firmwares();
    assert!(firmwares.len() > 5, "{firmwares:?}");
    for firmware in firmwares {
        let theirs = locked(&firmware);
        for name in ONE_EACH {
            let versions = theirs.get(name).map_or(&[][..], Vec::as_slice);
            assert!(versions.len() <= 1, "{}: {name} {versions:?}", firmware.display());
            if let (Some(ours), Some(version)) = (ours.get(name), versions.first()) {
                assert_eq!(ours.as_slice(), core::slice::from_ref(version), "{}: {name}", firmware.display());
            }
        }
    }
}

#[test]
fn the_guide_names_the_versions_in_use() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest can be read");
    let guide = fs::read_to_string(root().join("runtime-embassy/README.md")).expect("the guide can be read");
    let (_, section) = guide.split_once("\n## Versions\n").expect("the guide has a section on versions");
    let section = section.split_whitespace().collect::<Vec<_>>().join(" ");
    for name in ["embassy-net", "embassy-time", "embedded-io-async", "embedded-storage-async", "embedded-tls"] {
        let line = manifest.lines().find(|line| line.starts_with(&format!("{name} = "))).expect("a dependency");
        let (_, version) = line.split_once("version = \"").expect("a version");
        let minor: Vec<&str> = version.split(['.', '"']).take(2).collect();
        let named = format!("`{name}` {}", minor.join("."));
        assert!(section.contains(&named), "the guide does not say {named}");
    }
    let package = fs::read_to_string(root().join("runtime-embassy/Cargo.toml")).expect("the manifest can be read");
    let (_, compiler) = package.split_once("rust-version = \"").expect("a compiler");
    let compiler = compiler.split('"').next().expect("a compiler");
    assert!(section.contains(&format!("Rust {compiler}")), "the guide does not say Rust {compiler}");
}
