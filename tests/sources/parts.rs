//! Every test program of this package runs in a part of `tests/run`.

use std::path::Path;

#[test]
fn every_test_program_is_in_a_part() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let manifest = std::fs::read_to_string(root.join("tests/Cargo.toml")).expect("the manifest can be read");
    let programs: Vec<&str> = manifest
        .split("[[test]]")
        .skip(1)
        .filter_map(|entry| entry.split_once("name = \"")?.1.split_once('"').map(|(name, _)| name))
        .collect();
    assert!(programs.len() > 8, "{programs:?}");
    let mut words = Vec::new();
    for entry in std::fs::read_dir(root.join("tests/parts")).expect("the parts can be listed") {
        let text = std::fs::read_to_string(entry.expect("a part").path()).expect("a part can be read");
        for line in text.lines().filter(|line| line.contains("rust_tests ")) {
            words.extend(line.split_whitespace().map(str::to_owned));
        }
    }
    let missing: Vec<_> = programs.iter().filter(|program| !words.iter().any(|word| word == *program)).collect();
    assert!(missing.is_empty(), "in no part of tests/run: {missing:?}");
}
