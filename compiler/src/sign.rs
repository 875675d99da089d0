//! Keys, and signatures of artifacts: who has the private key can say that an artifact is theirs. What a signature is, and how it
//! is checked, is the engine's to say. May import: `emit` (writing of files), `error`; far-engine (signatures), far-format.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ed25519_compact::{KeyPair, Seed};
use far_engine::signature::{self, MAX_SIGNATURES, PublicKey, Signature};

use crate::emit;
use crate::error::{Error, ErrorKind, Result};

/// Most bytes of a file of a key or of signatures: far more than either has.
const MAX_BYTES: u64 = 64 * 1024;

/// What signs.
pub struct PrivateKey {
    pair: KeyPair,
    public: PublicKey,
}

impl PrivateKey {
    /// A new one, of the system's randomness.
    ///
    /// # Errors
    /// The system gives none.
    pub fn generate() -> Result<PrivateKey> {
        let mut seed = [0; Seed::BYTES];
        getrandom::fill(&mut seed)
            .map_err(|e| Error::new(ErrorKind::Io, format!("the system gives no random numbers: {e}")))?;
        PrivateKey::of(KeyPair::from_seed(Seed::new(seed)))
    }

    /// The key in a file, as [`write`](PrivateKey::write) and OpenSSL write it: PKCS#8 in PEM.
    ///
    /// # Errors
    /// `Io` if it can't be read, `BadKey` for anything but a private key of Ed25519.
    pub fn read(path: &Path) -> Result<PrivateKey> {
        let bytes = bounded(path).map_err(|e| io_error("the private key can't be read", path, &e))?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        KeyPair::from_pem(text).map_err(drop).and_then(|pair| PrivateKey::of(pair).map_err(drop)).map_err(|()| {
            let got = match () {
                () if text.contains("PUBLIC KEY") && !text.contains("PRIVATE KEY") => "a public key",
                () if text.contains("ENCRYPTED PRIVATE KEY") => "one behind a passphrase",
                () if text.contains("PRIVATE KEY") => "a key of another kind",
                () => "no key",
            };
            Error::new(ErrorKind::BadKey, "the file is no private key that signs artifacts")
                .expected("a private key of Ed25519, in PEM")
                .got(got)
                .in_file(path)
                .hint("give the `.key` file that `farc keygen` wrote, or one of `openssl genpkey -algorithm ed25519`")
        })
    }

    fn of(pair: KeyPair) -> Result<PrivateKey> {
        let public = PublicKey::new(*pair.pk)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("a key that nobody can have: {e}")))?;
        Ok(PrivateKey { pair, public })
    }

    /// Whom a signature is said to be by.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Writes the key to `NAME.key`, for its owner's eyes, and the public one to `NAME.pub`; gives these names.
    ///
    /// # Errors
    /// `Io` where they can't be written; one that is there is never overwritten, and nothing is left behind.
    pub fn write(&self, name: &Path) -> Result<(PathBuf, PathBuf)> {
        let (private, public) = (with(name, ".key"), with(name, ".pub"));
        let texts = [(&private, 0o600, self.pair.sk.to_pem()), (&public, 0o644, self.pair.pk.to_pem())];
        let mut written = Vec::new();
        for (path, mode, text) in texts {
            let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
            let result = file.and_then(|mut file| {
                written.push(path);
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
            if let Err(e) = result {
                // What can't be removed either is told by the error that comes now.
                written.iter().for_each(|path| drop(fs::remove_file(path)));
                let error = io_error("the key can't be written", path, &e);
                return Err(match e.kind() {
                    io::ErrorKind::AlreadyExists => {
                        error.hint("a key that is overwritten is lost for ever: choose another name")
                    }
                    _ => error,
                });
            }
        }
        Ok((private, public))
    }

    /// Signs an artifact, which must be sound. The same artifact gives the same signature.
    ///
    /// # Errors
    /// `BadArtifact`.
    pub fn sign(&self, artifact: &[u8]) -> Result<Signature> {
        far_format::read(artifact).map_err(|e| {
            Error::new(ErrorKind::BadArtifact, format!("the artifact is refused: {e}"))
                .hint("`farc compile` makes artifacts; copy the file again if it was copied")
        })?;
        let signature = Signature { key: *self.public.as_bytes(), bytes: *self.pair.sk.sign(artifact, None) };
        // A fault of the machine while it signs could give the key away.
        signature::verify(artifact, &signature::encode(&[signature]), &self.public)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("the signature came out wrong: {e}")))?;
        Ok(signature)
    }
}

/// What [`sign_file`] did.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Bytes of the artifact.
    pub bytes: usize,
    /// The file of signatures.
    pub file: PathBuf,
    /// Signatures that are in it now.
    pub signatures: usize,
}

/// Signs the artifact in a file, and writes the signature to the file beside it. Those of other keys that fit the artifact stay there
/// if `add` says so, else they go.
///
/// # Errors
/// `Io` where a file can't be read or written, `BadArtifact`, and `LimitExceeded` for more signatures than a file has.
pub fn sign_file(artifact: &Path, key: &PrivateKey, add: bool) -> Result<Signed> {
    let bytes = fs::read(artifact).map_err(|e| io_error("the artifact can't be read", artifact, &e))?;
    let mut signatures = vec![key.sign(&bytes).map_err(|e| e.in_file(artifact))?];
    let file = signature::beside(artifact).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    if add {
        signatures.extend(others(&file, &bytes, key)?);
    }
    if signatures.len() > MAX_SIGNATURES {
        return Err(Error::new(ErrorKind::LimitExceeded, "too many signatures for one file")
            .expected(format!("at most {MAX_SIGNATURES}"))
            .got(signatures.len().to_string())
            .in_file(file)
            .hint("sign without `--add`, which leaves the others out"));
    }
    emit::write_file(&file, &signature::encode(&signatures), "file of signatures")?;
    Ok(Signed { bytes: bytes.len(), file, signatures: signatures.len() })
}

/// Signatures of other keys that are in a file and fit; none where there is no file.
fn others(file: &Path, artifact: &[u8], key: &PrivateKey) -> Result<Vec<Signature>> {
    let bytes = match bounded(file) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_error("the signatures can't be read", file, &e)),
    };
    let signatures = signature::decode(&bytes).map_err(|e| {
        Error::new(ErrorKind::BadKey, e.to_string())
            .in_file(file)
            .hint("sign without `--add`, which writes the file anew")
    })?;
    let fits = |it: &Signature| {
        PublicKey::new(it.key)
            .is_ok_and(|other| signature::verify(artifact, &signature::encode(&[*it]), &other).is_ok())
    };
    Ok(signatures.filter(|it| it.key != *key.public.as_bytes() && fits(it)).collect())
}

/// A path with something behind its name.
fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn io_error(what: &str, path: &Path, e: &io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{what}: {e}")).in_file(path)
}
