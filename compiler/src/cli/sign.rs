//! `farc sign`: says that an artifact is its maker's. May import: `farc::sign`.

use std::path::PathBuf;

use farc::error::Result;
use farc::sign::{PrivateKey, sign_file};

use super::Reply;

/// Sign an artifact, so that boards can tell who made it: the signature goes to ARTIFACT.far.sig
#[derive(clap::Args)]
pub(super) struct Args {
    /// The artifact, of whatever architecture
    #[arg(value_name = "ARTIFACT.far")]
    artifact: PathBuf,
    /// The private key: the .key file of `farc keygen`
    #[arg(long, value_name = "NAME.key")]
    key: PathBuf,
    /// Keep the signatures of other keys that fit the artifact, as while boards go over to another key
    #[arg(long)]
    add: bool,
}

pub(super) fn run(args: &Args, json: bool) -> Result<Reply> {
    let key = PrivateKey::read(&args.key)?;
    let signed = sign_file(&args.artifact, &key, args.add)?;
    let (artifact, file, key) =
        (args.artifact.display().to_string(), signed.file.display().to_string(), key.public().to_string());
    Ok(Reply::Text(match json {
        true => {
            let said = serde_json::json!({
                "artifact": artifact,
                "bytes": signed.bytes,
                "key": key,
                "file": file,
                "signatures": signed.signatures,
            });
            format!("{said}\n")
        }
        false => {
            let count = match signed.signatures {
                1 => "1 signature".to_owned(),
                n => format!("{n} signatures"),
            };
            format!("signed   {artifact}: {} bytes, by {key}\nwrote    {file}: {count}\n", signed.bytes)
        }
    }))
}
