//! Every public item has an example in its documentation: whoever looks an item up sees how it is used.
//!
//! Items are what a user can name: public functions, types, traits, constants and macros of a public module, or handed
//! on by one, and the public methods and constants of such types, unless they are `#[doc(hidden)]`. Variants, fields and
//! the methods of traits are shown at their type. What has none by decision stands in `tests/doc-examples-left-out.tsv`.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::{Attribute, Expr, ImplItem, Item, Lit, Meta, Type, UseTree, Visibility};

const CRATES: [&str; 5] =
    ["core/src", "emulator/src", "runtime-tokio/src", "runtime-async-std/src", "runtime-embassy/src"];

/// The folders whose items have examples: the files in them, not those of folders below.
const COVERED: [&str; 21] = [
    "core/src",
    "core/src/client",
    "core/src/client/administration",
    "core/src/engine",
    "core/src/machine",
    "core/src/servicebus",
    "core/src/servicebus/administration",
    "core/src/storage",
    "core/src/time",
    "core/src/transport",
    "core/src/wire",
    "emulator/src",
    "emulator/src/broker",
    "emulator/src/broker/entities",
    "emulator/src/filter",
    "emulator/src/server",
    "runtime-async-std/src",
    "runtime-embassy/src",
    "runtime-embassy/src/spool",
    "runtime-embassy/src/tls",
    "runtime-tokio/src",
];

const LEFT_OUT: &str = include_str!("../doc-examples-left-out.tsv");

