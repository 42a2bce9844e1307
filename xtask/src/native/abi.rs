//! The binary interface, as a committed list: constants, sizes, offsets, exported functions.
//!
//! `include/braid.abi` says how the structs of `braid.h` are laid out on 64-bit targets and what
//! the libraries export. A change of it is a change of the ABI, never an accident.

use super::{WARNINGS, install::exported, output, run};
use std::{collections::BTreeSet, fmt::Write, fs, path::Path, process::Command};

/// Compares the list with the installed libraries in `prefix`, or writes it. `folder` is for
/// temporary files. True where all is well.
pub(crate) fn check(root: &Path, prefix: &Path, folder: &Path, write: bool) -> bool {
    let path = root.join("include/braid.abi");
    let compare = |list: String| {
        if write {
            return fs::write(&path, list).map_err(|error| format!("{}: {error}", path.display()));
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        if committed == list {
            return Ok(());
        }
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<String>>();
        let (old, new) = (lines(&committed), lines(&list));
        let mut difference = String::new();
        old.difference(&new).for_each(|line| difference.push_str(&format!("\n  - {line}")));
        new.difference(&old).for_each(|line| difference.push_str(&format!("\n  + {line}")));
        Err(format!("not as include/braid.abi (write it with `cargo xtask abi`):{difference}"))
    };
    list(prefix, folder).and_then(compare).inspect_err(|error| eprintln!("abi: {error}")).is_ok()
}

fn list(prefix: &Path, folder: &Path) -> Result<String, String> {
    let header = prefix.join("include/braid.h");
    let text =
        fs::read_to_string(&header).map_err(|error| format!("{}: {error}", header.display()))?;
    let shared: BTreeSet<String> = exported(&prefix.join("lib/libbraid.so"))?.into_iter().collect();
    let mut nm = Command::new("nm");
    nm.args(["-g", "--defined-only", "--format=posix"]).arg(prefix.join("lib/libbraid.a"));
    let symbols = output(&mut nm)?;
    let fixed = symbols.lines().filter(|line| !line.ends_with(':'));
    let fixed: BTreeSet<String> =
        fixed.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect();
    if let Some(name) = shared.symmetric_difference(&fixed).next() {
        return Err(format!("only one of the two libraries exports `{name}`"));
    }
    let declared = |name: &String| text.contains(&format!("{name}("));
    if let Some(name) = shared.iter().find(|name| !declared(name)) {
        return Err(format!("the libraries export `{name}`, which braid.h does not declare"));
    }
    let mut list = String::new();
    for definition in text.lines().filter_map(|line| line.strip_prefix("#define BRAID_")) {
        if definition != "H" {
            list.push_str(&format!("constant BRAID_{definition}\n"));
        }
    }
    list.push_str(&layout(&text, prefix, folder)?);
    shared.iter().for_each(|name| list.push_str(&format!("function {name}\n")));
    Ok(list)
}

/// Compiles and runs a program that prints sizes and offsets.
fn layout(header: &str, prefix: &Path, folder: &Path) -> Result<String, String> {
    let mut program = "#include <stdio.h>\n#include \"braid.h\"\nint main(void) {\n".to_owned();
    let mut print = |what: &str, value: &str| {
        writeln!(program, "    printf(\"{what} %zu\\n\", {value});")
            .map_err(|error| error.to_string())
    };
    for (name, fields) in structs(header) {
        print(&format!("size {name}"), &format!("sizeof({name})"))?;
        for field in fields {
            print(&format!("offset {name}.{field}"), &format!("offsetof({name}, {field})"))?;
        }
    }
    program.push_str("    return 0;\n}\n");
    let (source, binary) = (folder.join("abi.c"), folder.join("abi"));
    fs::write(&source, program).map_err(|error| format!("{}: {error}", source.display()))?;
    let mut cc = Command::new("gcc");
    cc.args(["-std=c11"]).args(WARNINGS).arg("-I").arg(prefix.join("include"));
    if !run(cc.arg(&source).arg("-o").arg(&binary)) {
        return Err("the program that prints the layout does not compile".to_owned());
    }
    output(&mut Command::new(binary))
}

/// The structs of the header with their fields.
fn structs(header: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in header.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("typedef struct ").and_then(|l| l.strip_suffix(" {"))
        {
            found.push((name.to_owned(), Vec::new()));
            inside = true;
        } else if line.starts_with('}') {
            inside = false;
        } else if inside
            && !line.starts_with(['/', '*'])
            && let Some(field) = line.strip_suffix(';')
        {
            let field = field.split('[').next().unwrap_or(field);
            let field = field.rsplit([' ', '*']).next().unwrap_or(field);
            if let Some((_, fields)) = found.last_mut() {
                fields.push(field.to_owned());
            }
        }
    }
    found
}
