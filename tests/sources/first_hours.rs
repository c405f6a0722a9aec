//! Promises of the packages to a new user (`docs/evidence/field-reports.md` §6): names at the root of a crate, and the
//! declared compiler.

use serde_json::Value;
use servicebus_tests::fault::Judge;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The names in `pub use` statements of a text.
fn exported(text: &str) -> BTreeSet<String> {
    let statements = text.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next());
    statements
        .flat_map(|statement| statement.split(|letter: char| !letter.is_alphanumeric()))
        .map(str::to_owned)
        .collect()
}

/// The roots of the adapters.
const ADAPTERS: [&str; 3] = ["runtime-tokio/src/lib.rs", "runtime-async-std/src/lib.rs", "runtime-embassy/src/lib.rs"];

fn is_without_allocator(adapter: &str) -> bool {
    adapter.contains("embassy")
}

/// The names at the root of an adapter. Those on hosts have the ones of `client_names!`.
fn at_root(adapter: &str) -> BTreeSet<String> {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("the source can be read");
    let mut texts = vec![read(adapter)];
    if !is_without_allocator(adapter) {
        texts.push(read("core/src/client/names.rs"));
    }
    let aliases = texts.iter().flat_map(|text| text.split("pub type ").skip(1));
    let aliases = aliases.filter_map(|rest| rest.split(|letter: char| !letter.is_alphanumeric()).next());
    texts.iter().flat_map(|text| exported(text)).chain(aliases.map(str::to_owned)).collect()
}

#[test]
fn names_that_programs_need_are_at_the_root_of_an_adapter_n13() {
    let mut judge = Judge::new();
    for adapter in ADAPTERS {
        let names = at_root(adapter);
        for name in [
            "RetryPolicy",
            "Timestamp",
            "TimeOutOfRange",
            "BatchError",
            "QueueDescription",
            "RuleDescription",
            "MessageRef",
            "Capacity",
            "SizeLimits",
            "ReceiveMode",
            "Value",
            "WrongValue",
            "DecodeError",
            "Uuid",
        ] {
            // Administration needs an allocator.
            if !name.ends_with("Description") || !is_without_allocator(adapter) {
                judge.equal(format!("{adapter}: {name}"), names.contains(name), true, false);
            }
        }
    }
    judge.finish();
}

/// Names of `servicebus_core::client` and `servicebus_core::servicebus` that no program over an adapter needs.
const OF_CORE: [&str; 16] = [
    // The inside of a client, for those who bring a runtime or a transport.
    "State",
    "Signal",
    "HandlerFuture",
    "HeapToken",
    "Cause",
    "Failure",
    "Offer",
    "SessionChoice",
    // Vocabulary of the wire.
    "Address",
    "BATCH_FORMAT",
    "ConnectionCredential",
    "ConnectionString",
    "ConnectionStringError",
    // What the text of an error says; administration, which returns it, has it in its own module.
    "InvalidName",
    "MAX_ENTITY_NAME",
    "MAX_SUBSCRIPTION_NAME",
];

#[test]
fn every_type_of_the_client_is_at_the_root_of_an_adapter_n13() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("the source can be read");
    let mut judge = Judge::new();
    for adapter in ADAPTERS {
        let at_root = at_root(adapter);
        for module in ["core/src/client/mod.rs", "core/src/servicebus/mod.rs"] {
            let text = read(module);
            for (at, rest) in text.match_indices("\npub use ") {
                // What a feature adds, that of allocation above all, is not on a board.
                let needs_a_feature = text[..at].lines().next_back().is_some_and(|line| line.starts_with("#[cfg("));
                if needs_a_feature && is_without_allocator(adapter) {
                    continue;
                }
                let statement = text[at + rest.len()..].split(';').next().unwrap_or_default();
                let names = statement.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
                for name in names.filter(|name| name.starts_with(char::is_uppercase) && !OF_CORE.contains(name)) {
                    judge.case(
                        format!("{adapter}: {name} of {module}"),
                        at_root.contains(name),
                        |found| *found,
                        |_| false,
                    );
                }
            }
        }
    }
    judge.finish();
}

