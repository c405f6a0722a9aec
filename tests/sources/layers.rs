//! Folders are layers and arrows point one way: `wire ← engine ← servicebus ← machine ← client ← driver`, `storage`
//! and `time` below all of them. The four below the client do no I/O, read no clock and know no executor.

use super::imports::Imports;
use std::path::{Path, PathBuf};

/// What each layer of the core may name: itself and what lies below it.
const LAYERS: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("random", &[]),
    ("log", &[]),
    ("wire", &["time"]),
    // Storage holds encoded values, so it knows how they are appended, and nothing else of the wire.
    ("storage", &["wire", "time"]),
    ("engine", &["wire", "storage", "time", "random", "log"]),
    ("servicebus", &["engine", "wire", "storage", "time", "random", "log"]),
    ("machine", &["servicebus", "engine", "wire", "storage", "time", "random", "log"]),
];

/// Layers in which nothing waits, asks for the time, or spawns.
const PURE: [&str; 7] = ["time", "random", "wire", "storage", "engine", "servicebus", "machine"];

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/src");

/// The files of a layer without comments and unit tests; of the whole core with an empty name.
fn sources(layer: &str) -> Vec<(PathBuf, String)> {
    fn collect(path: &Path, found: &mut Vec<PathBuf>) {
        if path.is_dir() {
            for entry in std::fs::read_dir(path).expect("the folder can be read") {
                collect(&entry.expect("the folder can be read").path(), found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.to_owned());
        }
    }
    let root = Path::new(ROOT);
    let mut found = Vec::new();
    for path in [root.join(layer), root.join(layer).with_extension("rs")] {
        if path.exists() {
            collect(&path, &mut found);
        }
    }
    // Unit tests may do as they like.
    found.retain(|path| {
        let below = path.strip_prefix(root).expect("a file of the core");
        !below.iter().any(|part| part == "tests" || part == "tests.rs")
    });
    assert!(!found.is_empty(), "the layer {layer} is gone");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        (path, code.join("\n"))
    };
    found.into_iter().map(read).collect()
}

fn imports() -> Imports {
    let relative = |path: PathBuf| {
        path.strip_prefix(ROOT).map(|path| path.to_string_lossy().into_owned()).expect("a file of the core")
    };
    Imports::read(sources("").into_iter().map(|(path, code)| (relative(path), code)))
}

#[test]
fn no_files_import_each_other() {
    let imports = imports();
    let mut report = String::new();
    for (files, ties) in imports.circles() {
        report += &format!("a circle of {} files:\n    {}\n", files.len(), ties.join("\n    "));
    }
    assert!(report.is_empty(), "{report}");
}

/// The parts of the client machine and their tables. Parts name one another's entries by the ids in `machine/id.rs`, and
/// the machine by nothing.
const PARTS: &[(&str, &str)] = &[
    ("machine/calls.rs", "Calls"),
    ("machine/channels.rs", "Channels"),
    ("machine/credit.rs", "Credit"),
    ("machine/link_up.rs", "LinkUp"),
    ("machine/links.rs", "Links"),
    ("machine/lock_renewals.rs", "LockRenewals"),
    ("machine/routes.rs", "Routes"),
    ("machine/service_clock.rs", "ServiceClock"),
    ("machine/session_locks.rs", "SessionLocks"),
    ("machine/settlement.rs", "Settlement"),
    ("machine/slot_wait.rs", "SlotWait"),
    ("machine/timers.rs", "Timers"),
    ("machine/tokens.rs", "Tokens"),
];

/// Files of the client machine that have no state: names and shapes that parts and wiring share.
const VOCABULARY: &[&str] = &[
    "machine/attachment.rs",
    "machine/backoff.rs",
    "machine/effect.rs",
    "machine/id.rs",
    "machine/owner.rs",
    "machine/product.rs",
    "machine/renewal_end.rs",
    "machine/request_message.rs",
    "machine/settings.rs",
    "machine/size_limits.rs",
];

/// Whether a file is a part's own, or in the folder of its name.
fn is_of(path: &Path, part: &str) -> bool {
    let folder = part.trim_end_matches(".rs");
    path.ends_with(part) || path.parent().is_some_and(|parent| parent.ends_with(folder))
}

