//! Limits as the command line has them, `NAME=N`, and those on what is accepted of an artifact. May import: nothing of this crate.

use far_engine::Limits;

/// One of the limits.
type Field = fn(&mut Limits) -> &mut u64;

/// The limits on artifacts, each with its name.
const LIMITS: [(&str, Field); 6] = [
    ("file-size", |limits| &mut limits.file_bytes),
    ("arena-size", |limits| &mut limits.arena_bytes),
    ("tensors", |limits| &mut limits.tensors),
    ("steps", |limits| &mut limits.steps),
    ("tokens", |limits| &mut limits.tokens),
    ("batch", |limits| &mut limits.batch),
];

/// Puts `NAME=N` among the limits.
///
/// # Errors
/// What was expected, where the text is something else.
pub fn set(limits: &mut Limits, text: &str) -> Result<(), String> {
    let pair = text.split_once('=').ok_or_else(|| format!("expected `NAME=N`, got `{text}`"))?;
    let (limit, most) = choose(pair, &LIMITS)?;
    *limit(limits) = most;
    Ok(())
}

/// Which of the known limits is named, and its number.
///
/// # Errors
/// What was expected, where either is something else.
pub fn choose<T: Copy>((name, number): (&str, &str), known: &[(&str, T)]) -> Result<(T, u64), String> {
    let Some((_, limit)) = known.iter().find(|(known, _)| *known == name) else {
        let names: Vec<String> = known.iter().map(|(name, _)| format!("`{name}`")).collect();
        return Err(format!("expected one of {}, got `{name}`", names.join(", ")));
    };
    let number = number.parse().map_err(|_| format!("expected a whole number, got `{number}`"))?;
    Ok((*limit, number))
}
