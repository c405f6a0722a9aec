//! The papers and fixtures of `docs/evidence`.

use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/evidence")
}

/// The text of a paper, such as `docs/evidence/field-reports.md`.
///
/// # Panics
/// When it cannot be read.
pub fn document(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).expect("the document can be read")
}

/// Whether `docs/evidence` has this file or folder.
pub fn exists(name: &str) -> bool {
    folder().join(name).exists()
}

/// The path of a fixture, a file or folder below `docs/evidence/data`.
///
/// # Panics
/// When it is not there.
pub fn fixture(name: &str) -> PathBuf {
    let path = folder().join("data").join(name);
    assert!(path.exists(), "there is no {}", path.display());
    path
}

/// The files of a folder, without those of folders in it, with their contents and in the order of their names.
///
/// # Panics
/// When the folder or a file cannot be read.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("the folder can be read"))
        .filter(|entry| !entry.path().is_dir())
        .map(|entry| {
            let bytes = std::fs::read(entry.path()).expect("the file can be read");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    files.sort();
    files
}
