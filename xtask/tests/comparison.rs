//! What the comparison with other runtimes prints: its own tests, which need Python alone.

#![allow(clippy::print_stderr, reason = "says what was skipped")]

use std::path::Path;
use std::process::Command;

#[test]
fn tables_of_known_figures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/peers");
    let Ok(output) =
        Command::new("python3").args(["-B", "-m", "unittest", "test_tables"]).current_dir(folder).output()
    else {
        eprintln!("SKIPPED the comparison's tables: there is no python3");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
