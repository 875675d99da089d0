//! `farc keygen`: a pair of keys. May import: `farc::sign`.

use std::path::PathBuf;

use farc::error::Result;
use farc::sign::PrivateKey;

use super::Reply;

/// Make a pair of keys: a private one to sign artifacts with, and a public one for those who check them
#[derive(clap::Args)]
pub(super) struct Args {
    /// The private key becomes NAME.key, readable by its owner alone, the public one NAME.pub; neither may be there already
    name: PathBuf,
}

pub(super) fn run(args: &Args, json: bool) -> Result<Reply> {
    let key = PrivateKey::generate()?;
    let (private, public) = key.write(&args.name)?;
    let (private, public) = (private.display().to_string(), public.display().to_string());
    let text = match json {
        true => {
            let said = serde_json::json!({
                "private": private, "public": public, "key": key.public().to_string(),
            });
            format!("{said}\n")
        }
        false => {
            let mut text =
                format!("private  {private}: signs artifacts; only its owner can read it, keep it so\n");
            text += &format!("public   {public}: checks them, for `far verify --key` and OpenSSL\n");
            text += &format!("key      {}\n\n", key.public());
            text += "static const uint8_t public_key[FAR_PUBLIC_KEY_SIZE] = {\n";
            for line in key.public().as_bytes().chunks(8) {
                let bytes: Vec<String> = line.iter().map(|byte| format!("0x{byte:02x}")).collect();
                text += &format!("    {},\n", bytes.join(", "));
            }
            text + "};\n"
        }
    };
    Ok(Reply::Text(text))
}
