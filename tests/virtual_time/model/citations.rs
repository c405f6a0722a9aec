//! Each rule of the model cites evidence that exists.

use servicebus_tests::evidence;
use std::collections::BTreeSet;
use std::path::Path;

/// How the ids of rows begin.
const PREFIXES: [&str; 17] = [
    "SND", "SCH", "PEK", "RAD", "SET", "DEF", "DLQ", "SES", "LCK", "RUL", "TXN", "DUP", "FWD", "ADM", "CRD", "ERR", "F",
];

/// The comments of a file as one text.
fn comments(source: &str) -> String {
    let lines = source.lines().map(str::trim).filter_map(|line| line.strip_prefix("//"));
    lines.map(|line| line.trim_start_matches(['/', '!']).trim()).collect::<Vec<_>>().join(" ")
}

fn ids(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    let is_id = |word: &&str| {
        PREFIXES.iter().any(|prefix| {
            word.strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
        })
    };
    words.filter(is_id).map(str::to_owned).collect()
}

/// Whether a paper has a section: `§8` is the heading `## 8. …`, `§7.3` is `### 7.3 …`.
fn has_section(paper: &str, section: &str) -> bool {
    paper.lines().filter_map(|line| line.strip_prefix("##")).any(|heading| {
        heading
            .trim_start_matches('#')
            .trim()
            .split([' ', ':'])
            .next()
            .is_some_and(|number| number.trim_end_matches('.') == section)
    })
}

#[test]
fn every_citation_of_the_model_exists() {
    let rows = ["pinned-behaviour.md", "field-reports.md"].map(evidence::document).join("\n");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model");
    let files = [folder.join("driver"), folder].map(|folder| evidence::files(&folder)).concat();
    let mut cited = 0;
    for (name, bytes) in files {
        let text = comments(std::str::from_utf8(&bytes).expect("text"));
        for id in ids(&text) {
            assert!(rows.contains(&format!("| {id} |")), "{name} cites {id}, which is no row");
            cited += 1;
        }
        for citation in text.split("docs/evidence/").skip(1) {
            let (paper, rest) = citation.split_once(".md").expect("a paper");
            let paper = evidence::document(&format!("{paper}.md"));
            let rest = rest.trim_start();
            if let Some(section) = rest.strip_prefix('§') {
                let end =
                    section.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(section.len());
                let number = section[..end].trim_end_matches('.');
                assert!(has_section(&paper, number), "{name} cites §{number}, which is no section");
                cited += 1;
            } else if let Some(words) = rest.strip_prefix('"') {
                let words = words.split('"').next().expect("words");
                assert!(paper.contains(words), "{name} cites {words:?}, which is not in the paper");
                cited += 1;
            } else {
                let id = rest.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or("");
                assert!(!ids(id).is_empty(), "{name} cites {id:?}, which is neither a row nor a section");
            }
        }
    }
    println!("{cited} citations");
    assert!(cited >= 80, "{cited} citations");
}
