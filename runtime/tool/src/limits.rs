//! What is accepted of an artifact, by the names that the command line gives it. May import: nothing of this crate.

use far_engine::{Limit, Limits};

/// Each with its name; [`Limit`]'s text says what it counts.
const NAMES: [(&str, Limit); 6] = [
    ("file-size", Limit::FileBytes),
    ("arena-size", Limit::ArenaBytes),
    ("tensors", Limit::Tensors),
    ("steps", Limit::Steps),
    ("tokens", Limit::Tokens),
    ("batch", Limit::Batch),
];

/// Puts `NAME=N` among the limits.
///
/// # Errors
/// What was expected, where the text is something else.
pub fn set(limits: &mut Limits, text: &str) -> Result<(), String> {
    let (name, number) = text.split_once('=').ok_or_else(|| format!("expected `NAME=N`, got `{text}`"))?;
    let Some((_, limit)) = NAMES.into_iter().find(|(known, _)| *known == name) else {
        let names = NAMES.map(|(name, _)| format!("`{name}`"));
        return Err(format!("expected one of {}, got `{name}`", names.join(", ")));
    };
    let most = number.parse().map_err(|_| format!("expected a whole number, got `{number}`"))?;
    *match limit {
        Limit::FileBytes => &mut limits.file_bytes,
        Limit::ArenaBytes => &mut limits.arena_bytes,
        Limit::Tensors => &mut limits.tensors,
        Limit::Steps => &mut limits.steps,
        Limit::Tokens => &mut limits.tokens,
        Limit::Batch => &mut limits.batch,
    } = most;
    Ok(())
}
