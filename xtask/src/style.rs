//! The mechanical part of the house rules, so that nobody has to argue about it.

use std::{
    fs,
    path::{Path, PathBuf},
};

const ROOMS: [&str; 5] = ["core", "ffi", "exex", "tests", "xtask"];
const MAX_COLUMNS: usize = 100;
const MAX_FUNCTION: usize = 70;
const MAX_FILE: usize = 700;
/// Where `unsafe` may stand.
const UNSAFE: [&str; 2] = ["core/src/pool.rs", "ffi/"];

/// Prints every breach; true where there is none.
pub(crate) fn check() -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut breaches = Vec::new();
    for room in ROOMS {
        for file in sources(&root.join(room)) {
            let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
            match fs::read_to_string(&file) {
                Ok(text) => check_file(&name, &text, &mut breaches),
                Err(error) => breaches.push(format!("{name}: {error}")),
            }
        }
    }
    breaches.iter().for_each(|breach| println!("style: {breach}"));
    breaches.is_empty()
}

pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn check_file(name: &str, text: &str, breaches: &mut Vec<String>) {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > MAX_FILE {
        breaches.push(format!("{name}: {} lines, at most {MAX_FILE}", lines.len()));
    }
    if name.contains("/src/") && !text.starts_with("//!") {
        breaches.push(format!("{name}: opens without a chapter (`//!`)"));
    }
    // Spelled apart, so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("un", "safe {")];
    for (index, line) in lines.iter().enumerate() {
        let at = format!("{name}:{}", index + 1);
        if line.chars().count() > MAX_COLUMNS {
            breaches.push(format!("{at}: longer than {MAX_COLUMNS} columns"));
        }
        if marks[..2].iter().any(|mark| line.contains(mark)) {
            breaches.push(format!("{at}: unfinished work is not committed"));
        }
        if line.contains(marks[2]) && !UNSAFE.iter().any(|allowed| name.starts_with(allowed)) {
            breaches.push(format!("{at}: unsafe code may stand only in {}", UNSAFE.join(", ")));
        }
    }
    check_functions(name, &lines, breaches);
}

/// A function ends at the closing brace of its own indentation.
fn check_functions(name: &str, lines: &[&str], breaches: &mut Vec<String>) {
    for (start, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let words = text.split_whitespace().take_while(|word| !word.starts_with("fn("));
        let mut modifiers = words.take_while(|word| *word != "fn");
        let is_function = text.contains("fn ")
            && text.contains('(')
            && modifiers.all(|word| word.starts_with("pub") || word == "const" || word == "async");
        if !is_function || text.ends_with(';') {
            continue;
        }
        let close = format!("{}}}", &line[..line.len() - text.len()]);
        let end = lines[start..].iter().position(|line| *line == close);
        if let Some(length) = end.filter(|length| *length >= MAX_FUNCTION) {
            let length = length + 1;
            breaches.push(format!(
                "{name}:{}: a function of {length} lines, at most {MAX_FUNCTION}",
                start + 1
            ));
        }
    }
}
