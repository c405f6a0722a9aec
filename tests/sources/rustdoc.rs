//! The documentation of the published crates, as it is rendered away from the repository.

use crate::files::text_files;
use crate::public_futures::{CRATES, is_public, name_of, root, sources};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, Item, Lit, Meta};

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

/// Futures that the public ones are made of; they have no page.
const OWN: [&str; 3] = ["Keeping", "Giving", "Attempts"];

/// Whether the storage is named by a path through the runtime.
#[derive(Default)]
struct ByRuntime(bool);

impl<'ast> Visit<'ast> for ByRuntime {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.0 |= names.iter().any(|name| ["StorageOf", "LiteralOf", "DescriptionOf"].contains(&name.as_str()))
            || ["R::Storage", "Runtime::Storage", "Self::Storage"].contains(&names.join("::").as_str());
        visit::visit_path(self, path);
    }

    fn visit_constraint(&mut self, constraint: &'ast syn::Constraint) {
        self.0 |= constraint.ident == "Storage";
        visit::visit_constraint(self, constraint);
    }
}

/// Pages of the adapters show the methods of core's types with `S` for the storage: `Error<S>`. A path through the runtime,
/// also one behind an alias, is shown as `Error<<R as Runtime>::Storage>`, which nobody reads.
#[test]
fn no_method_of_the_client_names_the_storage_by_its_runtime_n14() {
    let mut paths = Vec::new();
    sources(&root().join("core/src/client"), &mut paths);
    let (mut methods, mut wrong) = (0, Vec::new());
    for path in paths {
        let file = syn::parse_file(&std::fs::read_to_string(&path).expect("a source")).expect("it is Rust");
        for item in file.items {
            let Item::Impl(block) = item else { continue };
            let of = name_of(&block.self_ty).unwrap_or_default();
            if OWN.contains(&of.as_str()) {
                continue;
            }
            for item in &block.items {
                let mut by_runtime = ByRuntime::default();
                let name = match item {
                    ImplItem::Fn(method) if is_public(&method.vis) => {
                        by_runtime.visit_signature(&method.sig);
                        &method.sig.ident
                    }
                    ImplItem::Type(named) if block.trait_.is_some() => {
                        by_runtime.visit_type(&named.ty);
                        &named.ident
                    }
                    _ => continue,
                };
                methods += 1;
                if by_runtime.0 {
                    wrong.push(format!("{of}::{name}"));
                }
            }
        }
    }
    assert!(methods > 150, "only {methods} methods were read");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// docs.rs builds each crate with all features, and marks what needs one.
#[test]
fn every_feature_is_on_docs_rs_with_a_mark() {
    for (name, folder) in CRATES {
        let read = |path: String| std::fs::read_to_string(root().join(path)).expect("the file can be read");
        let manifest = read(folder.replace("src", "Cargo.toml"));
        let metadata = manifest.split("[package.metadata.docs.rs]").nth(1).unwrap_or_default();
        assert!(metadata.lines().nth(1) == Some("all-features = true"), "{name}: {metadata:?}");
        let marks = read(format!("{folder}/lib.rs")).contains("\n#![cfg_attr(docsrs, feature(doc_cfg))]\n");
        assert!(marks, "{name} does not mark what needs a feature");
    }
}

fn needs_a_feature(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg"))
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("doc")
            && attribute.parse_args::<syn::Path>().is_ok_and(|argument| argument.is_ident("hidden"))
    })
}

/// The text of a documentation.
fn text_of(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let Meta::NameValue(meta) = &attribute.meta
            && let Expr::Lit(literal) = &meta.value
            && let Lit::Str(line) = &literal.lit
        {
            text += &line.value();
        }
    }
    text
}

/// The public methods of the client's types that need no feature, such as an allocator.
fn methods_on_boards() -> BTreeMap<String, BTreeSet<String>> {
    let parse = |path: &str| {
        let text = std::fs::read_to_string(root().join(path)).expect("a source");
        syn::parse_file(&text).expect("it is Rust").items
    };
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut paths = Vec::new();
    for folder in ["core/src/client", "core/src/servicebus"] {
        let parent = format!("{folder}/mod.rs");
        for item in parse(&parent) {
            if let Item::Mod(module) = item
                && !needs_a_feature(&module.attrs)
            {
                paths.push(format!("{folder}/{}.rs", module.ident));
            }
        }
        paths.push(parent);
    }
    for path in paths {
        for item in parse(&path) {
            let Item::Impl(block) = item else { continue };
            if block.trait_.is_some() || needs_a_feature(&block.attrs) {
                continue;
            }
            for item in &block.items {
                if let ImplItem::Fn(method) = item
                    && is_public(&method.vis)
                    && !needs_a_feature(&method.attrs)
                    && !is_hidden(&method.attrs)
                {
                    let of = name_of(&block.self_ty).unwrap_or_default();
                    found.entry(of).or_default().insert(method.sig.ident.to_string());
                }
            }
        }
    }
    found
}

/// As pages of the adapters for hosts do.
#[test]
fn the_page_of_each_handle_on_a_board_names_its_methods_n14() {
    let methods = methods_on_boards();
    let text = std::fs::read_to_string(root().join("runtime-embassy/src/lib.rs")).expect("a source");
    let (mut pages, mut wrong) = (0, Vec::new());
    for item in syn::parse_file(&text).expect("it is Rust").items {
        let Item::Type(alias) = item else { continue };
        let name = alias.ident.to_string();
        if !methods.contains_key(&name) {
            continue;
        }
        pages += 1;
        let page = text_of(&alias.attrs);
        for method in &methods[&name] {
            // For those who bring a runtime, and for adapters.
            let of_runtimes =
                [("Client", "new"), ("Client", "shared_state"), ("MessageBatch", "new"), ("Error", "invalid")]
                    .contains(&(name.as_str(), method.as_str()));
            if !of_runtimes && !page.contains(&format!("`{method}`")) {
                wrong.push(format!("{name}::{method}"));
            }
        }
    }
    assert!(pages >= 9, "only {pages} pages were read");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
