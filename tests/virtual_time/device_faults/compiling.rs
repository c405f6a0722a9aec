//! Programs that must compile, and those that must not: a package of its own is checked, a binary for each program.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// Checks programs by name; each one's first error, or `None`.
fn check(package: &str, programs: &[(&'static str, String)]) -> BTreeMap<&'static str, Option<String>> {
    // One at a time: they share a target directory.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiling");
    let sources = folder.join(package).join("src/bin");
    // What an earlier run left is of no use.
    _ = std::fs::remove_dir_all(folder.join(package));
    std::fs::create_dir_all(&sources).unwrap();
    let manifest = format!(
        "[package]\nname = \"{package}\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         servicebus-core = {{ path = {core:?}, default-features = false }}\n\
         servicebus-embassy = {{ path = {embassy:?}, default-features = false }}\n",
        core = root.join("core"),
        embassy = root.join("runtime-embassy"),
    );
    std::fs::write(folder.join(package).join("Cargo.toml"), manifest).unwrap();
    std::fs::copy(root.join("Cargo.lock"), folder.join(package).join("Cargo.lock")).unwrap();
    for (name, source) in programs {
        std::fs::write(sources.join(format!("{name}.rs")), source).unwrap();
    }
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet", "--keep-going", "--message-format", "short", "--bins"])
        .current_dir(folder.join(package))
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let errors: BTreeMap<_, _> = programs
        .iter()
        .map(|(name, _)| {
            let place = format!("src/bin/{name}.rs:");
            (*name, text.lines().find(|line| line.starts_with(&place) && line.contains(": error")).map(str::to_owned))
        })
        .collect();
    assert_eq!(output.status.success(), errors.values().all(Option::is_none), "{text}");
    errors
}

fn storage(links: u32, deliveries: u32, message: u32, more: &str) -> String {
    format!(
        "servicebus_core::fixed_storage! {{ pub type Board {{ sessions: 1, links: {links}, deliveries: {deliveries}, \
         receive: 2048, transmit: 2048, message: {message} {more} }} }}\nfn main() {{}}\n"
    )
}

/// Capabilities of fixed storage are off unless they are declared.
#[test]
fn a_call_that_needs_a_capability_which_is_off_does_not_compile() {
    let needs: [(&str, &str, &str); 16] = [
        ("receivers", "receivers: true", "client.receiver(\"q\")"),
        ("schedule", "management: true", "sender.schedule(&\"later\", Timestamp::UNIX_EPOCH)"),
        ("cancel_scheduled", "management: true", "sender.cancel_scheduled(&[1])"),
        ("peek", "management: true", "receiver.peek_each(0, 1, drop)"),
        ("deferred", "management: true", "receiver.receive_deferred_each(&[1], drop)"),
        ("renew_lock", "management: true", "receiver.renew_lock(message)"),
        ("by_token", "management: true", "receiver.settle_by_token(token, Disposition::Complete)"),
        ("purge", "management: true", "receiver.purge(Timestamp::UNIX_EPOCH)"),
        ("rules", "management: true", "client.rule_manager(Entity::subscription(\"t\", \"s\"))"),
        ("taken_over", "management: true", "client.take_over_session(\"q\", \"s\", token)"),
        ("sessions", "session_receivers: 2", "client.accept_session(Entity::queue(\"q\"), \"s\")"),
        ("lock_renewal", "lock_renewal: true", "AutoLockRenewer::default().message(receiver, message)"),
        ("transactions", "transactions: true", "client.transactions(\"q\")"),
        ("prefetch", "prefetch: true", "client.receiver(ReceiverOptions::new(Entity::queue(\"q\")).with_prefetch(1))"),
        (
            "receive_and_delete",
            "receive_and_delete: true",
            "client.receiver(ReceiverOptions::new(Entity::queue(\"q\")).with_mode(Default::default()))",
        ),
        ("external_tokens", "external_tokens: true", "settings.with_external_tokens()"),
    ];
    let program = |keys: &str, call: &str| {
        format!(
            "servicebus_core::fixed_storage! {{ pub type Board {{ links: 4, deliveries: 8, receive: 2048, transmit: 2048, \
             message: 1024, {keys} }} }}\n#[allow(unused)] use servicebus_embassy::*;\n\
             #[allow(unused)] use servicebus_core::servicebus::{{Disposition, Entity, LockToken}};\n\
             pub fn f(client: &Client<Board>, sender: &Sender<Board>, receiver: &Receiver<Board>, \
             message: &mut ReceivedMessage<Board>, token: LockToken, settings: Settings<Board>) {{ _ = {call}; }}\nfn main() {{}}\n"
        )
    };
    let names = needs.map(|(name, _, _)| (name, &*format!("with_{name}").leak(), &*format!("without_{name}").leak()));
    let mut programs = Vec::new();
    for ((_, with, without), (_, key, call)) in names.iter().zip(needs) {
        // Every other one that it goes with.
        let others = ["receivers: true, ", "management: true, ", "session_receivers: 2, "]
            .map(|other| if other.contains(key.trim_end_matches(": true")) { "" } else { other });
        programs.push((*with, program(&format!("{}{key}", others.concat()), call)));
        programs.push((*without, program(&others.concat(), call)));
    }
    // Those that go with nothing else, and those that are declared without what they need.
    programs.push(("alone", program("", "(client.sender(\"q\"), sender.send(&\"reading\"), sender.create_batch())")));
    let contradictions = [
        ("sessions_alone", "session_receivers: 2", "receivers: true"),
        ("prefetch_alone", "prefetch: true", "receivers: true"),
        ("deleting_alone", "receive_and_delete: true", "receivers: true"),
        ("renewal_alone", "lock_renewal: true, receivers: true", "management: true"),
        ("renewal_of_nothing", "management: true, lock_renewal: true, receivers: false", "receivers: true"),
    ];
    programs.extend(contradictions.map(|(name, keys, _)| (name, storage(4, 8, 1024, &format!(", {keys}")))));
    programs.push(("unknown", storage(4, 8, 1024, ", sesions: 2")));
    programs.push(("neither", storage(4, 8, 1024, ", prefetch: maybe")));
    let errors = check("capabilities", &programs);
    for ((_, with, without), (_, key, _)) in names.iter().zip(needs) {
        assert_eq!(errors[with], None);
        let error = errors[without].as_deref().unwrap_or_else(|| panic!("{without} compiles"));
        assert!(error.contains(&format!("add `{key}`")), "{error}");
    }
    assert_eq!(errors["alone"], None);
    for (name, _, key) in contradictions {
        let error = errors[name].as_deref().unwrap_or_else(|| panic!("{name} compiles"));
        assert!(error.contains(&format!("add `{key}`")), "{error}");
    }
    for (name, key) in [("unknown", "sesions"), ("neither", "prefetch")] {
        let error = errors[name].as_deref().expect("it does not compile");
        assert!(error.contains(&format!("`{key}` is no key")), "{error}");
    }
}

/// Sizes that no client can work with: the error says the least that does, which compiles.
#[test]
fn storages_that_cannot_work_do_not_compile_d8() {
    let programs = [
        ("works", storage(4, 8, 1024, ""), ""),
        ("least", storage(3, 4, 512, ", messages: 4"), ""),
        ("engine_alone", storage(1, 1, 16, ", messages: 1, engine_alone: true"), ""),
        ("deliveries_1", storage(4, 1, 1024, ""), "`deliveries` is at least 4"),
        ("deliveries_3", storage(4, 3, 1024, ""), "`deliveries` is at least 4"),
        ("links_2", storage(2, 8, 1024, ""), "`links` is at least 3"),
        ("links_1", storage(1, 8, 1024, ""), "`links` is at least 3"),
        ("message_128", storage(4, 8, 128, ""), "`message` is at least 512"),
        ("message_16", storage(4, 8, 16, ""), "`message` is at least 512"),
        ("messages_1", storage(4, 8, 1024, ", messages: 1"), "`messages` is at least 4"),
        ("deliveries_and_messages_1", storage(4, 1, 1024, ", messages: 1"), "`deliveries` is at least 4"),
    ];
    let errors = check("storages", &programs.clone().map(|(name, program, _)| (name, program)));
    for (name, _, least) in programs {
        let error = errors[name].as_deref().unwrap_or_default();
        assert!(error.contains(least) && error.is_empty() == least.is_empty(), "{name}: {error}");
    }
}

#[test]
fn a_client_disconnects_and_its_resources_are_used_again_d3() {
    let board = "servicebus_core::fixed_storage! { pub type Board { sessions: 1, links: 4, deliveries: 8, \
        receive: 2048, transmit: 2048, message: 1024 } }\nuse servicebus_embassy::{Client, Resources, new};\n\
        use servicebus_core::machine::Settings;\nfn main() {}\n";
    let programs = [
        ("works", format!("{board}pub async fn f(client: Client<Board>) {{ client.close().await }}")),
        ("disconnects", format!("{board}pub async fn f(client: &Client<Board>) {{ client.disconnect().await; }}")),
        (
            "opens_again",
            format!(
                "{board}pub fn f(resources: &'static mut Resources<Board>, utc: &'static servicebus_embassy::FixedUtc) \
                 {{\n  drop(new(resources, Settings::new(\"\", 1), utc));\n  \
                 drop(new(resources, Settings::new(\"\", 2), utc));\n}}"
            ),
        ),
    ];
    let errors = check("resources", &programs);
    for (name, _) in programs {
        assert_eq!(errors[name], None);
    }
}