/// The macros that make items with the documentation they are given. What they are given is documented at the top of
/// the invocation, with these words before the name.
const MAKERS: [&str; 6] = ["choice", "composite", "entity", "ids", "names", "requests"];
const BEFORE_A_NAME: [&str; 6] = ["pub", "struct", "enum", "options", "description", "properties"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The path of a module in its crate, then a name.
type Named = (Vec<String>, String);

/// What a file documents.
#[derive(Clone, Debug)]
struct Found {
    file: String,
    /// Such as `Client`, `Client::sender` or `fixed_storage!`.
    item: String,
    /// What has to be reachable for it to be seen; `None` for what is seen wherever it stands.
    of: Option<Named>,
    has_example: bool,
}

/// What is handed on by `use`.
struct Handed {
    name: Option<String>,
    path: Vec<String>,
    is_public: bool,
}

#[derive(Default)]
struct Module {
    /// Whether its parent shows it.
    is_public: bool,
    /// The items, with whether they are public and shown.
    items: BTreeMap<String, bool>,
    handed: Vec<Handed>,
}

/// A crate as it is read.
#[derive(Default)]
struct Crate {
    modules: BTreeMap<Vec<String>, Module>,
    found: Vec<Found>,
    /// The macros that hand documentation on to the items they make.
    makers: BTreeSet<String>,
}

/// Whether a documentation has a block of Rust that is compiled, and is shown.
#[derive(Clone, Copy, Default)]
struct Documented {
    has_example: bool,
    is_hidden: bool,
}

impl Documented {
    fn of(attributes: &[Attribute]) -> Self {
        let mut documented = Self::default();
        let mut lines = String::new();
        for attribute in attributes {
            match &attribute.meta {
                Meta::NameValue(meta) if meta.path.is_ident("doc") => {
                    // What is put together by a macro is a line of code or of prose, and opens no block.
                    if let Expr::Lit(literal) = &meta.value
                        && let Lit::Str(text) = &literal.lit
                    {
                        lines.push_str(&text.value());
                        lines.push('\n');
                    }
                }
                Meta::List(list) if list.path.is_ident("doc") => {
                    documented.is_hidden |= list.tokens.to_string() == "hidden";
                }
                Meta::List(list) if list.path.is_ident("cfg_attr") => {
                    documented.has_example |= list.tokens.to_string().contains("doc = \"```no_run\"");
                }
                _ => {}
            }
        }
        documented.has_example |= has_example(&lines);
        documented
    }

    /// The same from the tokens between the brackets of attributes.
    fn of_tokens(attributes: &[TokenStream]) -> Self {
        let text: String = attributes.iter().map(|attribute| format!("#[{attribute}]\n")).collect();
        let parsed = syn::parse_str::<syn::ItemStruct>(&format!("{text} struct Documented;"));
        parsed.map(|item| Self::of(&item.attrs)).unwrap_or_default()
    }
}

/// Whether a text of Markdown has a block of Rust that is compiled.
fn has_example(text: &str) -> bool {
    let mut open = false;
    for line in text.lines().map(str::trim) {
        let Some(kind) = line.strip_prefix("```") else { continue };
        if !open {
            let words = ["", "rust", "no_run", "should_panic", "compile_fail"];
            if kind.split(',').all(|word| words.contains(&word.trim())) {
                return true;
            }
        }
        open = !open;
    }
    false
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

impl Crate {
    /// Reads a crate from its folder of sources, beginning with `lib.rs`.
    fn read(folder: &str) -> Self {
        let mut read = Self::default();
        read.file(folder, &format!("{folder}/lib.rs"), &[], true);
        read
    }

    fn file(&mut self, folder: &str, path: &str, module: &[String], is_public: bool) {
        let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        self.items(folder, path, module, is_public, file.items);
    }

    fn items(&mut self, folder: &str, path: &str, module: &[String], is_shown: bool, items: Vec<Item>) {
        self.modules.entry(module.to_vec()).or_default().is_public = is_shown;
        for item in items {
            match item {
                Item::Mod(inner) if !is_test(&inner.attrs) => {
                    let shown = is_public(&inner.vis) && !Documented::of(&inner.attrs).is_hidden;
                    let mut of = module.to_vec();
                    of.push(inner.ident.to_string());
                    if let Some((_, items)) = inner.content {
                        self.items(folder, path, &of, shown, items);
                    } else {
                        let files = [".rs", "/mod.rs"].map(|end| format!("{folder}/{}{end}", of.join("/")));
                        let found = files.into_iter().find(|file| root().join(file).exists());
                        self.file(folder, &found.expect("a module has a file"), &of, shown);
                    }
                }
                Item::Use(used) => {
                    let is_public = is_public(&used.vis) && !Documented::of(&used.attrs).is_hidden;
                    let mut paths = Vec::new();
                    expand(&mut Vec::new(), &used.tree, &mut paths);
                    let handed = paths.into_iter().map(|(name, path)| Handed { name, path, is_public });
                    self.modules.get_mut(module).expect("it was entered").handed.extend(handed);
                }
                Item::Fn(item) => self.item(path, module, &item.sig.ident, &item.vis, &item.attrs),
                Item::Struct(item) => self.item(path, module, &item.ident, &item.vis, &item.attrs),
                Item::Enum(item) => self.item(path, module, &item.ident, &item.vis, &item.attrs),
                Item::Union(item) => self.item(path, module, &item.ident, &item.vis, &item.attrs),
                Item::Trait(item) => self.item(path, module, &item.ident, &item.vis, &item.attrs),
                Item::Type(item) => self.item(path, module, &item.ident, &item.vis, &item.attrs),
                Item::Const(item) => self.item(path, module, &item.ident, &item.vis, &item.attrs),
                Item::Impl(block) if block.trait_.is_none() && !is_test(&block.attrs) => {
                    self.block(path, module, block);
                }
                Item::Macro(item) => self.macros(path, module, &item),
                _ => {}
            }
        }
    }

    fn item(&mut self, file: &str, module: &[String], name: &syn::Ident, vis: &Visibility, attributes: &[Attribute]) {
        if !is_test(attributes) {
            self.declare(file, module, &name.to_string(), is_public(vis), Documented::of(attributes));
        }
    }

    fn declare(&mut self, file: &str, module: &[String], name: &str, is_public: bool, documented: Documented) {
        let shown = is_public && !documented.is_hidden;
        self.modules.get_mut(module).expect("it was entered").items.insert(name.to_owned(), shown);
        let (of, has_example) = (Some((module.to_vec(), name.to_owned())), documented.has_example);
        self.found.push(Found { file: file.to_owned(), item: name.to_owned(), of, has_example });
    }

    /// The public methods and constants of a type.
    fn block(&mut self, file: &str, module: &[String], block: syn::ItemImpl) {
        let Type::Path(path) = &*block.self_ty else { return };
        let path: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let Some(name) = path.last().cloned() else { return };
        if Documented::of(&block.attrs).is_hidden {
            return;
        }
        for item in block.items {
            let (visibility, attributes, inner) = match &item {
                ImplItem::Fn(method) => (&method.vis, &method.attrs, &method.sig.ident),
                ImplItem::Const(constant) => (&constant.vis, &constant.attrs, &constant.ident),
                _ => continue,
            };
            let documented = Documented::of(attributes);
            if is_public(visibility) && !documented.is_hidden && !is_test(attributes) {
                // Resolved when all modules are read.
                let mut of = module.to_vec();
                of.extend(path[..path.len() - 1].iter().cloned());
                self.found.push(Found {
                    file: file.to_owned(),
                    item: format!("{name}::{inner}"),
                    of: Some((of, name.clone())),
                    has_example: documented.has_example,
                });
            }
        }
    }

    /// A macro that is defined, or used among items.
    fn macros(&mut self, file: &str, module: &[String], item: &syn::ItemMacro) {
        let tokens = item.mac.tokens.clone();
        let called = item.mac.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        let Some(name) = &item.ident else {
            if MAKERS.contains(&called.as_str()) {
                for (name, documented) in given(tokens) {
                    self.declare(file, module, &name, true, documented);
                }
            } else {
                for made in made(tokens) {
                    self.made(file, module, None, made);
                }
            }
            return;
        };
        let is_exported = item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"));
        let documented = Documented::of(&item.attrs);
        if is_exported && !documented.is_hidden {
            let (item, has_example) = (format!("{name}!"), documented.has_example);
            self.found.push(Found { file: file.to_owned(), item, of: None, has_example });
        }
        for made in made(tokens) {
            // Whoever uses the macro has what an exported one makes.
            self.made(file, module, is_exported.then_some(name), made);
        }
    }

    fn made(&mut self, file: &str, module: &[String], exported: Option<&syn::Ident>, made: Made) {
        let Made { scope, name, documented, is_documented_by_caller } = made;
        if name.starts_with('$') {
            if is_documented_by_caller && scope.is_none() {
                self.makers.insert(file.to_owned());
            }
            return;
        }
        if documented.is_hidden {
            return;
        }
        let item = scope.as_ref().map_or_else(|| name.clone(), |scope| format!("{scope}::{name}"));
        let has_example = documented.has_example;
        let found = |of| Found { file: file.to_owned(), item, of, has_example };
        match (&scope, exported) {
            (Some(scope), None) if !scope.starts_with('$') => {
                self.found.push(found(Some((module.to_vec(), scope.clone()))));
            }
            (None, None) => self.declare(file, module, &name, true, documented),
            _ => self.found.push(found(None)),
        }
    }

    /// The item that a path names, seen from a module: the module, or the module and the name.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<(Vec<String>, Option<String>)> {
        let mut at = from.to_vec();
        let mut rest = path;
        match path.first().map(String::as_str) {
            Some("crate") => (at, rest) = (Vec::new(), &path[1..]),
            Some("self") => rest = &path[1..],
            _ => {}
        }
        while let [next, further @ ..] = rest {
            rest = further;
            if next == "super" {
                at.pop();
                continue;
            }
            let mut child = at.clone();
            child.push(next.clone());
            if self.modules.contains_key(&child) {
                at = child;
                continue;
            }
            let module = self.modules.get(&at)?;
            if module.items.contains_key(next) {
                return rest.is_empty().then(|| (at, Some(next.clone())));
            }
            let handed = module.handed.iter().filter(|_| depth < 8);
            let found =
                handed.filter(|handed| handed.name.as_ref().is_none_or(|name| name == next)).find_map(|handed| {
                    let mut path = handed.path.clone();
                    if handed.name.is_none() {
                        path.push(next.clone());
                    }
                    path.extend(rest.iter().cloned());
                    self.resolve(&at, &path, depth + 1)
                });
            return found;
        }
        Some((at, None))
    }

    /// What can be named from outside.
    fn reachable(&self) -> BTreeSet<Named> {
        let (mut reached, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut left = vec![Vec::new()];
        while let Some(module) = left.pop() {
            if !seen.insert(module.clone()) {
                continue;
            }
            let Some(contents) = self.modules.get(&module) else { continue };
            let children = self
                .modules
                .iter()
                .filter(|(path, child)| child.is_public && path.len() == module.len() + 1 && path.starts_with(&module));
            left.extend(children.map(|(path, _)| path.clone()));
            let shown = contents.items.iter().filter(|(_, shown)| **shown);
            reached.extend(shown.map(|(name, _)| (module.clone(), name.clone())));
            for handed in contents.handed.iter().filter(|handed| handed.is_public) {
                match self.resolve(&module, &handed.path, 0) {
                    Some((of, Some(name))) if self.modules[&of].items[&name] => {
                        reached.insert((of, name));
                    }
                    Some((of, None)) => left.push(of),
                    _ => {}
                }
            }
        }
        reached
    }

    /// The items that a user sees, in the order in which they were read.
    fn seen(&self) -> Vec<Found> {
        let reachable = self.reachable();
        let is_seen = |found: &&Found| {
            let Some((module, name)) = &found.of else { return true };
            match self.resolve(module, std::slice::from_ref(name), 0) {
                Some((module, Some(name))) => reachable.contains(&(module, name)),
                // A type that was not found, as one that another crate's macro makes: better asked for than overlooked.
                _ => {
                    let is_declared = self.modules.values().any(|module| module.items.contains_key(name));
                    !is_declared || reachable.iter().any(|(_, other)| other == name)
                }
            }
        };
        self.found.iter().filter(is_seen).cloned().collect()
    }
}

/// Takes a tree of `use` apart: the name, which a glob does not have, and the path.
fn expand(before: &mut Vec<String>, tree: &UseTree, found: &mut Vec<(Option<String>, Vec<String>)>) {
    let mut add = |name: String, last: String| {
        let mut path = before.clone();
        if last == "self" {
            let name = if name == "self" { path.last().cloned().unwrap_or_default() } else { name };
            found.push((Some(name), path));
        } else {
            path.push(last);
            found.push((Some(name), path));
        }
    };
    match tree {
        UseTree::Name(name) => add(name.ident.to_string(), name.ident.to_string()),
        UseTree::Rename(renamed) => add(renamed.rename.to_string(), renamed.ident.to_string()),
        UseTree::Glob(_) => found.push((None, before.clone())),
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            expand(before, &path.tree, found);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| expand(before, tree, found)),
    }
}

/// A public item among the tokens of a macro.
struct Made {
    /// The type of the `impl` block.
    scope: Option<String>,
    name: String,
    documented: Documented,
    is_documented_by_caller: bool,
}

/// The public items that tokens spell out.
fn made(tokens: TokenStream) -> Vec<Made> {
    let mut found = Vec::new();
    scan(tokens, None, &mut found);
    found
}

fn word(token: Option<&TokenTree>) -> Option<String> {
    if let Some(TokenTree::Ident(word)) = token { Some(word.to_string()) } else { None }
}

fn group(token: Option<&TokenTree>, delimiter: Delimiter) -> Option<TokenStream> {
    match token {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group.stream()),
        _ => None,
    }
}

