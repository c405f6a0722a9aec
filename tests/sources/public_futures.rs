//! Every public future of every crate has a row with its bound.
//!
//! The futures are read from the sources: public async functions, public functions that return a future, a stream or
//! what becomes a future, or that are polled with a context, methods of public traits that do so, and public types that
//! are futures or streams. The rows are those of `servicebus_tests::calls`, which the matrices of sick peers drive.

use servicebus_core::storage::Heap;
use servicebus_simulation::Simulated;
use servicebus_tests::calls::{ELSEWHERE, administration_calls, calls};
use servicebus_tokio::Tokio;
use servicebus_tokio::administration::Http;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ReturnType, Signature, TraitItem, Type, Visibility};

/// Where public futures are looked for, by crate.
pub(crate) const CRATES: [(&str, &str); 5] = [
    ("servicebus-core", "core/src"),
    ("servicebus-tokio", "runtime-tokio/src"),
    ("servicebus-async-std", "runtime-async-std/src"),
    ("servicebus-embassy", "runtime-embassy/src"),
    ("servicebus-emulator", "emulator/src"),
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "main.rs" {
            found.push(path);
        }
    }
}

/// What functions return that is to be awaited, beside the crates' own types: traits, and types of the standard library
/// and of the runtimes.
const AWAITED: [&str; 12] = [
    "Future",
    "IntoFuture",
    "Stream",
    "AsyncFn",
    "AsyncFnMut",
    "AsyncFnOnce",
    "Ready",
    "Pending",
    "PollFn",
    "BoxFuture",
    "LocalBoxFuture",
    "JoinHandle",
];

/// Whether a path or bound of some syntax ends in one of these names.
struct Mentions<'a> {
    names: &'a BTreeSet<String>,
    found: bool,
}

impl<'ast> Visit<'ast> for Mentions<'_> {
    fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
        self.found |= self.names.contains(&segment.ident.to_string());
        visit::visit_path_segment(self, segment);
    }
}

pub(crate) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

pub(crate) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

/// Whether a function takes the context of a task.
fn is_polled(signature: &Signature) -> bool {
    let names = BTreeSet::from(["Context".to_owned()]);
    let mut mentions = Mentions { names: &names, found: false };
    signature.inputs.iter().for_each(|input| mentions.visit_fn_arg(input));
    mentions.found
}

/// Objects to a macro, defined or used, that makes functions to be awaited.
fn hides_none(scope: &str, hidden: &syn::Macro) {
    // Documentation, and every other text, is in quotes.
    let (mut quoted, mut escaped) = (false, false);
    let tokens = hidden.tokens.to_string();
    let outside = tokens.chars().filter(|&letter| {
        quoted ^= letter == '"' && !escaped;
        escaped = quoted && letter == '\\' && !escaped;
        !quoted
    });
    let text: String = outside.collect();
    let awaited = ["async fn", "impl Future", "dyn Future"].into_iter().find(|word| text.contains(word));
    assert!(awaited.is_none(), "{scope}: a macro has {awaited:?}, which nothing lists");
}

/// The last name of a type's path, through references.
pub(crate) fn name_of(kind: &Type) -> Option<String> {
    match kind {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Type::Reference(reference) => name_of(&reference.elem),
        _ => None,
    }
}

/// The public futures of some files.
#[derive(Default)]
struct Futures {
    /// [`AWAITED`], the public types that are or become futures, and aliases of such types.
    future_types: BTreeSet<String>,
    public_types: BTreeSet<String>,
    found: BTreeSet<String>,
}

