//! `docs/unsafe.md` lists every file with unsafe code and how many blocks each has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the root exists")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the tree") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                rust_files(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Uses of the keyword `unsafe` outside comments and strings.
fn unsafe_count(source: &str) -> usize {
    source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|code| code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '"')))
        .filter(|word| *word == "unsafe")
        .count()
}

/// Files of the library with unsafe code, relative to the root, with their counts.
fn in_the_tree() -> BTreeMap<String, usize> {
    let root = root();
    let mut files = Vec::new();
    for folder in ["crates", "benches"] {
        rust_files(&root.join(folder), &mut files);
    }
    files
        .into_iter()
        .filter_map(|path| {
            let name = path.strip_prefix(&root).expect("below the root");
            let name = name.to_string_lossy().replace('\\', "/");
            let count = unsafe_count(&fs::read_to_string(&path).expect("UTF-8"));
            // This file names the keyword in order to look for it.
            (count > 0 && name != "crates/xtask/tests/unsafe_list.rs").then_some((name, count))
        })
        .collect()
}

/// Rows `| path | count | why |` of the document.
fn in_the_document() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(root().join("docs/unsafe.md")).expect("docs/unsafe.md");
    text.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            let path = cells.next()?.trim_matches('`');
            let count = cells.next()?.parse().ok()?;
            Some((path.to_owned(), count))
        })
        .collect()
}

#[test]
fn the_document_agrees_with_the_tree() {
    assert_eq!(
        in_the_tree(),
        in_the_document(),
        "left: the tree, right: docs/unsafe.md"
    );
}

#[test]
fn the_count_sees_code_only() {
    assert_eq!(
        unsafe_count("unsafe { x } // unsafe\n/// unsafe\nlet unsafe_code = \"unsafe\";"),
        1
    );
}

#[test]
fn crates_above_the_kernels_forbid_it() {
    for name in [
        "tensor", "layers", "models", "train", "striate", "cli", "testkit",
    ] {
        let path = root().join(format!("crates/{name}/src/lib.rs"));
        let source = fs::read_to_string(&path).expect("every crate has a lib.rs");
        assert!(
            source.contains("#![forbid(unsafe_code)]"),
            "{name} does not forbid unsafe code"
        );
    }
}