fn is_mark(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

/// A name, which may be a macro's parameter, and the number of its tokens.
fn name_at(tokens: &[TokenTree], at: usize) -> Option<(String, usize)> {
    if is_mark(tokens.get(at), '$') {
        return word(tokens.get(at + 1)).map(|name| (format!("${name}"), 2));
    }
    word(tokens.get(at)).map(|name| (name, 1))
}

fn scan(tokens: TokenStream, scope: Option<&str>, found: &mut Vec<Made>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let (mut at, mut attributes, mut by_caller) = (0, Vec::new(), false);
    while at < tokens.len() {
        let next = tokens.get(at + 1);
        if is_mark(tokens.get(at), '#')
            && let Some(attribute) = group(next, Delimiter::Bracket)
        {
            attributes.push(attribute);
            at += 2;
            continue;
        }
        if is_mark(tokens.get(at), '$')
            && let Some(repeated) = group(next, Delimiter::Parenthesis)
        {
            if repeated.to_string().replace(' ', "").starts_with("#[$") {
                by_caller = true;
                at += 3;
                continue;
            }
            scan(repeated, scope, found);
        } else if word(tokens.get(at)).as_deref() == Some("impl") {
            let length = tokens[at..].iter().position(|token| group(Some(token), Delimiter::Brace).is_some());
            let Some(length) = length else { break };
            let (header, block) = (&tokens[at..at + length], group(tokens.get(at + length), Delimiter::Brace));
            if let (Some(name), Some(block)) = (implementing(header), block) {
                scan(block, Some(&name), found);
            }
            at += length;
        } else if word(tokens.get(at)).as_deref() == Some("pub") && group(next, Delimiter::Parenthesis).is_none() {
            let mut end = at + 1;
            let kinds = ["fn", "struct", "enum", "trait", "type", "const"];
            while let Some(kind) = word(tokens.get(end)) {
                end += 1;
                let is_function = kind == "const" && word(tokens.get(end)).as_deref() == Some("fn");
                if kinds.contains(&kind.as_str()) && !is_function {
                    if let Some((name, _)) = name_at(&tokens, end) {
                        let documented = Documented::of_tokens(&attributes);
                        let scope = scope.map(str::to_owned);
                        found.push(Made { scope, name, documented, is_documented_by_caller: by_caller });
                    }
                    break;
                }
                if !["async", "unsafe", "const"].contains(&kind.as_str()) {
                    break;
                }
            }
        } else if let Some(inner) = group(tokens.get(at), Delimiter::Brace) {
            scan(inner, None, found);
        }
        (attributes, by_caller) = (Vec::new(), false);
        at += 1;
    }
}

/// The type that a block of methods is for; `None` when it implements a trait.
fn implementing(header: &[TokenTree]) -> Option<String> {
    let (mut depth, mut name) = (0, None);
    let mut at = 1;
    while at < header.len() {
        if is_mark(header.get(at), '<') {
            depth += 1;
        } else if is_mark(header.get(at), '>') {
            depth -= 1;
        } else if depth == 0
            && let Some((found, length)) = name_at(header, at)
        {
            match found.as_str() {
                "for" => return None,
                "where" => break,
                _ => name = Some(found),
            }
            at += length;
            continue;
        }
        at += 1;
    }
    name
}

/// The items that a macro is given with their documentation.
fn given(tokens: TokenStream) -> Vec<(String, Documented)> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let (mut at, mut attributes, mut found) = (0, Vec::new(), Vec::new());
    while at < tokens.len() {
        if is_mark(tokens.get(at), '#')
            && let Some(attribute) = group(tokens.get(at + 1), Delimiter::Bracket)
        {
            attributes.push(attribute);
            at += 2;
            continue;
        }
        if !attributes.is_empty() {
            let start = at;
            while word(tokens.get(at)).is_some_and(|word| BEFORE_A_NAME.contains(&word.as_str())) {
                at += 1;
            }
            let is_restricted = at > start && group(tokens.get(at), Delimiter::Parenthesis).is_some();
            if !is_restricted && let Some(name) = word(tokens.get(at)) {
                found.push((name, Documented::of_tokens(&attributes)));
            }
            attributes.clear();
        }
        at += 1;
    }
    found
}

fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// File and item of what has no example by decision.
fn left_out() -> BTreeSet<(String, String)> {
    let rows = LEFT_OUT.lines().map(|line| {
        let mut fields = line.split('\t');
        match (fields.next(), fields.next(), fields.next(), fields.next()) {
            (Some(file), Some(item), Some(reason), None) if reason.len() > 10 => (file.to_owned(), item.to_owned()),
            _ => panic!("no file, item and reason: {line}"),
        }
    });
    rows.collect()
}

#[test]
fn every_public_item_has_an_example() {
    let left_out = left_out();
    let (mut missing, mut rows) = (Vec::new(), left_out.clone());
    for of in CRATES {
        let seen = Crate::read(of).seen();
        let mut counts = BTreeMap::<&str, (usize, Vec<&str>)>::new();
        for found in &seen {
            let (all, without) = counts.entry(&found.file).or_default();
            *all += 1;
            if found.has_example {
                continue;
            }
            let row = (found.file.clone(), found.item.clone());
            if left_out.contains(&row) {
                rows.remove(&row);
            } else {
                without.push(&found.item);
                if COVERED.contains(&folder(&found.file)) {
                    missing.push(format!("{}: {}", found.file, found.item));
                }
            }
        }
        for (file, (all, without)) in counts {
            println!("{file}: {} of {all} without an example {without:?}", without.len());
        }
    }
    assert!(missing.is_empty(), "public items without an example: {missing:#?}");
    assert!(
        rows.is_empty(),
        "rows of tests/doc-examples-left-out.tsv without such an item, or with an example: {rows:#?}"
    );
}

