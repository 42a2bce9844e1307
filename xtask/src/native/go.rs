//! The tests in Go: the bindings, the geth adapter, their examples, the page.
//!
//! Both modules link the static library. Go compiles geth several times over (plain, with the race
//! detector, with its KZG code in C), and keeps what it compiled.

use super::{Part, Prepared, cargo, output, prepare, released, run, snippet, target, workspace};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const LONG: [(&str, &str); 3] = [
    ("BRAID_CHAIN_BLOCKS", "470"),
    ("BRAID_CONFORMANCE_STRIDE", "1"),
    ("BRAID_SOAK_BLOCKS", "100000"),
];

/// Go with what it needs to find braid.
struct Toolchain {
    bindings: PathBuf,
    adapter: PathBuf,
    prefix: PathBuf,
    variables: Vec<(&'static str, PathBuf)>,
    long: bool,
}

/// Runs the part; true where nothing failed. The long form takes hours on few cores.
pub(crate) fn test(root: &Path, long: bool) -> bool {
    let mut part = Part::new("go");
    if !part.has("all", &["go", "gofmt", "gcc", "ld", "objcopy", "ar", "nm"]) {
        return part.passed();
    }
    let Some(prepared) = prepare(root, &mut part) else { return false };
    let built = cargo(&["build", "--quiet", "--package", "braid-cli"]);
    part.step("the command line", built);
    let go = Toolchain::new(root, &prepared, long);
    let unformatted = output(Command::new("gofmt").arg("-l").arg(&go.bindings));
    part.step("gofmt", unformatted.is_ok_and(|list| list.trim().is_empty()));
    bindings(&go, &prepared, &mut part);
    page(root, &go, &prepared, &mut part);
    adapter(&go, &mut part);
    part.passed()
}

/// Compares geth's processor with braid, and measures what Go's callbacks cost on the recorded
/// blocks, on the library of the release profile. Chains are generated once and kept.
pub(crate) fn bench(root: &Path) -> bool {
    let mut part = Part::new("bench go");
    if !part.has("all", &["go", "gcc", "ld", "objcopy", "ar", "nm"]) {
        return part.passed();
    }
    let Some(prepared) = released(root, &mut part) else { return false };
    let go = Toolchain::new(root, &prepared, false);
    let blocks: Vec<PathBuf> = prepared.recorded().iter().map(|path| absolute(path)).collect();
    for threads in ["1", "2"] {
        if !blocks.is_empty() {
            let mut cost = go.bindings(&["run", "./cmd/cost", "-threads", threads]);
            part.step(&format!("cost, {threads} threads"), run(cost.args(&blocks)));
        }
    }
    for (what, kind) in [("heavy", None), ("mixed", Some("-mixed"))] {
        let chain = absolute(&workspace(root).join(format!("{what}.chain")));
        let mut bench = go.adapter(&["run", "./cmd/bench", "-chain"]);
        part.step(&format!("{what} blocks"), run(bench.arg(chain).args(kind)));
    }
    part.passed()
}

impl Toolchain {
    fn new(root: &Path, prepared: &Prepared, long: bool) -> Self {
        let bindings = absolute(&root.join("bindings/go"));
        let mut variables = vec![
            ("BRAID_BLOCKS", absolute(&prepared.blocks)),
            ("BRAID_BINARY", absolute(&target(root).join("debug/braid"))),
        ];
        let fixtures = root.join("../shared/fixtures");
        if fixtures.is_dir() {
            variables.push(("BRAID_FIXTURES", absolute(&fixtures)));
        } else {
            println!("== go: conformance: SKIPPED: {} is not there", fixtures.display());
        }
        Self {
            adapter: bindings.join("gethadapter"),
            bindings,
            prefix: absolute(&prepared.prefix),
            variables,
            long,
        }
    }

    /// Go in a module, with the static library.
    fn command(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("go");
        command.current_dir(folder).args(args);
        command.env("GOFLAGS", "-buildvcs=false -tags=braid_static");
        command.env("CGO_CFLAGS", format!("-O2 -I{}", self.prefix.join("include").display()));
        command.env("CGO_LDFLAGS", format!("-L{}", self.prefix.join("lib").display()));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if self.long {
            command.envs(LONG);
        }
        command
    }

    fn bindings(&self, args: &[&str]) -> Command {
        self.command(&self.bindings, args)
    }

    fn adapter(&self, args: &[&str]) -> Command {
        self.command(&self.adapter, args)
    }
}

/// `go test` with these arguments. A result of an earlier library would be kept otherwise.
fn tests<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["test", "-count=1", "-timeout=10h"];
    all.extend(args);
    all
}

