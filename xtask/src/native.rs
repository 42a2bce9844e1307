//! The parts of the tests that need a C, C++ or Go toolchain, and what they share.
//!
//! Where a tool is missing a step is reported as SKIPPED with the reason; in continuous integration
//! (`CI` is set) that is a failure, so that no check is lost in silence. Data that are not part of
//! a clone may be missing there too.

pub(crate) mod abi;
pub(crate) mod c;
pub(crate) mod cpp;
pub(crate) mod go;
pub(crate) mod install;
mod nulls;
mod twice;

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a static library of Rust needs: `rustc --print native-static-libs`.
pub(crate) const SYSTEM_LIBRARIES: [&str; 6] =
    ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

/// Flags of every compilation.
pub(crate) const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// One part's steps and how they ended.
pub(crate) struct Part {
    name: &'static str,
    failed: bool,
}

impl Part {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, failed: false }
    }

    /// Reports a step; gives whether it passed.
    pub(crate) fn step(&mut self, what: &str, passed: bool) -> bool {
        println!("== {}: {what}: {}", self.name, if passed { "ok" } else { "FAILED" });
        self.failed |= !passed;
        passed
    }

    /// Whether these tools are there; reports the step as skipped where one is not.
    pub(crate) fn has(&mut self, what: &str, tools: &[&str]) -> bool {
        let missing: Vec<&str> = tools.iter().copied().filter(|tool| !is_there(tool)).collect();
        if missing.is_empty() {
            return true;
        }
        println!("== {}: {what}: SKIPPED: not installed: {}", self.name, missing.join(", "));
        if env::var_os("CI").is_some() {
            println!("== {}: a missing tool is a failure in continuous integration", self.name);
            self.failed = true;
        }
        false
    }

    /// As [`Self::has`] for tools that are never required.
    pub(crate) fn has_optional(&self, what: &str, tools: &[&str]) -> bool {
        let missing: Vec<&str> = tools.iter().copied().filter(|tool| !is_there(tool)).collect();
        if !missing.is_empty() {
            println!("== {}: {what}: SKIPPED: not installed: {}", self.name, missing.join(", "));
        }
        missing.is_empty()
    }

    pub(crate) fn passed(&self) -> bool {
        !self.failed
    }
}

/// Whether the tool can be run.
pub(crate) fn is_there(tool: &str) -> bool {
    let mut command = Command::new(tool);
    match tool {
        "go" => command.arg("version"),
        // It knows no version; without a file to read it formats nothing.
        "gofmt" => &mut command,
        _ => command.arg("--version"),
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a command; says why where it cannot be started or ends badly.
pub(crate) fn run(command: &mut Command) -> bool {
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => true,
        Ok(status) => {
            eprintln!("{command:?}: {status}");
            false
        }
        Err(error) => {
            eprintln!("{command:?}: {error}");
            false
        }
    }
}

/// As [`run`], for a program that itself writes no errors: the library must not either.
pub(crate) fn silent(command: &mut Command) -> bool {
    match command.stdin(Stdio::null()).stderr(Stdio::piped()).output() {
        Ok(done) => {
            print!("{}", String::from_utf8_lossy(&done.stdout));
            eprint!("{}", String::from_utf8_lossy(&done.stderr));
            let passed = done.status.success() && done.stderr.is_empty();
            if !passed {
                eprintln!("{command:?}: {}; nothing may be on standard error", done.status);
            }
            passed
        }
        Err(error) => {
            eprintln!("{command:?}: {error}");
            false
        }
    }
}

/// Runs a command and gives what it writes.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let done = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let done = done.map_err(|error| format!("{command:?}: {error}"))?;
    if !done.status.success() {
        return Err(format!("{command:?}: {}", done.status));
    }
    String::from_utf8(done.stdout).map_err(|error| format!("{command:?}: {error}"))
}

pub(crate) fn cargo(args: &[&str]) -> bool {
    run(Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).args(args))
}

/// The folder of cargo's outputs.
pub(crate) fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Where the parts keep what they make.
pub(crate) fn workspace(root: &Path) -> PathBuf {
    target(root).join("native")
}

/// Installs the library of the dev profile, and writes the blocks of the tests: small ones, and
/// the recorded ones where they are there.
pub(crate) fn prepare(root: &Path, part: &mut Part) -> Option<Prepared> {
    let prefix = workspace(root).join("prefix");
    let blocks = workspace(root).join("blocks");
    if !part.step("install", install::run(root, &prefix, false)) {
        return None;
    }
    let recorded = root.join("../shared/mainnet");
    let built = cargo(&["build", "--quiet", "--package", "braid-tests", "--example", "dump"]);
    let mut dump = Command::new(target(root).join("debug/examples/dump"));
    dump.arg(&blocks);
    if recorded.is_dir() {
        dump.arg(&recorded);
    } else {
        let place = recorded.display();
        println!(
            "== {}: recorded blocks: SKIPPED: {place} is not there; they are not part of a clone",
            part.name
        );
    }
    part.step("blocks", built && run(&mut dump)).then_some(Prepared { prefix, blocks })
}

