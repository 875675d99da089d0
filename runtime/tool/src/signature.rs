//! Public keys in files. May import: `error`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use far_engine::signature::PublicKey;

use crate::error::{Error, Result};

/// Most bytes of a file of a key: its text is a hundred, and there may be words around it.
const MAX_BYTES: u64 = 64 * 1024;

/// The key in a file as `farc keygen` and OpenSSL write them: PEM, `-----BEGIN PUBLIC KEY-----`.
///
/// # Errors
/// The file can't be read, or holds no public key of Ed25519.
pub fn public_key(path: &Path) -> Result<PublicKey> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    file.map_err(|source| Error::File { write: false, path: path.into(), source })?;
    let wrong = |message| Error::Key { path: path.into(), message };
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let key = ed25519_compact::PublicKey::from_pem(text).map_err(|_| {
        wrong(match text.contains("PRIVATE KEY") {
            true => "expected a public key, got a private one, which has no business here",
            false => "expected a public key of Ed25519 in PEM",
        })
    })?;
    PublicKey::new(*key).map_err(|_| wrong("expected a public key, got a number that is nobody's"))
}
