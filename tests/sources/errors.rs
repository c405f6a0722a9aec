//! Every public error can be shown, handed on as a `dyn Error` with what it comes from, and extended.

use crate::public_futures::{CRATES, is_public, is_test, name_of, root, sources};
use std::collections::{BTreeMap, BTreeSet};
use syn::{Fields, ImplItem, Item, ItemEnum, ItemStruct, Type};

/// Public types that are named as errors are, and are none.
const NO_ERRORS: [(&str, &str); 1] =
    [("HandlerError", "made by `?` of every error, which an `Error` cannot be; its `error` is the error")];

/// The public types and the implementations of `Error` of all crates.
#[derive(Default)]
struct Errors {
    enums: BTreeMap<String, (String, ItemEnum)>,
    structs: BTreeMap<String, (String, ItemStruct)>,
    /// Whether the implementation has a `source`.
    implemented: BTreeMap<String, bool>,
}

impl Errors {
    fn read() -> Self {
        let mut found = Self::default();
        for (name, folder) in CRATES {
            let mut paths = Vec::new();
            sources(&root().join(folder), &mut paths);
            for path in paths {
                let text = std::fs::read_to_string(&path).expect("the file can be read");
                found.add(
                    name,
                    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())).items,
                );
            }
        }
        found
    }

    fn add(&mut self, of: &str, items: Vec<Item>) {
        for item in items {
            match item {
                Item::Mod(module) if !is_test(&module.attrs) => {
                    self.add(of, module.content.map(|(_, items)| items).unwrap_or_default());
                }
                Item::Enum(item) if is_public(&item.vis) => {
                    self.enums.insert(format!("{of}::{}", item.ident), (of.to_owned(), item));
                }
                Item::Struct(item) if is_public(&item.vis) => {
                    self.structs.insert(format!("{of}::{}", item.ident), (of.to_owned(), item));
                }
                Item::Impl(block) => {
                    let Some((path, _)) = &block.trait_ else { continue };
                    let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
                    let is_error = segments.last().is_some_and(|last| last == "Error")
                        && segments.first().is_none_or(|first| !first.starts_with("embedded"));
                    if let Some(name) = name_of(&block.self_ty).filter(|_| is_error) {
                        let has_source = block
                            .items
                            .iter()
                            .any(|item| matches!(item, ImplItem::Fn(method) if method.sig.ident == "source"));
                        *self.implemented.entry(format!("{of}::{name}")).or_default() |= has_source;
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether a field of this type is an error: one of these, another library's, or a parameter for one.
    fn is_error(&self, kind: &Type) -> bool {
        let Some(name) = name_of(kind) else { return false };
        name == "E"
            || name.ends_with("Error")
            || self.implemented.keys().any(|error| error.ends_with(&format!("::{name}")))
    }
}

/// Errors without a `source` although a field is an error.
const NO_SOURCE: [(&str, &str); 1] =
    [("servicebus-embassy::SpoolError", "the error of a flash need not be an `Error`")];

#[test]
fn every_public_error_is_shown_has_its_source_and_can_grow() {
    let errors = Errors::read();
    let public: BTreeSet<&String> = errors.enums.keys().chain(errors.structs.keys()).collect();
    let mut wrong = Vec::new();
    for name in &public {
        let bare = name.rsplit("::").next().unwrap_or_default();
        let named = bare.ends_with("Error") || bare.ends_with("ErrorCause") || bare.starts_with("Invalid");
        if named && !errors.implemented.contains_key(*name) && !NO_ERRORS.iter().any(|(other, _)| *other == bare) {
            wrong.push(format!("{name} does not implement Error"));
        }
    }
    let mut checked = 0;
    for (name, has_source) in errors.implemented.iter().filter(|(name, _)| public.contains(name)) {
        checked += 1;
        let (grows, fields): (bool, Vec<&Fields>) = match (errors.enums.get(name), errors.structs.get(name)) {
            (Some((_, item)), _) => (
                item.attrs.iter().any(|attribute| attribute.path().is_ident("non_exhaustive")),
                item.variants.iter().map(|variant| &variant.fields).collect(),
            ),
            (None, Some((_, item))) => (
                item.attrs.iter().any(|attribute| attribute.path().is_ident("non_exhaustive"))
                    || item.fields.is_empty()
                    || item.fields.iter().any(|field| !is_public(&field.vis)),
                vec![&item.fields],
            ),
            (None, None) => continue,
        };
        if !grows {
            wrong.push(format!("{name} is not non_exhaustive"));
        }
        let holds = fields.iter().flat_map(|fields| fields.iter()).any(|field| errors.is_error(&field.ty));
        if holds && !has_source && !NO_SOURCE.iter().any(|(other, _)| other == name) {
            wrong.push(format!("{name} holds an error and has no source"));
        }
    }
    println!("{checked} public errors");
    assert!(checked > 40, "only {checked} errors were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