/// As [`prepare`], with the library of the release profile: for measurements.
pub(crate) fn released(root: &Path, part: &mut Part) -> Option<Prepared> {
    let Prepared { blocks, .. } = prepare(root, part)?;
    let prepared = Prepared { prefix: workspace(root).join("release"), blocks };
    let installed = install::run(root, &prepared.prefix, true);
    part.step("install release", installed).then_some(prepared)
}

/// What [`prepare`] made.
pub(crate) struct Prepared {
    pub(crate) prefix: PathBuf,
    pub(crate) blocks: PathBuf,
}

impl Prepared {
    /// All dumped blocks.
    pub(crate) fn all(&self) -> Vec<PathBuf> {
        files(&self.blocks, "block")
    }

    /// The recorded ones among them, which are named after their numbers.
    pub(crate) fn recorded(&self) -> Vec<PathBuf> {
        let numbered = |path: &PathBuf| {
            let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
            stem.bytes().all(|byte| byte.is_ascii_digit())
        };
        self.all().into_iter().filter(numbered).collect()
    }

    /// Small consecutive blocks, in order.
    pub(crate) fn line(&self) -> Vec<PathBuf> {
        let in_line = |path: &PathBuf| {
            let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
            stem.starts_with("line-")
        };
        self.all().into_iter().filter(in_line).collect()
    }

    /// The small block that is always there.
    pub(crate) fn small(&self) -> PathBuf {
        self.blocks.join("synthetic.block")
    }

    /// The small block on the latest fork.
    pub(crate) fn amsterdam(&self) -> PathBuf {
        self.blocks.join("amsterdam.block")
    }

    /// The block whose calls are nested 1024 deep.
    pub(crate) fn deep(&self) -> PathBuf {
        self.blocks.join("deep.block")
    }

    /// The block that calls the precompiles with C code behind them.
    pub(crate) fn precompiles(&self) -> PathBuf {
        self.blocks.join("precompiles.block")
    }

    /// The RLP of a block that needs no parent state.
    pub(crate) fn without_transactions(&self) -> PathBuf {
        self.blocks.join("withdrawal.rlp")
    }

    /// The flags that compile against the installed headers and link the static library.
    pub(crate) fn link_static(&self, command: &mut Command) {
        command.arg(self.prefix.join("lib/libbraid.a")).args(SYSTEM_LIBRARIES);
    }
}

/// The files of a folder with this extension, sorted.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension() == Some(OsStr::new(extension))).collect();
    files.sort();
    files
}

/// The program on a page about embedding, in C or C++.
pub(crate) struct Page {
    /// The language, as the page and its name call it.
    pub(crate) language: &'static str,
    pub(crate) compiler: &'static str,
    pub(crate) flags: &'static [&'static str],
}

impl Page {
    /// Compiles the program as the page says, and runs it.
    pub(crate) fn test(&self, root: &Path, prepared: &Prepared, part: &mut Part) {
        let (language, folder) = (self.language, workspace(root));
        let page = format!("docs/embed-{language}.md");
        let source = folder.join(format!("embed.{language}"));
        let program = folder.join(format!("embed-{language}"));
        let written = snippet(&root.join(&page), language, &source);
        let mut compiler = Command::new(self.compiler);
        compiler.args(WARNINGS).args(self.flags).arg("-I").arg(prepared.prefix.join("include"));
        compiler.arg(source).arg("-o").arg(&program);
        prepared.link_static(&mut compiler);
        let mut execute = Command::new(program);
        execute.arg(prepared.without_transactions());
        part.step(&page, written && run(&mut compiler) && run(&mut execute));
    }
}

/// Writes the page's only code block of this language to a file.
pub(crate) fn snippet(page: &Path, language: &str, to: &Path) -> bool {
    let text = fs::read_to_string(page).unwrap_or_default();
    let open = format!("```{language}\n");
    let mut blocks = text.split(&open).skip(1).filter_map(|rest| rest.split("```").next());
    match (blocks.next(), blocks.next()) {
        (Some(code), None) => fs::write(to, code).is_ok(),
        _ => {
            eprintln!("{}: not one block of {language}", page.display());
            false
        }
    }
}