fn bindings(go: &Toolchain, prepared: &Prepared, part: &mut Part) {
    part.step("vet the bindings", run(&mut go.bindings(&["vet", "./..."])));
    part.step("bindings", run(&mut go.bindings(&tests(&["./..."]))));
    // The measurement of what Go's callbacks cost, which compares each result too.
    let mut cost = go.bindings(&["run", "./cmd/cost", "-rounds", "1"]);
    part.step("the measurement runs", run(cost.arg(absolute(&prepared.small()))));
    // The recorded blocks take long under the race detector, and add no schedule.
    let small = ["-race", "-run", "Concurrent|Forgotten|Reader|Cancel|Close|Codes", "."];
    part.step("bindings under the race detector", run(&mut go.bindings(&tests(&small))));
    let mut checked = go.bindings(&tests(&small[1..]));
    part.step("bindings under cgocheck2", run(checked.env("GOEXPERIMENT", "cgocheck2")));
    let mut stub = go.bindings(&tests(&["."]));
    part.step("bindings without cgo", run(stub.env("CGO_ENABLED", "0")));
    let stub = ["-tags=braid_stub", "."];
    part.step("bindings as a stub", run(&mut go.bindings(&tests(&stub))));
    let mut replay = go.bindings(&["run", "./examples/replay"]);
    part.step("example replay", run(replay.arg(absolute(&prepared.small()))));
    let block = absolute(&prepared.without_transactions());
    let mut reader = go.bindings(&["run", "./examples/reader"]);
    part.step("example reader", run(reader.arg(&block)));
    // As a program of another project links, without a tag.
    let mut shared = go.bindings(&["run", "./examples/reader"]);
    shared.env("GOFLAGS", "-buildvcs=false").env("LD_LIBRARY_PATH", go.prefix.join("lib"));
    part.step("example with the shared library", run(shared.arg(&block)));
    if part.has("example through pkg-config", &["pkg-config"]) {
        let mut example = go.bindings(&["run", "-tags=braid_pkgconfig", "./examples/reader"]);
        example.env_remove("CGO_CFLAGS").env_remove("CGO_LDFLAGS");
        example.env("LD_LIBRARY_PATH", go.prefix.join("lib"));
        example.env("PKG_CONFIG_PATH", go.prefix.join("lib/pkgconfig"));
        part.step("example through pkg-config", run(example.arg(&block)));
    }
}

fn adapter(go: &Toolchain, part: &mut Part) {
    part.step("vet the adapter", run(&mut go.adapter(&["vet", "./..."])));
    part.step("adapter", run(&mut go.adapter(&tests(&["./..."]))));
    let small = ["-race", "-run", "Concurrent|Prefetcher|Transition|Difference", "."];
    let mut race = go.adapter(&tests(&small));
    race.env_remove("BRAID_CHAIN_BLOCKS");
    part.step("adapter under the race detector", run(&mut race));
    let both = ["-tags=braid_static,ckzg", "-run", "Cryptography", "."];
    part.step("adapter with geth's own KZG code in C", run(&mut go.adapter(&tests(&both))));
    let short = ["run", "./cmd/bench", "-blocks", "2", "-rounds", "1"];
    part.step("the measurement runs", run(&mut go.adapter(&short)));
}

/// The program on the page about embedding, as a module of its own.
fn page(root: &Path, go: &Toolchain, prepared: &Prepared, part: &mut Part) {
    let folder = workspace(root).join("embed-go");
    let written = fs::create_dir_all(&folder).is_ok()
        && snippet(&root.join("docs/embed-go.md"), "go", &folder.join("main.go"))
        && fs::write(
            folder.join("go.mod"),
            format!(
                "module example.org/page\n\ngo 1.24.0\n\n\
                 require github.com/braid-evm/braid/bindings/go v0.0.0\n\n\
                 replace github.com/braid-evm/braid/bindings/go => {}\n",
                go.bindings.display()
            ),
        )
        .is_ok();
    let formatted = output(Command::new("gofmt").arg("-l").arg(&folder));
    let formatted = formatted.is_ok_and(|list| list.trim().is_empty());
    let block = absolute(&prepared.without_transactions());
    let mut program = go.command(&folder, &["run", "."]);
    part.step("docs/embed-go.md", written && formatted && run(program.arg(block)));
}

/// A path that holds in any folder.
fn absolute(path: &Path) -> PathBuf {
    env::current_dir().map_or_else(|_| path.to_owned(), |folder| folder.join(path))
}