impl Futures {
    /// The public futures of a folder of sources.
    fn of(folder: &Path) -> BTreeSet<String> {
        let mut paths = Vec::new();
        sources(folder, &mut paths);
        assert!(!paths.is_empty(), "{} has no sources", folder.display());
        let parse = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).expect("the file can be read");
            let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let module = match path.file_stem().and_then(|stem| stem.to_str()) {
                Some("mod" | "lib") => path.parent().and_then(Path::file_name).and_then(|name| name.to_str()),
                stem => stem,
            };
            (module.unwrap_or_default().to_owned(), file)
        };
        let files: Vec<_> = paths.into_iter().map(parse).collect();
        Self::of_files(&files)
    }

    fn of_files(files: &[(String, syn::File)]) -> BTreeSet<String> {
        let mut futures = Self::default();
        futures.future_types.extend(AWAITED.map(str::to_owned));
        for (_, file) in files {
            futures.types(&file.items);
        }
        for (_, file) in files {
            futures.implementations(&file.items);
        }
        // An alias may be of another one.
        let mut before = 0;
        while before < futures.future_types.len() {
            before = futures.future_types.len();
            for (_, file) in files {
                futures.aliases(&file.items);
            }
        }
        for (module, file) in files {
            futures.functions(module, &file.items);
        }
        futures.found
    }

    /// Collects the public types.
    fn types(&mut self, items: &[Item]) {
        for item in items {
            let (visibility, name) = match item {
                Item::Struct(item) => (&item.vis, &item.ident),
                Item::Enum(item) => (&item.vis, &item.ident),
                Item::Mod(module) if !is_test(&module.attrs) => {
                    if let Some((_, items)) = &module.content {
                        self.types(items);
                    }
                    continue;
                }
                _ => continue,
            };
            if is_public(visibility) {
                self.public_types.insert(name.to_string());
            }
        }
    }

    /// Collects which of the public types are futures or streams.
    fn implementations(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Mod(module) if !is_test(&module.attrs) => {
                    if let Some((_, items)) = &module.content {
                        self.implementations(items);
                    }
                }
                Item::Impl(block) => {
                    let implemented = block.trait_.as_ref().and_then(|implemented| implemented.0.segments.last());
                    let name = name_of(&block.self_ty).filter(|name| self.public_types.contains(name));
                    let (Some(implemented), Some(name)) = (implemented, name) else { continue };
                    if implemented.ident == "Future" {
                        self.found.insert(format!("{name}::poll"));
                        self.future_types.insert(name);
                    } else if implemented.ident == "IntoFuture" {
                        self.found.insert(format!("{name}::into_future"));
                        self.future_types.insert(name);
                    } else if implemented.ident == "Stream" {
                        self.found.insert(format!("{name}::poll_next"));
                    }
                }
                _ => {}
            }
        }
    }

    /// Collects the names that stand for a future.
    fn aliases(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Mod(module) if !is_test(&module.attrs) => {
                    if let Some((_, items)) = &module.content {
                        self.aliases(items);
                    }
                }
                Item::Type(alias) if self.mentions(&alias.ty) => {
                    self.future_types.insert(alias.ident.to_string());
                }
                _ => {}
            }
        }
    }

    fn mentions(&self, kind: &Type) -> bool {
        let mut mentions = Mentions { names: &self.future_types, found: false };
        mentions.visit_type(kind);
        mentions.found
    }

    /// Collects the functions that are async or return a future.
    fn functions(&mut self, module: &str, items: &[Item]) {
        for item in items {
            match item {
                Item::Mod(inner) if !is_test(&inner.attrs) => {
                    if let Some((_, items)) = &inner.content {
                        self.functions(&inner.ident.to_string(), items);
                    }
                }
                Item::Fn(function) if is_public(&function.vis) => self.add(module, &function.sig),
                Item::Impl(block) if block.trait_.is_none() => {
                    let name = name_of(&block.self_ty).unwrap_or_default();
                    for item in &block.items {
                        match item {
                            ImplItem::Fn(method) if is_public(&method.vis) => self.add(&name, &method.sig),
                            ImplItem::Macro(hidden) => hides_none(&name, &hidden.mac),
                            _ => {}
                        }
                    }
                }
                Item::Trait(declared) if is_public(&declared.vis) => {
                    for item in &declared.items {
                        if let TraitItem::Fn(method) = item {
                            self.add(&declared.ident.to_string(), &method.sig);
                        }
                    }
                }
                // A macro hides its functions from this reader.
                Item::Macro(hidden) => hides_none(module, &hidden.mac),
                _ => {}
            }
        }
    }

    fn add(&mut self, scope: &str, signature: &Signature) {
        let returned = match &signature.output {
            ReturnType::Default => false,
            ReturnType::Type(_, kind) => self.mentions(kind) || is_polled(signature),
        };
        if signature.asyncness.is_some() || returned {
            self.found.insert(format!("{scope}::{}", signature.ident));
        }
    }
}

