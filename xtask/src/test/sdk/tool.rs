//! The board's command as it is shipped: static, and run on each platform; and the example in Rust, which sees the same.
//! May import: `link`, `command`, `cross`, `error`, `sdk`, `workspace`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::link::Linker;
use crate::command;
use crate::cross::Cross;
use crate::error::{Error, Result};
use crate::sdk::elf::Elf;
use crate::workspace::cargo_program;

/// Every use of it with a model; what it says of a picture.
pub(super) fn check(cross: &Cross, linker: &Linker<'_>, model: &Path) -> Result<String> {
    let bin = |triple: &str| linker.sdk.join("bin").join(triple).join("far");
    let far = bin(linker.platform.musl().rust);
    let elf = Elf::read(cross, &far)?;
    if elf.interpreter || !elf.needed.is_empty() {
        return Err(Error::Unexpected(format!("`{}` is not static: {elf:?}", far.display())));
    }
    // What goes by the name of the libraries' platform is the same file.
    let far = bin(linker.platform.rust);
    let say = |arguments: &[&str]| {
        let text = command::stdout(linker.command(&far).args(arguments).arg(model))?;
        serde_json::from_str::<Value>(&text)
            .map_err(|error| Error::Unexpected(format!("far {}: {error}: {text}", arguments.join(" "))))
    };
    let arch = linker.platform.arch;
    let picture = picture(linker)?.display().to_string();
    let (doctor, run) = (say(&["doctor", "--json"])?, say(&["run", "--json", "--image", &picture])?);
    let bench = say(&["bench", "--json", "--runs", "2", "--warmup", "0", "--threads", "2"])?;
    let all = [&doctor, &run, &bench, &say(&["info", "--json"])?];
    if !doctor["model"]["runs"].as_bool().unwrap_or_default() || all.iter().any(|said| said["arch"] != arch) {
        return Err(Error::Unexpected(format!("far on `{arch}` says {all:?}")));
    }
    say(&["verify", "--json"])?;
    let classes = run["images"][0]["top"].to_string();
    match classes.contains("ankle boot") {
        true => Ok(classes),
        false => Err(Error::Unexpected(format!("far on `{arch}` sees {run}"))),
    }
}

/// The program in Rust, built from the sources in the SDK; for this machine.
pub(super) fn rust(linker: &Linker<'_>, model: &Path) -> Result<()> {
    let target = linker.models.join("rust");
    let mut cargo = Command::new(cargo_program());
    cargo.args(["build", "--offline", "--package=far", "--bin=classify", "--manifest-path"]);
    cargo.arg(linker.sdk.join("Cargo.toml")).arg("--target-dir").arg(&target);
    command::run(&mut cargo)?;
    let said = command::stdout(Command::new(target.join("debug/classify")).arg(model).arg(picture(linker)?))?;
    match said.contains("ankle boot") {
        true => Ok(()),
        false => Err(Error::Unexpected(format!("classify sees {said}"))),
    }
}

/// The first of the example's images, as a camera would give it.
fn picture(linker: &Linker<'_>) -> Result<PathBuf> {
    /// Pixels of an image, and the bytes of the file before them.
    const PIXELS: usize = 28 * 28;
    const HEADER: usize = 128;
    let images = linker.sdk.join("examples/models/far-fashion/images.npy");
    let bytes = std::fs::read(&images).map_err(Error::io("read", &images))?;
    let values = bytes.get(HEADER..).unwrap_or_default().as_chunks::<4>().0;
    // Back from the values that metadata of the model make of them.
    let pixel = |value: &[u8; 4]| ((f32::from_le_bytes(*value) * 0.353 + 0.286) * 255.0).round() as u8;
    let mut picture = b"P5 28 28 255\n".to_vec();
    picture.extend(values.iter().take(PIXELS).map(pixel));
    let file = linker.models.join("shoe.pgm");
    std::fs::write(&file, picture).map_err(Error::io("write", &file))?;
    Ok(file)
}
