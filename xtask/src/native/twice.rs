//! One binary, two copies: a host with its own blst and c-kzg, or with other functions of those
//! names, links the library, and both sides get what they mean.
//!
//! The host's copies are compiled from the C sources inside the crates `blst` and `c-kzg`, which
//! the build has downloaded anyway. The decoys have the name of every such symbol that the library
//! had before it was localised, and end the process when they are called.

use super::{Part, Prepared, SYSTEM_LIBRARIES, WARNINGS, output, run, target, workspace};
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Fewer decoys than this would mean that the names are no longer found.
const MIN_DECOYS: usize = 50;

/// Runs the steps.
pub(crate) fn test(root: &Path, prepared: &Prepared, part: &mut Part) {
    let folder = workspace(root).join("twice");
    let steps = fs::create_dir_all(&folder).map_err(|error| error.to_string());
    let step = |what: &str, done: Result<bool, String>, part: &mut Part| {
        let passed = done.unwrap_or_else(|error| {
            eprintln!("{what}: {error}");
            false
        });
        part.step(what, passed);
    };
    step("a folder", steps.map(|()| true), part);
    step("a host with its own blst and c-kzg", copies(root, prepared, &folder), part);
    let decoys = decoys(root, &folder);
    for shared in [false, true] {
        let what = if shared { "decoys, shared library" } else { "decoys, static library" };
        let done = decoys.clone().and_then(|decoys| decoyed(root, prepared, &decoys, shared));
        step(what, done, part);
    }
}

fn copies(root: &Path, prepared: &Prepared, folder: &Path) -> Result<bool, String> {
    let (blst, kzg) = (crate_folder("blst")?.join("blst"), crate_folder("c-kzg")?.join("src"));
    let mut objects = Vec::new();
    for source in [blst.join("src/server.c"), blst.join("build/assembly.S"), kzg.join("ckzg.c")] {
        let stem = source.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let object = folder.join(format!("{stem}.o"));
        let mut gcc = Command::new("gcc");
        gcc.args(["-O2", "-c", "-D__BLST_PORTABLE__", "-I"]).arg(blst.join("bindings"));
        gcc.arg("-I").arg(&kzg).arg(&source).arg("-o").arg(&object);
        if !run(&mut gcc) {
            return Ok(false);
        }
        objects.push(object);
    }
    let program = folder.join("copies");
    let mut gcc = compiler(root, prepared, &program);
    gcc.arg("-DOWN_COPIES").arg("-I").arg(blst.join("bindings")).arg("-I").arg(&kzg);
    gcc.args(&objects);
    prepared.link_static(&mut gcc);
    let mut execute = Command::new(&program);
    execute.arg(prepared.precompiles()).arg(kzg.join("trusted_setup.txt"));
    Ok(run(&mut gcc) && run(&mut execute))
}

/// Writes and compiles the decoys.
fn decoys(root: &Path, folder: &Path) -> Result<PathBuf, String> {
    let mut nm = Command::new("nm");
    nm.args(["-g", "--defined-only", "--format=posix"]);
    // Members of the archive that are no objects are complained about; they have no symbols.
    nm.arg(target(root).join("debug/libbraid.a")).stderr(std::process::Stdio::null());
    let done = nm.output().map_err(|error| format!("nm: {error}"))?;
    let symbols = String::from_utf8_lossy(&done.stdout);
    let functions = symbols.lines().filter_map(|line| line.split_once(" T "));
    let foreign = |name: &&str| {
        let plain = !name.starts_with(['_', '.']) && !name.starts_with("braid_");
        plain && ["blst_", "kzg", "trusted_setup", "secp256k1"].iter().any(|s| name.contains(s))
    };
    let names: BTreeSet<&str> = functions.map(|(name, _)| name).filter(foreign).collect();
    if names.len() < MIN_DECOYS {
        return Err(format!("only {} names for decoys", names.len()));
    }
    let mut text = "#include <stdlib.h>\n".to_owned();
    names.iter().for_each(|name| text.push_str(&format!("void {name}(void) {{ abort(); }}\n")));
    let (source, object) = (folder.join("decoys.c"), folder.join("decoys.o"));
    fs::write(&source, text).map_err(|error| format!("{}: {error}", source.display()))?;
    let mut gcc = Command::new("gcc");
    let made = run(gcc.args(["-c", "-fPIC"]).arg(&source).arg("-o").arg(&object));
    if made { Ok(object) } else { Err("the decoys do not compile".to_owned()) }
}

fn decoyed(root: &Path, prepared: &Prepared, decoys: &Path, shared: bool) -> Result<bool, String> {
    let kind = if shared { "shared" } else { "static" };
    let program = decoys.with_file_name(format!("decoyed-{kind}"));
    let lib = prepared.prefix.join("lib");
    let mut gcc = compiler(root, prepared, &program);
    gcc.arg(decoys);
    if shared {
        // The host's symbols come first in a look-up by name.
        gcc.arg("-rdynamic").arg("-L").arg(&lib).arg("-lbraid").args(SYSTEM_LIBRARIES);
    } else {
        prepared.link_static(&mut gcc);
    }
    let mut execute = Command::new(&program);
    execute.arg(prepared.precompiles()).env("LD_LIBRARY_PATH", lib);
    Ok(run(&mut gcc) && run(&mut execute))
}

fn compiler(root: &Path, prepared: &Prepared, program: &Path) -> Command {
    let sources = root.join("tests/c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-g", "-O1"]).args(WARNINGS).arg("-I");
    gcc.arg(prepared.prefix.join("include")).arg(sources.join("twice.c"));
    gcc.arg(sources.join("dump.c")).arg("-o").arg(program);
    gcc
}

/// Where cargo has put the sources of this package.
fn crate_folder(name: &str) -> Result<PathBuf, String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let metadata = output(cargo.args(["metadata", "--format-version", "1", "--locked"]))?;
    // Of the package's description only the manifest's path matters: .../NAME-VERSION/Cargo.toml
    let mut paths = metadata.split("\"manifest_path\":\"").skip(1);
    let is_it = |path: &str| {
        let folder = Path::new(path).parent().and_then(Path::file_name);
        let folder = folder.and_then(|folder| folder.to_str()).unwrap_or_default();
        folder.strip_prefix(name).is_some_and(|rest| {
            rest.strip_prefix('-').is_some_and(|version| version.starts_with(char::is_numeric))
        })
    };
    let path = paths.find_map(|rest| rest.split('"').next().filter(|path| is_it(path)));
    let folder = path.and_then(|path| Path::new(path).parent()).map(Path::to_owned);
    folder.ok_or_else(|| format!("cargo knows no package `{name}`"))
}
