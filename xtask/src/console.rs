//! What the user sees: one line per step, tables, errors. The only place that prints.
//! May import: `error`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use crate::error::Error;

/// Says what begins, or what was found: `cross: packages: all are installed`.
pub(crate) fn step(command: &str, what: impl std::fmt::Display) {
    println!("{command}: {what}");
}

/// Prints a result as it is.
pub(crate) fn result(text: impl std::fmt::Display) {
    println!("{text}");
}

/// Prints an error with everything a user needs to act on it.
pub(crate) fn error(error: &Error) {
    eprintln!("error: {error}");
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
}
