//! The files by which build systems find libfar, from templates. All of them work wherever the SDK is moved.
//! May import: `error`, `platform`, `workspace`.

use std::path::Path;

use crate::error::Result;
use crate::platform::Platform;
use crate::workspace::{create_dir, write};

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
    fn templates_are_filled() {
        for template in [CONFIG, CONFIG_VERSION, CONFIG_ANY, PKG_CONFIG] {
            let text = fill(template, RISCV64.rust, "libfar.so.0");
            assert!(!text.contains('@'), "{text}");
        }
        assert!(fill(PKG_CONFIG, RISCV64.rust, "").contains("lib/riscv64gc-unknown-linux-gnu\n"));
    }
}
