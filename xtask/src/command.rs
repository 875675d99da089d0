//! Runs commands; a failing one is shown whole. May import: `error`.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result};

/// Runs to the end and returns what it wrote. What a person at a terminal wants to see while it runs (a command's standard
/// error) is passed through there, else it is part of the returned text.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let (status, output) = run_any(command)?;
    if !status.success() {
        return Err(Error::Failed { command: line(command), status, output });
    }
    Ok(output)
}

/// As [`run`], but a failure is the caller's to judge.
pub(crate) fn run_any(command: &mut Command) -> Result<(std::process::ExitStatus, String)> {
    let start = |source| Error::Start { command: line(command), source };
    let (mut reader, writer) = std::io::pipe().map_err(start)?;
    if !std::io::stderr().is_terminal() {
        command.stderr(writer.try_clone().map_err(start)?);
    }
    let mut child = match command.stdin(Stdio::null()).stdout(writer).spawn() {
        Ok(child) => child,
        Err(source) => return Err(Error::Start { command: line(command), source }),
    };
    // The command holds the write ends that it was given; they must go, or the pipe never ends.
    command.stdout(Stdio::null()).stderr(Stdio::inherit());
    let mut output = Vec::new();
    let read = reader.read_to_end(&mut output).and_then(|_| child.wait());
    let status = read.map_err(|source| Error::Start { command: line(command), source })?;
    Ok((status, String::from_utf8_lossy(&output).into_owned()))
}

/// Standard output of a command that must succeed, trimmed.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    output(command.stdin(Stdio::null()), |command| command.output())
}

/// The same of a command that reads `input`.
pub(crate) fn stdout_of(command: &mut Command, input: &str) -> Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    output(command, |command| {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    })
}

fn output(
    command: &mut Command,
    run: impl FnOnce(&mut Command) -> std::io::Result<Output>,
) -> Result<String> {
    match run(command) {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => Err(Error::Failed {
            command: line(command),
            status: output.status,
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
        Err(source) => Err(Error::Start { command: line(command), source }),
    }
}

/// Whether a command can be started and succeeds.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let mut text = String::new();
    if let Some(dir) = command.get_current_dir() {
        let _ = write!(text, "cd {} && ", quote(&dir.to_string_lossy()));
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let _ = write!(text, "{}={} ", name.to_string_lossy(), quote(&value.to_string_lossy()));
        }
    }
    text.push_str(&quote(&command.get_program().to_string_lossy()));
    for arg in command.get_args() {
        let _ = write!(text, " {}", quote(&arg.to_string_lossy()));
    }
    text
}

/// Quotes a word for a POSIX shell where it needs it.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Where a program of that name is on the `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_what_one_would_type() {
        let mut command = Command::new("cargo");
        command.args(["test", "it's"]).env("A", "b c").env_remove("D");
        assert_eq!(line(&command), r"A='b c' cargo test 'it'\''s'");
    }

    #[test]
    fn input_reaches_the_command() {
        assert_eq!(stdout_of(&mut Command::new("cat"), "a\nb\n").unwrap(), "a\nb");
        let error =
            stdout_of(Command::new("sh").args(["-c", "cat >&2; exit 3"]), "why").unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("why"), "{error}");
    }

    #[test]
    fn failing_command_is_shown_whole() {
        let error = run(Command::new("sh").args(["-c", "echo out; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c 'echo out; exit 3'"), "{error}");
        assert!(error.contains("exit status: 3") && error.ends_with("\nout"), "{error}");
    }

    #[test]
    fn absent_command_is_named() {
        let error = run(&mut Command::new("no-such-program")).unwrap_err().to_string();
        assert!(error.contains("no-such-program"), "{error}");
    }
}
