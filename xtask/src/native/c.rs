//! The tests in C: the header under every standard, recorded blocks, a hostile host, sanitizers.

use super::{
    Page, Part, Prepared, WARNINGS, abi, files, nulls, prepare, released, run, silent, twice,
    workspace,
};
use std::{fs, path::Path, process::Command};

/// Finds faults of the C code and of what it is given.
pub(crate) const SANITIZE: [&str; 2] =
    ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

const STANDARDS: [(&str, &str, &str); 4] = [
    ("gcc", "c", "-std=c99"),
    ("gcc", "c", "-std=c11"),
    ("g++", "c++", "-std=c++17"),
    ("g++", "c++", "-std=c++20"),
];

/// Runs the part; true where nothing failed.
pub(crate) fn test(root: &Path) -> bool {
    let mut part = Part::new("c");
    part.step("header is fresh", crate::header::run(root, true));
    if !part.has("all", &["gcc", "g++", "ld", "objcopy", "ar", "nm"]) {
        return part.passed();
    }
    headers(root, &mut part);
    let Some(prepared) = prepare(root, &mut part) else { return false };
    let folder = workspace(root);
    part.step("layout and symbols", abi::check(root, &prepared.prefix, &folder, false));
    if let Some(program) = build(root, &prepared, &mut part, "blocks", &[]) {
        part.step("blocks", silent(Command::new(program).args(prepared.all())));
    }
    if let Some(program) = build(root, &prepared, &mut part, "blocks", &SANITIZE) {
        let mut blocks = Command::new(program);
        blocks.args([prepared.small(), prepared.amsterdam(), prepared.precompiles()]);
        blocks.args(prepared.line());
        part.step("blocks under ASan and UBSan", run(&mut blocks));
    }
    if let Some(program) = build(root, &prepared, &mut part, "hostile", &[]) {
        let passed = silent(quiet(&mut Command::new(&program), &prepared));
        part.step("hostile host, nothing written by the library", passed);
        valgrind(&program, &prepared, &mut part);
    }
    if let Some(program) = build(root, &prepared, &mut part, "hostile", &SANITIZE) {
        let passed = run(quiet(&mut Command::new(program), &prepared));
        part.step("hostile host under ASan and UBSan", passed);
    }
    null_pointers(root, &prepared, &mut part);
    if let Some(program) = build(root, &prepared, &mut part, "limits", &[]) {
        part.step("limits", silent(Command::new(program).arg(prepared.deep())));
    }
    soak_of(root, &prepared, &mut part, SOAK);
    twice::test(root, &prepared, &mut part);
    if let Some(program) = build(root, &prepared, &mut part, "cost", &[]) {
        let mut cost = Command::new(program);
        cost.args(["2", "1"]).arg(prepared.small()).stdout(std::process::Stdio::null());
        part.step("the measurement runs", run(&mut cost));
    }
    // Zeroing a struct by `{0}` names only its first field.
    let flags = &["-std=c99", "-Wno-missing-field-initializers"];
    Page { language: "c", compiler: "gcc", flags }.test(root, &prepared, &mut part);
    part.passed()
}

/// How many blocks the soak of the tests has.
const SOAK: &str = "5000";

/// A long soak, on the library of the release profile.
pub(crate) fn soak(root: &Path, blocks: &str) -> bool {
    let mut part = Part::new("soak c");
    let Some(prepared) = released(root, &mut part) else { return false };
    soak_of(root, &prepared, &mut part, blocks);
    part.passed()
}

fn soak_of(root: &Path, prepared: &Prepared, part: &mut Part, blocks: &str) {
    let Some(program) = build(root, prepared, part, "soak", &[]) else { return };
    let mut soak = Command::new(program);
    soak.arg(blocks).arg(prepared.small()).arg(prepared.amsterdam());
    part.step(&format!("soak of {blocks} blocks"), run(&mut soak));
}

