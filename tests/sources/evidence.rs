//! Citations are followed: the document, section, fact and row that a comment, test, script or README names is there.

use crate::files::text_files;
use crate::{fault_rows, fault_rows::is_row};
use servicebus_tests::evidence;
use std::collections::{BTreeMap, BTreeSet};

const FOLDER: &str = "docs/evidence/";

/// What a citation can name in a document.
#[derive(Default)]
struct Document {
    /// `13` and `13.3`.
    sections: BTreeSet<String>,
    /// A chapter, and the number of a fact or of a table's row in it.
    numbers: BTreeSet<(String, u32)>,
    /// `SES44`, `F14`.
    ids: BTreeSet<String>,
}

impl Document {
    fn read(name: &str) -> Self {
        let mut found = Self::default();
        let mut chapter = String::new();
        for line in evidence::document(name).lines() {
            if let Some(title) = line.strip_prefix("##") {
                let number =
                    title.trim_start_matches('#').split_whitespace().next().unwrap_or("").trim_end_matches('.');
                if number.starts_with(|digit: char| digit.is_ascii_digit()) {
                    found.sections.insert(number.to_owned());
                    if !number.contains('.') {
                        number.clone_into(&mut chapter);
                    }
                }
            }
            let cell = line.strip_prefix("| ").and_then(|rest| rest.split(" |").next());
            let number = cell.or(line.split_once(". ").map(|(number, _)| number)).and_then(|text| text.parse().ok());
            found.numbers.extend(number.map(|number| (chapter.clone(), number)));
            found.ids.extend(cell.filter(|cell| is_id(cell)).map(str::to_owned));
        }
        if name == "field-reports.md" {
            found.ids = fault_rows::rows();
        }
        found
    }
}

/// `SES44` or `F14`.
fn is_id(word: &str) -> bool {
    let digits = word.trim_start_matches(|letter: char| letter.is_ascii_uppercase());
    let pinned = word.len() - digits.len() == 3 && digits.parse::<u32>().is_ok();
    pinned || is_row(word)
}

/// What a citation names, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Section(String),
    /// A fact or row of the section before it.
    Number(u32),
    Id(String),
}

/// Reads what is named after a document: `§1 rows 3, 11 and 12`, `ADM65 to ADM68`, `§0, fact 8`. Ranges are filled in.
fn items(text: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let (mut numbered, mut range) = (false, false);
    let spaced = text.replace(',', " ").replace('\u{2013}', " to ");
    for word in spaced.split_whitespace() {
        let ended = word.ends_with([')', ';', ':', '.', '"', '`']);
        let bare = word.trim_end_matches(|letter: char| !letter.is_alphanumeric());
        let item = if let Some(section) = bare.strip_prefix('§') {
            numbered = false;
            Item::Section(section.to_owned())
        } else if is_id(bare) {
            Item::Id(bare.to_owned())
        } else if let Some(number) = bare.parse().ok().filter(|_| numbered) {
            Item::Number(number)
        } else if ["row", "rows", "fact", "facts"].contains(&word) {
            numbered = true;
            continue;
        } else if ["to", "and"].contains(&word) {
            range = word == "to";
            continue;
        } else {
            break;
        };
        if std::mem::take(&mut range) {
            items.extend(items.last().map_or(Vec::new(), |first| between(first, &item)));
        }
        items.push(item);
        if ended {
            break;
        }
    }
    items
}

/// What lies between the ends of a range.
fn between(first: &Item, last: &Item) -> Vec<Item> {
    let split = |id: &str| {
        let at = id.find(|letter: char| letter.is_ascii_digit()).unwrap_or(0);
        (id[..at].to_owned(), id[at..].parse::<u32>().unwrap_or(0))
    };
    match (first, last) {
        (Item::Number(first), Item::Number(last)) => (first + 1..*last).map(Item::Number).collect(),
        (Item::Id(first), Item::Id(last)) => {
            let ((kind, first), (_, last)) = (split(first), split(last));
            (first + 1..last).map(|number| Item::Id(format!("{kind}{number}"))).collect()
        }
        _ => Vec::new(),
    }
}

/// The rows before `of docs/evidence/…`: `Rows 13 to 25 of `.
fn rows_before(text: &str) -> Vec<Item> {
    let Some(text) = text.strip_suffix("of ") else { return Vec::new() };
    let at = text.to_lowercase().rfind("row").filter(|at| text.len() - at < 40);
    at.map_or(Vec::new(), |at| items(&text[at..].to_lowercase()))
}

/// A text without the breaks and comment signs inside of its sentences.
fn joined(text: &str) -> String {
    let line = |line: &str| line.trim().trim_start_matches(['/', '!', '#', '*']).trim_start().to_owned();
    text.lines().map(line).collect::<Vec<_>>().join(" ")
}

