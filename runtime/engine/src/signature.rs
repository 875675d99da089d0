//! Who made an artifact: Ed25519 signatures (RFC 8032) of the whole file, in a file of their own beside it.
//!
//! ```text
//! offset   bytes
//! 0        8     46 41 52 53 49 47 0D 0A  ("FARSIG\r\n")
//! 8        96×n  signatures, n from 1 to 8: 32 public key of who signed · 64 signature
//! ```
//!
//! A signature is plain Ed25519 over the artifact's bytes, so that every other implementation can make and check it. The key in
//! the file only says which of several signatures to look at, and lets an error name the other key: it is never trusted.
//! May import: `error`, `system`.

use std::fmt;
use std::path::{Path, PathBuf};

use ed25519_compact as ed25519;

use crate::error::{Error, Result};
use crate::system;

/// A file of signatures begins with these bytes.
const MAGIC: [u8; 8] = *b"FARSIG\r\n";

/// Most signatures in a file.
pub const MAX_SIGNATURES: usize = 8;

/// Bytes of a signature with its key.
const ENTRY_BYTES: usize = ed25519::PublicKey::BYTES + ed25519::Signature::BYTES;

/// Most bytes of a file of signatures.
pub(crate) const MAX_FILE_BYTES: usize = MAGIC.len() + MAX_SIGNATURES * ENTRY_BYTES;

/// Whose signatures are accepted: a point of the curve that isn't of small order, in its one encoding.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; PublicKey::BYTES]);

impl PublicKey {
    /// Bytes of a key.
    pub const BYTES: usize = ed25519::PublicKey::BYTES;

    /// A key of its bytes.
    ///
    /// # Errors
    /// [`Error::PublicKey`] for bytes that are nobody's key.
    pub fn new(bytes: [u8; PublicKey::BYTES]) -> Result<PublicKey> {
        match ed25519::PublicKey::new(bytes).validate() {
            Ok(()) => Ok(PublicKey(bytes)),
            Err(_) => Err(Error::PublicKey),
        }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; PublicKey::BYTES] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// Bytes as text: in hexadecimal.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A signature, and whose it claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Public key of who signed, as the file says: any bytes.
    pub key: [u8; PublicKey::BYTES],
    /// The signature itself.
    pub bytes: [u8; ed25519::Signature::BYTES],
}

/// The signatures in a file of them.
///
/// # Errors
/// [`Error::SignatureFile`].
pub fn decode(file: &[u8]) -> Result<impl Iterator<Item = Signature> + '_> {
    let wrong = Error::SignatureFile { found: file.len() };
    let Some((entries, [])) = file.strip_prefix(&MAGIC).map(<[u8]>::as_chunks::<ENTRY_BYTES>) else {
        return Err(wrong);
    };
    if !(1..=MAX_SIGNATURES).contains(&entries.len()) {
        return Err(wrong);
    }
    Ok(entries.iter().map(|entry| {
        let mut signature = Signature { key: [0; _], bytes: [0; _] };
        let (key, bytes) = entry.split_at(signature.key.len());
        signature.key.copy_from_slice(key);
        signature.bytes.copy_from_slice(bytes);
        signature
    }))
}

/// A file of signatures; of more than fit the last are left out.
pub fn encode(signatures: &[Signature]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    for Signature { key, bytes } in signatures.iter().take(MAX_SIGNATURES) {
        file.extend_from_slice(key);
        file.extend_from_slice(bytes);
    }
    file
}

/// Where the signatures of an artifact's file are: beside it, with `.sig` behind its name.
///
/// # Errors
/// There is no memory for the path.
pub fn beside(artifact: &Path) -> Result<PathBuf> {
    system::copy_with(artifact, ".sig")
}

/// Whether an artifact is signed by that key: one of the signatures in a file of them must be its own, and fit every byte.
/// Nothing else of the artifact is looked at before that is known.
///
/// # Errors
/// [`Error::SignatureFile`]; [`Error::OtherKey`] where all signatures are of other keys; [`Error::Signature`] where the key's
/// own doesn't fit, and `Error::Artifact` where that is because the file was cut.
pub fn verify(artifact: &[u8], signatures: &[u8], key: &PublicKey) -> Result<()> {
    let mut found = None;
    let mut mine = 0;
    for signature in decode(signatures)? {
        if signature.key != key.0 {
            found.get_or_insert(signature.key);
            continue;
        }
        mine += 1;
        let bytes = ed25519::Signature::new(signature.bytes);
        if ed25519::PublicKey::new(key.0).verify(artifact, &bytes).is_ok() {
            return Ok(());
        }
    }
    match found {
        Some(found) if mine == 0 => Err(Error::OtherKey { expected: *key, found }),
        _ => {
            far_format::check_length(artifact)?;
            Err(Error::Signature { key: *key })
        }
    }
}