/// The public futures by crate.
fn futures() -> BTreeMap<&'static str, BTreeSet<String>> {
    CRATES.into_iter().map(|(name, folder)| (name, Futures::of(&root().join(folder)))).collect()
}

/// The names of all rows.
fn rows() -> BTreeSet<&'static str> {
    let client = calls::<Simulated<Heap>>().into_iter().map(|call| call.name);
    let administration = administration_calls::<Http, Tokio>().into_iter().map(|call| call.name);
    client.chain(administration).chain(ELSEWHERE.iter().map(|elsewhere| elsewhere.name)).collect()
}

#[test]
fn every_public_future_has_a_row_with_its_bound() {
    let rows = rows();
    let mut missing = Vec::new();
    for (name, futures) in futures() {
        println!("{name}: {} public futures", futures.len());
        missing.extend(
            futures.iter().filter(|future| !rows.contains(future.as_str())).map(|future| format!("{future} of {name}")),
        );
    }
    assert!(missing.is_empty(), "public futures without a row in tests/src/calls: {missing:#?}");
}

#[test]
fn every_row_is_a_public_future() {
    let futures: BTreeSet<String> = futures().into_values().flatten().collect();
    let stale: Vec<_> = rows().into_iter().filter(|row| !futures.contains(*row)).collect();
    assert!(stale.is_empty(), "rows in tests/src/calls without a public future: {stale:#?}");
}

#[test]
fn a_future_that_is_judged_elsewhere_names_the_file() {
    let root = root();
    for row in ELSEWHERE {
        let files = row.why.split([' ', ';', ':', ',']).filter(|word| word.contains('/'));
        for file in files {
            assert!(root.join(file).exists(), "{} names {file}, which does not exist", row.name);
        }
        assert!(row.why.len() > 20, "{} needs a reason", row.name);
    }
}

/// The reader itself: each form of a public future is seen, and nothing private is.
#[test]
fn the_reader_sees_every_form_and_nothing_private() {
    let source = "
        pub struct Sender;
        pub struct Sleep;
        struct Hidden;
        pub trait Dial { fn dial(&self) -> impl Future<Output = ()>; async fn hang_up(&self); fn port(&self) -> u16; }
        impl Sender {
            pub async fn send(&self) {}
            pub fn close(self) -> impl Future<Output = ()> {}
            pub fn sleep(&self) -> Sleep { Sleep }
            pub fn boxed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {}
            pub fn parts(self) -> (Client, impl core::future::Future<Output = ()>) {}
            pub(crate) async fn inner(&self) {}
            pub fn takes(&self, work: impl Future<Output = ()>) {}
            async fn own(&self) {}
            pub fn ready(&self) -> core::future::Ready<()> {}
            pub fn alias(&self) -> Alias<'_> {}
            pub fn builder(&self) -> Builder {}
            pub fn streams(&self) -> impl Stream<Item = ()> {}
            pub fn closure(&self) -> impl AsyncFnOnce() {}
            pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {}
            pub fn poll_state(&self, clock: Clock) -> Poll<()> {}
        }
        pub type Alias<'a> = Again<'a>;
        type Again<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
        pub struct Builder;
        impl IntoFuture for Builder {}
        impl Future for Sleep {}
        impl Future for Hidden {}
        impl Stream for Sender {}
        pub async fn run() {}
        async fn private() {}
        #[cfg(test)] mod tests { pub async fn test() {} }
        mod inline { pub async fn nested() {} }
    ";
    let file = syn::parse_file(source).expect("it is Rust");
    let found: Vec<_> = Futures::of_files(&[("driver".to_owned(), file)]).into_iter().collect();
    let wanted = [
        "Builder::into_future",
        "Dial::dial",
        "Dial::hang_up",
        "Sender::alias",
        "Sender::boxed",
        "Sender::builder",
        "Sender::close",
        "Sender::closure",
        "Sender::parts",
        "Sender::poll_next",
        "Sender::poll_ready",
        "Sender::ready",
        "Sender::send",
        "Sender::sleep",
        "Sender::streams",
        "Sleep::poll",
        "driver::run",
        "inline::nested",
    ];
    assert_eq!(found, wanted);
}
