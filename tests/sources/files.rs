//! The text files of the repository.

use std::path::Path;

/// What was built, fetched or generated, and the papers themselves.
const LEFT_OUT: [&str; 6] = ["target", "node_modules", "__pycache__", "corpus", "artifacts", "evidence"];

/// Path from the repository's root and text of every source, script and README.
pub(crate) fn text_files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    collect(&root, "", &mut found);
    assert!(found.len() > 300, "only {} files were found", found.len());
    found.sort();
    found
}

fn collect(folder: &Path, path: &str, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        let kind = entry.file_type().expect("its type");
        if kind.is_dir() {
            if !LEFT_OUT.contains(&&*name) && (!name.starts_with('.') || name == ".ci") {
                collect(&entry.path(), &path, found);
            }
        } else if kind.is_file() && !name.ends_with(".lock") {
            // What is no text cites nothing.
            found.extend(std::fs::read_to_string(entry.path()).ok().map(|text| (path, text)));
        }
    }
}
