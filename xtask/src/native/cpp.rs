//! The tests in C++: the wrapper, its example, the CMake and pkg-config packages, the pages.

use super::{Page, Part, Prepared, WARNINGS, c::SANITIZE, output, prepare, run, workspace};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Runs the part; true where nothing failed.
pub(crate) fn test(root: &Path) -> bool {
    let mut part = Part::new("cpp");
    if !part.has("all", &["gcc", "g++", "ld", "objcopy", "ar", "nm"]) {
        return part.passed();
    }
    let Some(prepared) = prepare(root, &mut part) else { return false };
    if let Some(program) = build(root, &prepared, &mut part, "wrapper", &[]) {
        let mut command = Command::new(program);
        part.step("wrapper", run(command.arg(prepared.small()).args(prepared.all())));
    }
    let small = |program: PathBuf| run(Command::new(program).arg(prepared.small()));
    let plain = ["-fno-exceptions", "-fno-rtti"];
    if let Some(program) = build(root, &prepared, &mut part, "plain", &plain) {
        part.step("without exceptions", small(program));
    }
    if let Some(program) = build(root, &prepared, &mut part, "wrapper", &SANITIZE) {
        let mut command = Command::new(program);
        let passed = run(command.arg(prepared.small()).args(prepared.line()));
        part.step("wrapper under ASan and UBSan", passed);
    }
    Page { language: "cpp", compiler: "g++", flags: &["-std=c++20"] }
        .test(root, &prepared, &mut part);
    if part.has("example through CMake", &["cmake"]) {
        let passed = cmake(root, &prepared);
        part.step("example through CMake", passed);
    }
    if part.has("example through pkg-config", &["pkg-config"]) {
        let passed = pkg_config(root, &prepared);
        part.step(
            "example through pkg-config",
            passed.unwrap_or_else(|error| {
                eprintln!("{error}");
                false
            }),
        );
    }
    part.passed()
}

/// Builds `tests/cpp/<name>.cpp` with the C that reads dumped blocks.
fn build(
    root: &Path,
    prepared: &Prepared,
    part: &mut Part,
    name: &str,
    flags: &[&str],
) -> Option<PathBuf> {
    let folder = workspace(root).join("bin");
    let what = format!("{name}{}", flags.first().copied().unwrap_or_default());
    let (object, program) = (folder.join("dump.o"), folder.join(&what));
    let mut c = Command::new("gcc");
    c.args(["-std=c11", "-g", "-O1", "-c"]).args(WARNINGS).arg("-I");
    c.arg(prepared.prefix.join("include")).arg(root.join("tests/c/dump.c")).arg("-o").arg(&object);
    let mut cpp = Command::new("g++");
    cpp.args(["-std=c++20", "-g", "-O1"]).args(WARNINGS).args(flags);
    cpp.arg("-I").arg(prepared.prefix.join("include")).arg("-I").arg(root.join("tests/c"));
    cpp.arg(root.join("tests/cpp").join(format!("{name}.cpp"))).arg(&object);
    cpp.arg("-o").arg(&program);
    prepared.link_static(&mut cpp);
    let made = fs::create_dir_all(&folder).is_ok() && run(&mut c) && run(&mut cpp);
    part.step(&format!("build {what}"), made).then_some(program)
}

/// Configures, builds and runs the example as another project would.
fn cmake(root: &Path, prepared: &Prepared) -> bool {
    let folder = workspace(root).join("example");
    // A folder of an earlier configuration would be used as it is.
    let _ = fs::remove_dir_all(&folder);
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(root.join("bindings/cpp/example")).arg("-B").arg(&folder);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prepared.prefix.display()));
    let mut build = Command::new("cmake");
    build.arg("--build").arg(&folder);
    let execute = |name: &str, first: &[&str]| {
        let mut command = Command::new(folder.join(name));
        run(command.args(first).args(prepared.all()).stdout(Stdio::null()))
    };
    run(configure.stdout(Stdio::null()))
        && run(build.stdout(Stdio::null()))
        && execute("execute", &[])
        && execute("execute_static", &[])
        && execute("pool", &["4"])
}

/// Builds the example against the shared library, as `pkg-config` says.
fn pkg_config(root: &Path, prepared: &Prepared) -> Result<bool, String> {
    let lib = prepared.prefix.join("lib");
    let mut config = Command::new("pkg-config");
    config.args(["--cflags", "--libs", "braid"]).env("PKG_CONFIG_PATH", lib.join("pkgconfig"));
    let flags = output(&mut config)?;
    let program = workspace(root).join("execute-pkg-config");
    let mut cpp = Command::new("g++");
    cpp.arg("-std=c++20").args(WARNINGS).arg(root.join("bindings/cpp/example/execute.cpp"));
    cpp.args(flags.split_whitespace()).arg("-o").arg(&program);
    let mut execute = Command::new(program);
    execute.arg(prepared.small()).env("LD_LIBRARY_PATH", lib).stdout(Stdio::null());
    Ok(run(&mut cpp) && run(&mut execute))
}
