//! `far`, the board's own command. Data goes to standard output, errors to standard error; exit status 0 success, 1 a
//! problem of the user or the model, 2 usage or a defect. May import: `far_tool`, `far_engine`, `far_format`.

mod cli;

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(lexopt::Parser::from_env()) {
        Ok(reply) => match io::stdout().write_all(reply.text.as_bytes()) {
            Ok(()) => ExitCode::from(u8::from(!reply.good)),
            // Whoever reads has enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(1),
        },
        Err(error) => {
            let hint = error.hint().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
            // Nobody is left to tell if this fails.
            let _ = write!(io::stderr(), "error: {error}\n{hint}");
            ExitCode::from(error.exit_code())
        }
    }
}
