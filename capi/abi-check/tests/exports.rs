//! What libfar.so shows to a linker.

use std::collections::BTreeSet;
use std::process::Command;

use far_abi_check::{committed_symbols, libraries, succeed};

#[test]
fn exactly_the_committed_symbols_are_exported() {
    let nm =
        succeed(Command::new("nm").args(["-D", "--defined-only", "--format=posix"]).arg(&libraries().shared));
    let text = String::from_utf8(nm.stdout).expect("symbols are ASCII");
    let exported: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(exported, committed_symbols(), "libfar.so (left) and abi/far-1.symbols (right) differ");
}

#[test]
fn committed_list_is_sorted() {
    let text = include_str!("../../abi/far-1.symbols");
    assert!(text.lines().is_sorted(), "abi/far-1.symbols is not sorted");
}

#[test]
fn soname_has_the_abi_version() {
    let readelf = succeed(Command::new("readelf").args(["-d", "-W"]).arg(&libraries().shared));
    let text = String::from_utf8_lossy(&readelf.stdout).into_owned();
    let soname = format!("Library soname: [libfar.so.{}]", far::FAR_ABI_VERSION);
    assert!(text.contains(&soname), "expected `{soname}` in\n{text}");
}