/// The methods of a type of the client that programs call, from the sources of core.
fn methods(name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let entries = ["core/src/client", "core/src/servicebus", "core/src/servicebus/received"]
        .map(|folder| std::fs::read_dir(root().join(folder)));
    for entry in entries.into_iter().flat_map(|entries| entries.expect("a folder")) {
        let path = entry.expect("an entry").path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for block in text.split("\nimpl<").skip(1) {
            let Some((head, body)) = block.split_once(" {\n") else { continue };
            let head = head.split(" where").next().unwrap_or(head);
            if head.contains(" for ") || !head.contains(&format!(" {name}<")) {
                continue;
            }
            let mut hidden = false;
            for line in body.split("\n}").next().unwrap_or(body).lines() {
                hidden |= line == "    #[doc(hidden)]";
                let Some(rest) = line.strip_prefix("    pub ") else { continue };
                let rest = rest.trim_start_matches("const ").trim_start_matches("async ");
                if let Some(rest) = rest.strip_prefix("fn ")
                    && !std::mem::take(&mut hidden)
                {
                    found.extend(
                        rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().map(str::to_owned),
                    );
                }
            }
        }
    }
    found
}

/// A page of an alias shows the methods of its type by a script at best: its text names them, and has an example.
#[test]
fn the_page_of_each_handle_names_its_methods_and_has_an_example_n14() {
    let names = std::fs::read_to_string(root().join("core/src/client/names.rs")).expect("the source can be read");
    let mut judge = Judge::new();
    for handle in [
        "Client",
        "Sender",
        "Receiver",
        "SessionReceiver",
        "Peeker",
        "LockRenewal",
        "Processor",
        "SessionProcessor",
        "ProcessorControl",
        "ProcessorMessage",
        "RuleManager",
        "TransactionController",
        "Transaction",
        "ReceivedMessage",
        "MessageBatch",
        "Entity",
        "Error",
        "SenderOptions",
        "ReceiverOptions",
        "ProcessorError",
        "SendError",
        "SendAllError",
    ] {
        let place = ["pub type {} =", "pub type {}<"].map(|item| names.find(&item.replace("{}", handle)));
        let before = place.into_iter().flatten().next().and_then(|place| names.get(..place)).expect("an alias");
        let page = before.trim_end().lines().rev().map(str::trim).take_while(|line| line.starts_with(['/', '#']));
        let page: String = page.collect();
        let methods = methods(handle);
        assert!(methods.len() >= 2, "{handle}: {methods:?}");
        for method in methods {
            // For those who bring a runtime, and for adapters.
            let of_runtimes =
                [("Client", "new"), ("Client", "shared_state"), ("MessageBatch", "new"), ("Error", "invalid")];
            if of_runtimes.contains(&(handle, &*method)) {
                continue;
            }
            judge.case(format!("{handle}::{method}"), page.contains(&format!("`{method}`")), |named| *named, |_| false);
        }
        let has_own = ["Client", "Sender", "Receiver", "SessionReceiver", "Peeker", "LockRenewal", "Processor"]
            .into_iter()
            .chain(["SessionProcessor", "RuleManager", "Transaction"])
            .any(|name| name == handle);
        judge.case(format!("{handle}: an example"), !has_own || page.contains("no_run"), |has| *has, |_| false);
    }
    judge.finish();
}

/// The public structures and enumerations of the client, by name, with the files that define them.
fn defined() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut open = vec![root().join("core/src/servicebus"), root().join("core/src/client")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source");
            let file = path.strip_prefix(root()).expect("in the tree").display().to_string();
            for rest in ["pub struct ", "pub enum "].iter().flat_map(|item| text.split(item).skip(1)) {
                let name = rest.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
                found.entry(name.to_owned()).or_default().push(file.clone());
            }
        }
    }
    found
}

#[test]
fn a_name_that_programs_need_means_one_type_n13() {
    let defined = defined();
    let mut judge = Judge::new();
    for name in [
        "Rule",
        "RuleFilter",
        "RuleDescription",
        "RuleRef",
        "RuleProperties",
        "CorrelationRuleFilterRef",
        "CorrelationRuleFilter",
        "SqlRuleFilter",
        "CreateRuleOptions",
        "RetryPolicy",
        "MessageRef",
        "SqlRuleAction",
        "BatchError",
    ] {
        let files = defined.get(name).unwrap_or_else(|| panic!("{name} is gone"));
        judge.case(name, files, |files| files.len() == 1, |_| false);
    }
    judge.finish();
}

/// The adapters for hosts, which have the same features.
const HOSTS: [&str; 2] = ["runtime-tokio", "runtime-async-std"];

