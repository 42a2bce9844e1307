//! Writes `include/braid.h` from the sources of `ffi/`, or tells that it is stale.
//!
//! The Rust types are named `BraidAccount` and the like; in C each one is `braid_account`.

use std::{collections::BTreeSet, fs, path::Path};

const OPENING: &str = "\
/* braid: executes Ethereum blocks in parallel, byte for byte equal to sequential execution.

   Generated from `ffi/` by `cargo xtask header`; do not edit.

   Rules that hold for every function:
   - A status of 0 is success; see the ranges at BRAID_NULL_ARGUMENT and below. Only 300 to 399 says
     that a block is invalid.
   - An out-parameter is written only on success. `error` may be NULL; otherwise it is written
     always: NULL on success, else an error that the caller frees with `braid_error_free`.
   - A struct with `struct_size` is zeroed and its size set by the caller: later versions append
     fields. In a struct from the library the field tells which fields exist.
   - A `const` handle may be used by several threads at once.
   - The library writes no output, installs no signal handlers and reads no files.

   Rust's `# Safety` sections are the caller's obligations. */
";

/// Writes the header; with `check`, only compares. True where all is well.
pub(crate) fn run(root: &Path, check: bool) -> bool {
    let text = match generate(root) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("header: {error}");
            return false;
        }
    };
    let path = root.join("include/braid.h");
    if check {
        let fresh = fs::read_to_string(&path).is_ok_and(|current| current == text);
        if !fresh {
            eprintln!("header: include/braid.h is stale; write it with `cargo xtask header`");
        }
        return fresh;
    }
    let written = fs::create_dir_all(root.join("include")).and_then(|()| fs::write(&path, text));
    written.inspect_err(|error| eprintln!("header: {}: {error}", path.display())).is_ok()
}

fn generate(root: &Path) -> Result<String, String> {
    let sources = root.join("ffi/src");
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        include_guard: Some("BRAID_H".to_owned()),
        header: Some(OPENING.to_owned()),
        no_includes: true,
        sys_includes: vec!["stddef.h".to_owned(), "stdint.h".to_owned()],
        cpp_compat: true,
        usize_is_size_t: true,
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        documentation_length: cbindgen::DocumentationLength::Full,
        style: cbindgen::Style::Both,
        line_length: 100,
        tab_width: 4,
        ..cbindgen::Config::default()
    };
    config.sort_by = cbindgen::SortKey::None;
    config.function.sort_by = None;
    let mut names = BTreeSet::new();
    for path in crate::style::sources(&sources) {
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        names.extend(words.filter(|word| word.starts_with("Braid")).map(str::to_owned));
    }
    for name in &names {
        config.export.rename.insert(name.clone(), snake(name));
    }
    let library = sources.join("lib.rs");
    let builder = cbindgen::Builder::new().with_src(library).with_config(config);
    let bindings = builder.generate().map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    bindings.write(&mut bytes);
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// `BraidU256` becomes `braid_u256`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}
