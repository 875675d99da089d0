//! The files by which build systems find libfar, from templates. All of them work wherever the SDK is moved.
//! May import: `error`, `platform`, `workspace`.

use std::path::Path;

use crate::error::{Error, Result};
use crate::platform::Platform;
use crate::workspace::{Workspace, create_dir, write};

/// Version of everything in the SDK.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

const CONFIG: &str = include_str!("templates/FarConfig.cmake");
const CONFIG_VERSION: &str = include_str!("templates/FarConfigVersion.cmake");
const CONFIG_ANY: &str = include_str!("templates/FarConfigAny.cmake");
const PKG_CONFIG: &str = include_str!("templates/far.pc");

/// Those of a platform, in its library folder.
pub(crate) fn install(platform: &Platform, soname: &str, lib: &Path) -> Result<()> {
    let cmake = lib.join("cmake/Far");
    let pkgconfig = lib.join("pkgconfig");
    create_dir(&cmake)?;
    create_dir(&pkgconfig)?;
    write(&cmake.join("FarConfig.cmake"), &fill(CONFIG, platform.rust, soname))?;
    write(&cmake.join("FarConfigVersion.cmake"), &fill(CONFIG_VERSION, platform.rust, soname))?;
    write(&pkgconfig.join("far.pc"), &fill(PKG_CONFIG, platform.rust, soname))
}

/// The one by which CMake finds the platform in the whole SDK.
pub(crate) fn install_any(sdk: &Path) -> Result<()> {
    let cmake = sdk.join("lib/cmake/Far");
    create_dir(&cmake)?;
    write(&cmake.join("FarConfig.cmake"), CONFIG_ANY)?;
    write(&cmake.join("FarConfigVersion.cmake"), &fill(CONFIG_VERSION, "", ""))
}

/// docs/sdk.md as the first thing to read in the SDK.
pub(crate) fn install_readme(workspace: &Workspace, sdk: &Path) -> Result<()> {
    let from = workspace.root.join("docs/sdk.md");
    let text = std::fs::read_to_string(&from).map_err(Error::io("read", &from))?;
    write(&sdk.join("README.md"), &from_the_root(&text))
}

/// A text of `docs/` with its links as they are from the folder above.
fn from_the_root(text: &str) -> String {
    let mut parts = text.split("](");
    let mut moved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        moved += "](";
        match part.strip_prefix("../") {
            Some(rest) => moved += rest,
            None if part.starts_with("https:") || part.starts_with('#') => moved += part,
            None => {
                moved += "docs/";
                moved += part;
            }
        }
    }
    moved
}

fn fill(template: &str, triple: &str, soname: &str) -> String {
    let mut parts = VERSION.split('.');
    let major = parts.next().unwrap_or_default();
    let minor = parts.next().unwrap_or_default();
    template
        .replace("@TRIPLE@", triple)
        .replace("@SONAME@", soname)
        .replace("@VERSION@", VERSION)
        .replace("@MAJOR_MINOR@", &format!("{major}.{minor}"))
        .replace("@MAJOR@", major)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::RISCV64;

    #[test]
    fn links_lead_where_they_led() {
        let text = "[a](../a/b.md), [c](c.md), [d](https://d.example), [e](#e)";
        assert_eq!(from_the_root(text), "[a](a/b.md), [c](docs/c.md), [d](https://d.example), [e](#e)");
    }

    #[test]
    fn templates_are_filled() {
        for template in [CONFIG, CONFIG_VERSION, CONFIG_ANY, PKG_CONFIG] {
            let text = fill(template, RISCV64.rust, "libfar.so.0");
            assert!(!text.contains('@'), "{text}");
        }
        assert!(fill(PKG_CONFIG, RISCV64.rust, "").contains("lib/riscv64gc-unknown-linux-gnu\n"));
    }
}
