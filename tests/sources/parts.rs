//! Every test program of this package runs in a part of `tests/run`, and what has tests is compiled for them.

use std::path::{Path, PathBuf};
use std::process::Command;

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

/// The files of a program or library: its root, and the modules that are declared in them.
fn files_of(root: &Path) -> Vec<PathBuf> {
    let mut files = vec![root.to_owned()];
    let mut at = 0;
    while let Some(file) = files.get(at).cloned() {
        let folder = file.parent().expect("a file is in a folder");
        let stem = file.file_stem().expect("a file has a name");
        let below = if at == 0 || stem == "mod" { folder.to_owned() } else { folder.join(stem) };
        let mut path = None;
        for line in std::fs::read_to_string(&file).expect("a source can be read").lines().map(str::trim) {
            if let Some(named) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
                path = Some(folder.join(named));
            }
            let words: Vec<_> = line.split(' ').collect();
            if let [.., "mod", name] = words[..]
                && let Some(name) = name.strip_suffix(';')
            {
                let places =
                    [path.take(), Some(below.join(format!("{name}.rs"))), Some(below.join(name).join("mod.rs"))];
                files.extend(places.into_iter().flatten().find(|place| place.exists()));
            }
        }
        at += 1;
    }
    files
}

/// What is compiled for tests and has none costs each run a second compilation; what has some and is not compiled for
/// tests has tests that never run.
#[test]
fn what_has_tests_is_compiled_for_them_and_nothing_else() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo describes the workspace");
    let list = |value: &serde_json::Value| value.as_array().cloned().expect("a list");
    let (mut seen, mut wrong) = (0, Vec::new());
    for target in list(&metadata["packages"]).iter().flat_map(|package| list(&package["targets"])) {
        if ["test", "example", "bench", "custom-build"].iter().any(|kind| target["kind"][0] == *kind) {
            continue;
        }
        let files = files_of(Path::new(target["src_path"].as_str().expect("a path")));
        let has_some = files.iter().any(|file| {
            let text = std::fs::read_to_string(file).expect("a source can be read");
            text.lines().any(|line| {
                let line = line.trim_start();
                line.starts_with("#[test]") || line.starts_with("#[tokio::test")
            })
        });
        seen += 1;
        if target["test"] != has_some {
            wrong.push(format!("{}: has tests: {has_some}; is compiled for tests: {}", target["name"], target["test"]));
        }
    }
    assert!(seen > 30, "{seen}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
