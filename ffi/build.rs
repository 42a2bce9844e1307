//! Link arguments of the shared library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // Some dependencies mark symbols of theirs for export; the host may have its own of them.
        println!("cargo::rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
        // An assembly object among them does not say that it needs no executable stack.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,noexecstack");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libbraid.so.0");
    }
}