/// Their features besides those of runtimes.
const FEATURES: [&str; 16] = [
    "administration",
    "aws-lc-rs",
    "azure-identity",
    "bundled-roots",
    "chrono",
    "defmt",
    "jiff",
    "platform-roots",
    "proxy",
    "ring",
    "serde",
    "stream",
    "time",
    "tracing",
    "uuid",
    "websockets",
];

#[test]
fn logging_is_a_feature_of_each_adapter_n5() {
    let mut judge = Judge::new();
    for adapter in HOSTS {
        let manifest = std::fs::read_to_string(root().join(adapter).join("Cargo.toml")).expect("a manifest");
        let features = manifest.split("[features]").nth(1).and_then(|rest| rest.split("\n[").next()).expect("features");
        for name in FEATURES {
            let found = features.lines().any(|line| line.starts_with(&format!("{name} = ")));
            judge.case(format!("{adapter}: {name}"), found, |found| *found, |_| false);
        }
    }
    judge.finish();
}

/// Where a user looks for the target that events are logged under, to write a filter such as `servicebus=debug`.
#[test]
fn the_target_of_events_is_documented_n5() {
    let mut judge = Judge::of_few(3, "one place for the core and one for each adapter");
    let places: [&[&str]; 3] = [
        &["core/src/lib.rs", "core/README.md"],
        &["runtime-tokio/src/lib.rs", "runtime-tokio/README.md"],
        &["runtime-async-std/src/lib.rs", "runtime-async-std/README.md"],
    ];
    for files in places {
        let texts: Vec<_> = files.iter().filter_map(|file| std::fs::read_to_string(root().join(file)).ok()).collect();
        // A sentence about the target, or a filter that names it.
        let is_named = |line: &str| {
            let target = line.contains("target") && (line.contains("`servicebus`") || line.contains("\"servicebus\""));
            target
                || ["error", "warn", "info", "debug", "trace"]
                    .iter()
                    .any(|level| line.contains(&format!("servicebus={level}")))
        };
        let lines = texts
            .iter()
            .flat_map(|text| text.lines())
            .filter(|line| !line.starts_with("    "))
            .filter(|line| is_named(line))
            .count();
        judge.case(files[0], lines, |lines| *lines > 0, |_| false);
    }
    judge.finish();
}

/// A version such as `1.90` or `1.88.0` as numbers.
fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().expect("a number")).collect()
}

#[test]
fn the_declared_compiler_is_new_enough_for_every_dependency_n10() {
    let version_of_rustc = Command::new("rustc").arg("-vV").output().expect("rustc");
    let version_of_rustc = String::from_utf8(version_of_rustc.stdout).expect("text");
    let host = version_of_rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    // Only what this host builds has been fetched.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--all-features"])
        .args(["--filter-platform", host])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("its JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> =
        list(&metadata["packages"]).into_iter().map(|package| (text(&package["id"]), package)).collect();
    let nodes: BTreeMap<String, Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().map(|node| (text(&node["id"]), node)).collect();
    let mut judge = Judge::new();
    for (id, package) in packages.iter().filter(|(_, package)| {
        package["source"].is_null() && package["publish"].as_array().is_none_or(|registries| !registries.is_empty())
    }) {
        let declared = text(&package["rust_version"]);
        let (mut open, mut seen) = (vec![id.clone()], BTreeSet::new());
        let mut newer = Vec::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            let needs = text(&packages[&id]["rust_version"]);
            if !needs.is_empty() && version(&needs) > version(&declared) {
                newer.push(format!("{} needs {needs}", text(&packages[&id]["name"])));
            }
            for dependency in list(&nodes[&id]["deps"]) {
                // `null` is an ordinary dependency; others are of tests and build scripts.
                if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                    open.push(text(&dependency["pkg"]));
                }
            }
        }
        judge.case(text(&package["name"]), newer, Vec::is_empty, |_| false);
    }
    judge.finish();
}

/// TLS, WebSockets, proxies and HTTP are core's: an adapter of a host has sockets, time and tasks.
#[test]
fn an_adapter_of_a_host_has_fewer_than_500_lines_of_code() {
    for adapter in HOSTS {
        let mut paths = Vec::new();
        crate::public_futures::sources(&root().join(adapter).join("src"), &mut paths);
        let texts: Vec<_> = paths.iter().map(|path| std::fs::read_to_string(path).expect("a source")).collect();
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let lines: usize = texts.iter().map(|text| text.lines().filter(is_code).count()).sum();
        println!("{adapter}: {lines} lines of code");
        assert!((100..500).contains(&lines), "{adapter}: {lines} lines of code");
    }
}
