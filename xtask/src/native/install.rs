//! `cargo xtask install --prefix DIR`: headers, static and shared library, pkg-config and CMake
//! packages.
//!
//! The static library is one object in which only `braid_` symbols are global: a host that has its
//! own blst, c-kzg or secp256k1, or another Rust library, links both.

use super::{SYSTEM_LIBRARIES, cargo, output, run as run_command, target};
use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// The soname, set in `ffi/build.rs`.
const SHARED: &str = "libbraid.so.0";

/// Builds and installs; true where all went well.
pub(crate) fn run(root: &Path, prefix: &Path, release: bool) -> bool {
    let mut args = vec!["build", "--quiet", "--package", "braid-ffi"];
    if release {
        args.push("--release");
    }
    if !cargo(&args) {
        return false;
    }
    let built = target(root).join(if release { "release" } else { "debug" });
    let done = files(root, prefix, &built).map_err(|error| error.to_string());
    match done.and_then(|()| localised(&built, &prefix.join("lib/libbraid.a"))) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("install: {error}");
            false
        }
    }
}

fn files(root: &Path, prefix: &Path, built: &Path) -> io::Result<()> {
    let (include, lib) = (prefix.join("include"), prefix.join("lib"));
    let (pkgconfig, cmake) = (lib.join("pkgconfig"), lib.join("cmake/braid"));
    for folder in [&include, &lib, &pkgconfig, &cmake] {
        fs::create_dir_all(folder)?;
    }
    fs::copy(root.join("include/braid.h"), include.join("braid.h"))?;
    fs::copy(root.join("bindings/cpp/braid.hpp"), include.join("braid.hpp"))?;
    fs::copy(built.join("libbraid.so"), lib.join(SHARED))?;
    let link = lib.join("libbraid.so");
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    symlink(SHARED, link)?;
    let templates = root.join("bindings/cpp/cmake");
    let prefix = fs::canonicalize(prefix)?;
    let fill = |from: &str, to: PathBuf| {
        let text = fs::read_to_string(templates.join(from))?;
        let text = text
            .replace("@PREFIX@", &prefix.display().to_string())
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
            .replace("@SYSTEM_LIBRARIES@", &SYSTEM_LIBRARIES.join(" "));
        fs::write(to, text)
    };
    fill("braid.pc.in", pkgconfig.join("braid.pc"))?;
    fill("braid-config.cmake.in", cmake.join("braid-config.cmake"))?;
    fill("braid-config-version.cmake.in", cmake.join("braid-config-version.cmake"))
}

/// The functions that the shared library exports.
pub(crate) fn exported(shared: &Path) -> Result<Vec<String>, String> {
    let mut nm = Command::new("nm");
    let list = output(nm.args(["-D", "--defined-only", "--format=posix"]).arg(shared))?;
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.map(str::to_owned).collect())
}

/// Links all that the exported functions need into one object and hides the rest.
fn localised(built: &Path, to: &Path) -> Result<(), String> {
    let names = exported(&built.join("libbraid.so"))?;
    let (whole, hidden) = (built.join("libbraid-whole.o"), built.join("libbraid-hidden.o"));
    let mut ld = Command::new("ld");
    ld.args(["-r", "-z", "noexecstack", "--gc-sections"]);
    names.iter().for_each(|name| {
        ld.arg("-u").arg(name);
    });
    ld.arg("-o").arg(&whole).arg(built.join("libbraid.a"));
    let mut objcopy = Command::new("objcopy");
    // Bitcode of the standard library would confuse a linker with another version of LLVM.
    objcopy.args(["--remove-section=.llvmbc", "--remove-section=.llvmcmd"]);
    names.iter().for_each(|name| {
        objcopy.arg(format!("--keep-global-symbol={name}"));
    });
    objcopy.arg(&whole).arg(&hidden);
    if to.exists() {
        fs::remove_file(to).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    let mut ar = Command::new("ar");
    ar.arg("rcs").arg(to).arg(&hidden);
    let made = [ld, objcopy, ar].iter_mut().all(run_command);
    for file in [whole, hidden] {
        // What is left over does no harm.
        let _ = fs::remove_file(file);
    }
    if made { Ok(()) } else { Err(format!("{}: not written", to.display())) }
}