/// The test that is generated from the header.
fn null_pointers(root: &Path, prepared: &Prepared, part: &mut Part) {
    let (source, program) = (workspace(root).join("nulls.c"), workspace(root).join("nulls"));
    let header = fs::read_to_string(root.join("include/braid.h")).unwrap_or_default();
    let written = nulls::program(&header)
        .and_then(|text| fs::write(&source, text).map_err(|error| error.to_string()))
        .inspect_err(|error| eprintln!("nulls: {error}"));
    let tests = root.join("tests/c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-g", "-O1"]).args(WARNINGS).args(SANITIZE).arg("-I").arg(&tests);
    gcc.arg("-I").arg(prepared.prefix.join("include")).arg(&source).arg(tests.join("dump.c"));
    gcc.arg("-o").arg(&program);
    prepared.link_static(&mut gcc);
    let built = written.is_ok() && run(&mut gcc);
    let passed = built && run(Command::new(&program).arg(prepared.small()));
    part.step("every pointer NULL, under ASan and UBSan", passed);
}

/// Measures what the ABI costs, on the recorded blocks and the library of the release profile.
pub(crate) fn bench(root: &Path) -> bool {
    let mut part = Part::new("bench c");
    let Some(prepared) = released(root, &mut part) else { return false };
    let blocks = prepared.recorded();
    if blocks.is_empty() {
        return part.passed();
    }
    let Some(program) = build(root, &prepared, &mut part, "cost", &["-O2"]) else { return false };
    for threads in ["1", "2"] {
        let mut cost = Command::new(&program);
        let passed = run(cost.args([threads, "15"]).args(&blocks));
        part.step(&format!("{threads} threads, {} blocks", blocks.len()), passed);
    }
    part.passed()
}

fn quiet<'a>(command: &'a mut Command, prepared: &Prepared) -> &'a mut Command {
    command.arg(prepared.small()).stdout(std::process::Stdio::null())
}

fn headers(root: &Path, part: &mut Part) {
    let clang = STANDARDS.map(|(tool, language, standard)| {
        (if tool == "gcc" { "clang" } else { "clang++" }, language, standard)
    });
    let clang = if part.has_optional("header with clang", &["clang", "clang++"]) {
        clang.to_vec()
    } else {
        Vec::new()
    };
    for (tool, language, standard) in STANDARDS.into_iter().chain(clang) {
        let mut compiler = Command::new(tool);
        compiler.args([standard, "-fsyntax-only"]).args(WARNINGS).args(["-x", language]);
        let passed =
            run(compiler.arg(root.join("tests/c/header.c")).arg("-I").arg(root.join("include")));
        part.step(&format!("header with {tool} {standard}"), passed);
    }
}

/// Reads and writes outside of memory, and leaks. What is undefined is not looked at: optimised
/// Rust compares both halves of an optional value before it knows whether there is one.
fn valgrind(program: &Path, prepared: &Prepared, part: &mut Part) {
    if !part.has("hostile host under valgrind", &["valgrind"]) {
        return;
    }
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["-q", "--undef-value-errors=no", "--leak-check=full", "--error-exitcode=9"]);
    let kinds = "definite,indirect";
    valgrind.arg(format!("--show-leak-kinds={kinds}"));
    valgrind.arg(format!("--errors-for-leak-kinds={kinds}")).arg(program);
    let passed = run(quiet(&mut valgrind, prepared).arg("10"));
    part.step("hostile host under valgrind", passed);
}

/// Builds the program whose sources are `tests/c/<name>*.c`, and `dump.c`.
fn build(
    root: &Path,
    prepared: &Prepared,
    part: &mut Part,
    name: &str,
    flags: &[&str],
) -> Option<std::path::PathBuf> {
    let sources = root.join("tests/c");
    let folder = workspace(root).join("bin");
    let suffix = flags.first().copied().unwrap_or_default();
    let program = folder.join(format!("{name}{suffix}"));
    let is_source = |path: &std::path::PathBuf| {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        stem == "dump" || stem.split('_').next() == Some(name)
    };
    let mut compiler = Command::new("gcc");
    compiler.args(["-std=c11", "-g", "-O1"]).args(WARNINGS).args(flags).arg("-I");
    compiler.arg(prepared.prefix.join("include"));
    compiler.args(files(&sources, "c").iter().filter(|path| is_source(path)));
    compiler.arg("-o").arg(&program);
    prepared.link_static(&mut compiler);
    let made = fs::create_dir_all(&folder).is_ok() && run(&mut compiler);
    part.step(&format!("build {name}{suffix}"), made).then_some(program)
}
