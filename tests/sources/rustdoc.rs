//! The documentation of the published crates, as it is rendered away from the repository.

use crate::files::text_files;
use crate::public_futures::CRATES;

/// The lines of a source that rustdoc renders.
fn rendered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_rendered = |line: &str| {
        let line = line.trim_start();
        line.starts_with("//!") || (line.starts_with("///") && !line.starts_with("////")) || line.contains("doc = \"")
    };
    text.lines().enumerate().filter(move |(_, line)| is_rendered(line))
}

/// What a page on docs.rs can lead to is another page, or an address.
#[test]
fn no_page_of_a_published_crate_names_a_path_of_the_repository() {
    let folders = ["docs/", "tests/", "examples/", "benchmarks/", "simulation/", "core/", "emulator/"];
    let (mut pages, mut wrong) = (0, Vec::new());
    for (path, text) in text_files() {
        if !CRATES.iter().any(|(_, folder)| path.starts_with(&format!("{folder}/"))) {
            continue;
        }
        let lines: Vec<(usize, &str)> = match path.rsplit('.').next() {
            Some("rs") => rendered(&text).collect(),
            Some("md") => text.lines().enumerate().collect(),
            _ => continue,
        };
        pages += 1;
        for (number, line) in lines {
            for folder in folders {
                let named = line.match_indices(folder).any(|(at, _)| {
                    // Not within an address or another path, such as that of a Rust item.
                    let before = &line[..at];
                    !before.ends_with(|letter: char| letter.is_alphanumeric() || "/-_.$".contains(letter))
                });
                if named {
                    wrong.push(format!("{path}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(pages > 250, "only {pages} sources were read");
    assert!(wrong.is_empty(), "{} lines lead nowhere:\n{}", wrong.len(), wrong.join("\n"));
}