/// What all parts may use.
const SHARED: [&str; 2] = ["machine/service_clock.rs", "machine/timers.rs"];

#[test]
fn parts_of_the_machine_know_only_ids_of_each_other() {
    let imports = imports();
    let codes = sources("machine");
    for (part, table) in PARTS {
        for (path, code) in codes.iter().filter(|(path, _)| is_of(path, part)) {
            let name = path.strip_prefix(ROOT).expect("a file of the core").to_string_lossy();
            for imported in imports.of(&name) {
                let other = PARTS.iter().any(|(other, _)| other != part && *other == imported);
                assert!(!other || SHARED.contains(&imported), "{name} imports {imported}");
            }
            assert!(!words(code).any(|word| word == "ClientMachine"), "{name} knows the machine");
        }
        let (_, code) = codes.iter().find(|(path, _)| path.ends_with(part)).expect("its file");
        let declared = ["<", " "].map(|end| format!("struct {table}{end}"));
        let (_, fields) = declared.iter().find_map(|name| code.split_once(name.as_str())).expect("the part's table");
        let (fields, _) = fields.split_once("\n}").expect("the end of a struct");
        assert!(!words(fields).any(|word| word == "pub"), "{part}: fields of {table} are not private");
    }
}

/// What is no part is wiring, by calls from part to part, or vocabulary.
#[test]
fn wiring_of_the_machine_owns_no_table() {
    let is_part = |path: &Path| PARTS.iter().any(|(part, _)| is_of(path, part)) || path.ends_with("machine/mod.rs");
    for (path, code) in sources("machine") {
        if is_part(&path) {
            continue;
        }
        let wires = code.contains("impl<S: Storage> ClientMachine<S>");
        let is_vocabulary = VOCABULARY.iter().any(|file| path.ends_with(file));
        assert!(
            wires != is_vocabulary,
            "{}: neither a part, nor wiring, nor vocabulary, or two of these",
            path.display()
        );
        for word in words(&code) {
            let table = ["TableOf", "MarksOf", "Slots", "Beside", "Chain", "Joint"].contains(&word);
            assert!(!table, "{} has a table of its own: {word}", path.display());
        }
    }
}

/// The identifiers of some code, in order.
fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

#[test]
fn arrows_point_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/lib.rs");
    let text = std::fs::read_to_string(root).expect("the file can be read");
    let modules: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ").or(line.trim().strip_prefix("mod ")))
        .map(|rest| rest.trim_end_matches(';'))
        .collect();
    for (layer, below) in LAYERS {
        for (path, code) in sources(layer) {
            for module in &modules {
                if module == layer || below.contains(module) {
                    continue;
                }
                for way in ["crate::", "super::super::"] {
                    let arrow = format!("{way}{module}");
                    let named = code.match_indices(&arrow).any(|(at, _)| {
                        !code[at + arrow.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
                    });
                    assert!(!named, "{} names {arrow}, which is not below {layer}", path.display());
                }
            }
            assert!(!code.contains("use crate::{"), "{}: one module to a use, so that arrows show", path.display());
        }
    }
}

#[test]
fn nothing_below_the_client_waits_or_asks_for_the_time() {
    for layer in PURE {
        for (path, code) in sources(layer) {
            for word in words(&code) {
                let banned = [
                    "async",
                    "await",
                    "Waker",
                    "Future",
                    "embedded_io",
                    "embedded_io_async",
                    "tokio",
                    "spawn",
                    "std",
                    "SystemTime",
                    "thread",
                ];
                assert!(!banned.contains(&word), "{} says {word}", path.display());
            }
        }
    }
}

#[test]
fn the_wire_knows_no_storage() {
    for (path, code) in sources("wire") {
        assert!(!words(&code).any(|word| word == "Storage"), "{} has a storage parameter", path.display());
    }
}

#[test]
fn the_core_has_no_unsafe_code_and_no_standard_library() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/lib.rs");
    let text = std::fs::read_to_string(root).expect("the file can be read");
    assert!(text.contains("#![no_std]") && text.contains("#![forbid(unsafe_code)]"));
}
