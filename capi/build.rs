//! Names the shared library `libfar.so.ABI`, so that a program finds only the binary interface it was linked with.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libfar.so.1");
}