/// A macro that takes documentation is known here, so that what it makes is not overlooked.
#[test]
fn every_macro_that_hands_documentation_on_is_known() {
    for of in CRATES {
        for file in Crate::read(of).makers {
            let text = std::fs::read_to_string(root().join(&file)).expect("it was read");
            let is_known = MAKERS.iter().any(|maker| text.contains(&format!("macro_rules! {maker} ")));
            assert!(is_known, "a macro of {file} makes items with the documentation it is given, and is not in MAKERS");
        }
    }
}

/// The reader itself: each form of an item is seen, and nothing that no user can name.
#[test]
fn the_reader_sees_every_form_and_nothing_private() {
    let source = "
        mod private {
            pub struct Handed;
            impl Handed {
                /// ```text
                /// ```
                pub fn shown(&self) {}
                /// ```
                /// ```
                pub fn with_example(&self) {}
                pub(super) fn inner(&self) {}
                #[doc(hidden)] pub fn hidden(&self) {}
                pub const LIMIT: u8 = 1;
            }
            pub struct Kept;
            impl Kept { pub fn not_reached(&self) {} }
            impl Clone for Handed { fn clone(&self) -> Self { Self } }
        }
        pub use private::Handed as Renamed;
        #[doc(hidden)] pub use private::Kept;
        pub mod open { pub use super::glob::*; pub(crate) struct No; pub trait Dial { fn dial(&self); } }
        mod glob { pub type Alias = u8; pub const fn function() {} }
        #[cfg(test)] mod tests { pub fn test() {} }
        macro_rules! fixed {
            ($( $(#[$meta:meta])* $name:ident )*) => {
                /// Documented.
                pub enum Fixed { $( $(#[$meta])* $name )* }
                impl Fixed { /// ```\n/// ```\npub const fn code(self) -> u8 { 0 } pub fn name(self) {} }
                impl Clone for Fixed { }
            };
        }
        fixed! { /// One.\n One /// Two.\n Two }
        choice! { /// First.\n First: u8 { /// A variant.\n One = 1, } /// ```\n/// ```\n Second: u8 { } }
        impl MadeElsewhere { pub fn beside(&self) {} }
        #[macro_export] macro_rules! exported { ($runtime:ty) => { pub type Client = Inner<$runtime>; } }
    ";
    let file = syn::parse_file(&source.replace("\\n", "\n")).expect("it is Rust");
    let mut read = Crate::default();
    read.items("", "lib.rs", &[], true, file.items);
    let seen: Vec<_> = read.seen().into_iter().map(|found| (found.item, found.has_example)).collect();
    let wanted = [
        ("Handed", false),
        ("Handed::shown", false),
        ("Handed::with_example", true),
        ("Handed::LIMIT", false),
        ("Dial", false),
        ("Alias", false),
        ("function", false),
        ("Fixed", false),
        ("Fixed::code", true),
        ("Fixed::name", false),
        ("First", false),
        ("Second", true),
        ("MadeElsewhere::beside", false),
        ("exported!", false),
        ("Client", false),
    ];
    assert_eq!(seen, wanted.map(|(item, has_example)| (item.to_owned(), has_example)));
}
