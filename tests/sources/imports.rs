//! Which file of a crate imports which, read from the sources. A name that a module hands on with `use` counts as an
//! import of the file that defines it, so that a circle cannot hide behind its parent.

use std::collections::{BTreeMap, BTreeSet};

/// A module's path from the crate's root, which is empty.
type Module = Vec<String>;

/// The modules of a crate that have files of their own.
pub(crate) struct Imports {
    files: BTreeMap<Module, File>,
}

struct File {
    path: String,
    /// Every path that the file names, as it stands there.
    named: Vec<Vec<String>>,
    /// What each name that is brought in by `use` stands for.
    used: BTreeMap<String, Vec<String>>,
}

impl Imports {
    /// Reads the files below `folder`, given by their paths from it and their texts without comments and unit tests.
    pub(crate) fn read(sources: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut files = BTreeMap::new();
        for (path, code) in sources {
            let mut module: Module = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            if module.last().is_some_and(|last| last == "mod" || last == "lib") {
                module.pop();
            }
            let (mut named, mut used) = (inline_paths(&code), BTreeMap::new());
            for (name, path) in uses(&code) {
                named.push(path.clone());
                used.insert(name, path);
            }
            files.insert(module, File { path, named, used });
        }
        Self { files }
    }

    /// Each circle: its files in order, and the imports that tie them. A file and its parent may import each other.
    pub(crate) fn circles(&self) -> Vec<(Vec<&str>, Vec<String>)> {
        let arrows: BTreeMap<&Module, BTreeSet<&Module>> =
            self.files.keys().map(|module| (module, self.imports(module))).collect();
        let mut reached: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
        for module in self.files.keys() {
            let mut found = BTreeSet::new();
            let mut left: Vec<&Module> = arrows[module].iter().copied().collect();
            while let Some(next) = left.pop() {
                if found.insert(next) {
                    left.extend(&arrows[next]);
                }
            }
            reached.insert(module, found);
        }
        let mut circles = Vec::new();
        let mut placed = BTreeSet::new();
        for module in self.files.keys() {
            let circle: Vec<&Module> =
                reached[module].iter().copied().filter(|other| reached[other].contains(module)).collect();
            if circle.is_empty() || !placed.insert(circle[0]) {
                continue;
            }
            let path = |module: &Module| self.files[module].path.as_str();
            let ties = circle.iter().flat_map(|from| {
                let to = arrows[from].iter().filter(|to| circle.contains(to));
                to.map(move |to| format!("{} -> {}", path(from), path(to)))
            });
            let ties = ties.collect();
            circles.push((circle.into_iter().map(path).collect(), ties));
        }
        circles
    }

    /// The paths of the files that the one at `path` imports.
    pub(crate) fn of(&self, path: &str) -> Vec<&str> {
        let module = self.files.iter().find(|(_, file)| file.path == path).map(|(module, _)| module);
        let module = module.unwrap_or_else(|| panic!("{path} is gone"));
        self.imports(module).into_iter().map(|module| self.files[module].path.as_str()).collect()
    }

    fn imports(&self, module: &Module) -> BTreeSet<&Module> {
        let named = self.files[module].named.iter().filter_map(|path| self.resolve(module, path, 0));
        named
            .filter(|found| *found != module && parent(found) != Some(module) && parent(module) != Some(found))
            .collect()
    }

    /// The module whose file defines what a path names, seen from a module; `None` for another crate's.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<&Module> {
        let mut at = from.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => drop(at.pop()),
            child => {
                at.push(child.to_owned());
                if !self.files.contains_key(&at) {
                    return None;
                }
            }
        }
        rest = &rest[1..];
        while let [next, further @ ..] = rest {
            if next == "super" {
                at.pop();
            } else {
                at.push(next.clone());
                if !self.files.contains_key(&at) {
                    at.pop();
                    // An item of this file, or one that it hands on.
                    let handed_on = self.files.get(&at).and_then(|file| file.used.get(next)).filter(|_| depth < 8);
                    if let Some(found) = handed_on.and_then(|path| self.resolve(&at, path, depth + 1)) {
                        return Some(found);
                    }
                    break;
                }
            }
            rest = further;
        }
        self.files.get_key_value(&at).map(|(module, _)| module)
    }
}

fn parent(module: &[String]) -> Option<&[String]> {
    module.split_last().map(|(_, parent)| parent)
}

/// The names that `use` brings in, each with its path.
fn uses(code: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        if code[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let tree = code[at + 4..].split(';').next().unwrap_or_default().trim();
        // What a macro names is imported where the macro is used.
        if !tree.starts_with('$') {
            expand(&[], tree, &mut found);
        }
    }
    found
}

/// Takes a tree of `use` apart.
fn expand(before: &[String], tree: &str, found: &mut Vec<(String, Vec<String>)>) {
    let (path, branches) = match tree.split_once('{') {
        Some((path, branches)) => (path, branches.rsplit_once('}').map(|(branches, _)| branches)),
        None => (tree, None),
    };
    let (path, name) = match path.split_once(" as ") {
        Some((path, name)) => (path, Some(name.trim())),
        None => (path, None),
    };
    let mut whole = before.to_vec();
    let parts = path.split("::").map(str::trim);
    whole.extend(parts.filter(|part| !part.is_empty() && *part != "*").map(str::to_owned));
    let Some(branches) = branches else {
        if whole.len() > 1 && whole.last().is_some_and(|last| last == "self") {
            whole.pop();
        }
        if let Some(last) = whole.last() {
            found.push((name.unwrap_or(last).to_owned(), whole.clone()));
        }
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in branches.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&whole, &branches[start..at], found);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&whole, &branches[start..], found);
}

/// The paths from the crate's root or from the parent that stand in the code itself.
fn inline_paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            if code[..at].ends_with('$') {
                continue;
            }
            let named = code[at..].split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':');
            let path = named.take(1).flat_map(|path| path.split("::")).filter(|part| !part.is_empty());
            found.push(path.map(str::to_owned).collect());
        }
    }
    found
}

#[test]
fn a_circle_is_found_through_the_parent_that_hands_a_name_on() {
    let files = [
        ("lib.rs", "mod folder;"),
        ("folder/mod.rs", "mod one; mod two; mod three; pub use one::One; struct Own;"),
        ("folder/one.rs", "use super::two::{self, Two as Second}; use super::Own;"),
        ("folder/two.rs", "fn two(_: crate::folder::One) {}"),
        ("folder/three.rs", "use super::{One, Own, two::{Two}};"),
    ];
    let imports = Imports::read(files.map(|(path, code)| (path.to_owned(), code.to_owned())));
    let ties = ["folder/one.rs -> folder/two.rs", "folder/two.rs -> folder/one.rs"].map(str::to_owned).to_vec();
    assert_eq!(imports.circles(), [(vec!["folder/one.rs", "folder/two.rs"], ties)]);
}