/// What is wrong with a citation's items.
fn missing(document: &Document, items: &[Item]) -> Vec<String> {
    let (mut chapter, mut wrong) = (None, Vec::new());
    for item in items {
        let found = match item {
            Item::Section(section) => {
                chapter = section.split('.').next();
                document.sections.contains(section)
            }
            Item::Number(number) => chapter.is_some_and(|of| document.numbers.contains(&(of.to_owned(), *number))),
            Item::Id(id) => document.ids.contains(id),
        };
        if !found {
            wrong.push(format!("{item:?}"));
        }
    }
    wrong
}

#[test]
fn every_citation_names_what_is_in_the_repository_n9() {
    let (mut documents, mut wrong) = (BTreeMap::new(), Vec::new());
    let (mut citations, mut named) = (0, 0);
    for (path, text) in text_files() {
        let text = joined(&text);
        for (at, _) in text.match_indices(FOLDER) {
            let rest = &text[at + FOLDER.len()..];
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && !"-_./".contains(letter));
            let name = rest[..end.unwrap_or(rest.len())].trim_end_matches(['.', '/']);
            // A name that is put together is no citation.
            if name.is_empty() {
                continue;
            }
            citations += 1;
            if !evidence::exists(name) {
                wrong.push(format!("{path}: there is no {FOLDER}{name}"));
            } else if name.ends_with(".md") {
                let document = documents.entry(name.to_owned()).or_insert_with(|| Document::read(name));
                let mut items = items(rest[name.len()..].trim_start_matches('`'));
                items.extend(rows_before(&text[..at]));
                named += items.len();
                wrong.extend(missing(document, &items).iter().map(|item| format!("{path}: {name} has no {item}")));
            }
        }
    }
    println!("{citations} citations of {} documents followed, {named} sections, facts and rows", documents.len());
    assert!(citations > 250 && named > 250 && documents.len() >= 7, "too few were understood");
    assert!(wrong.is_empty(), "{} wrong citations:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_citation_that_leads_nowhere_is_noticed() {
    let wrong = |name: &str, text: &str| missing(&Document::read(name), &items(text)).len();
    assert_eq!(wrong("invariants.md", " §1 rows 24 to 27, §5)"), 3);
    assert_eq!(wrong("wire-protocol.md", " §0 fact 14, §2.6, §11, §6.1)"), 3);
    assert_eq!(wrong("service-evidence.md", " §13.6 and §13.5"), 1);
    assert_eq!(wrong("pinned-behaviour.md", " SES44, XYZ1"), 1);
    assert_eq!(wrong("field-reports.md", " F14, F99, N18, N19"), 2);
}

/// Rows of pinned-behaviour.md are cited by their ids alone as well.
#[test]
fn every_pinned_row_that_is_cited_exists() {
    let document = Document::read("pinned-behaviour.md");
    let kinds: BTreeSet<&str> = document.ids.iter().map(|id| &id[..3]).collect();
    let (mut cited, mut wrong) = (0, Vec::new());
    for (path, text) in text_files() {
        for word in text.split(|letter: char| !letter.is_ascii_alphanumeric()) {
            if word.len() > 3 && word.is_ascii() && is_id(word) && kinds.contains(&word[..3]) {
                cited += 1;
                if !document.ids.contains(word) {
                    wrong.push(format!("{path}: {word}"));
                }
            }
        }
    }
    println!("{cited} ids followed");
    assert!(cited > 400, "only {cited} ids were found");
    assert!(wrong.is_empty(), "rows that are not there:\n{}", wrong.join("\n"));
}

#[test]
fn citations_are_read_as_they_are_written() {
    let section = |text: &str| Item::Section(text.to_owned());
    let id = |text: &str| Item::Id(text.to_owned());
    assert_eq!(items(" §0 fact 3, §2.2, §4.5)."), [section("0"), Item::Number(3), section("2.2"), section("4.5")]);
    assert_eq!(items(" §0, fact 8) and more"), [section("0"), Item::Number(8)]);
    let rows = [section("1"), Item::Number(13), Item::Number(14), Item::Number(15)];
    assert_eq!(items(" §1 rows 13\u{2013}15, docs"), rows);
    assert_eq!(items(" ADM65 to ADM67)"), [id("ADM65"), id("ADM66"), id("ADM67")]);
    assert_eq!(items(" §10: 10000-01-01"), [section("10")]);
    assert_eq!(rows_before("seen in Rows 1 to 3 of "), [Item::Number(1), Item::Number(2), Item::Number(3)]);
    assert!(items(" that is about messaging").is_empty());
}
