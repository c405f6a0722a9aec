//! Test inputs that others made and that are not part of this repository: `../shared` beside its root.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The file or folder `name` below `../shared/data`. Where it is not there, one line says that `what` is left out, on
/// standard error itself because a test's captured output is only shown when it fails.
pub fn data(name: &str, what: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    let _ = writeln!(std::io::stderr(), "left out: {what} (no ../shared/data/{name})");
    None
}

/// The files of a folder with their contents, in the order of their names.
///
/// # Panics
/// When the folder or a file cannot be read.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| {
            let entry = entry.expect("the folder can be read");
            let bytes = std::fs::read(entry.path()).expect("the file can be read");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    files.sort();
    files
}
