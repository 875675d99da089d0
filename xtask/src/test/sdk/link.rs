//! Programs linked with the SDK as docs/sdk.md says, and run. May import: `command`, `cross`, `error`, `platform`, `workspace`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::error::{Error, Result};
use crate::platform::Platform;
use crate::workspace::{copy, create_dir, write};

const PROBE: &str = include_str!("probe.c");
const CMAKE: &str = include_str!("CMakeLists.txt");

/// Uses all of far.hpp with any model, and ends with 0 where all is as it must be.
const CPP: &str = include_str!("../../../../capi/abi-check/cpp/any.cpp");

/// A way to link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `find_package(Far)`, target `Far::far`.
    CMakeShared,
    /// `find_package(Far)`, target `Far::far_static`.
    CMakeStatic,
    /// `pkg-config --libs far`.
    PkgConfigShared,
    /// `-static` and `pkg-config --static --libs far`.
    PkgConfigStatic,
    /// The example's own Makefile.
    Makefile,
    /// `find_package(Far)` and `pkg-config` after `packaging/install.sh`.
    Installed,
    /// One static program that holds its model: `farc compile --emit obj`.
    Object,
    /// The same, `--emit c`.
    C,
}

impl Way {
    pub(super) const ALL: [Way; 8] = [
        Way::CMakeShared,
        Way::CMakeStatic,
        Way::PkgConfigShared,
        Way::PkgConfigStatic,
        Way::Makefile,
        Way::Installed,
        Way::Object,
        Way::C,
    ];
}

/// Links for one platform.
pub(super) struct Linker<'a> {
    pub(super) platform: &'a Platform,
    pub(super) sdk: &'a Path,
    /// Where the models are, and programs go.
    pub(super) models: &'a Path,
}

impl Linker<'_> {
    /// The compiler that a board's vendor would give.
    fn cc_name(&self) -> String {
        if self.platform.is_host() { "cc".to_owned() } else { format!("{}-gcc", self.platform.gnu) }
    }

    /// The compiler, with the program that is linked everywhere.
    pub(super) fn cc(&self) -> Result<Command> {
        let probe = self.models.join("probe.c");
        write(&probe, PROBE)?;
        let mut cc = Command::new(self.cc_name());
        cc.args(["-std=c99", "-O2", "-Wall", "-Wextra", "-ffunction-sections", "-Wl,--gc-sections"])
            .arg(probe);
        Ok(cc)
    }

    /// The platform's folder of libraries.
    pub(super) fn lib(&self) -> PathBuf {
        self.sdk.join("lib").join(self.platform.rust)
    }

    /// The program, with what it needs on its command line.
    pub(super) fn build(&self, way: Way) -> Result<Program> {
        let program = self.models.join(format!("probe-{way:?}"));
        let model = vec![self.models.join("fashion.far")];
        match way {
            Way::CMakeShared => {
                Ok(Program { path: self.cmake(self.sdk, "cmake")?.join("probe_far"), arguments: model })
            }
            Way::CMakeStatic => Ok(Program {
                path: self.cmake(self.sdk, "cmake")?.join("probe_far_static"),
                arguments: model,
            }),
            Way::PkgConfigShared => {
                let mut cc = self.cc()?;
                cc.args(self.pkg_config(&self.lib(), &["--cflags", "--libs"])?);
                let rpath = format!("-Wl,-rpath,{}", self.lib().display());
                command::stdout(cc.arg(rpath).arg("-o").arg(&program))?;
                Ok(Program { path: program, arguments: model })
            }
            Way::PkgConfigStatic => {
                let mut cc = self.cc()?;
                cc.arg("-static").args(self.pkg_config(&self.lib(), &["--static", "--cflags", "--libs"])?);
                command::stdout(cc.arg("-o").arg(&program))?;
                Ok(Program { path: program, arguments: model })
            }
            Way::Makefile => self.makefile(model),
            Way::Installed => self.installed(program, model),
            Way::Object => self.embedded(program, "object", "fashion.o"),
            Way::C => self.embedded(program, "c", "fashion.c"),
        }
    }

    fn embedded(&self, program: PathBuf, folder: &str, constant: &str) -> Result<Program> {
        let folder = self.models.join(folder);
        let mut cc = self.cc()?;
        cc.args(["-static", "-DEMBEDDED", "-I"]).arg(&folder).arg(folder.join(constant));
        cc.args(self.pkg_config(&self.lib(), &["--static", "--cflags", "--libs"])?);
        command::stdout(cc.arg("-o").arg(&program))?;
        Ok(Program { path: program, arguments: Vec::new() })
    }

    fn pkg_config(&self, lib: &Path, arguments: &[&str]) -> Result<Vec<String>> {
        let mut pkg_config = Command::new("pkg-config");
        pkg_config.env("PKG_CONFIG_LIBDIR", lib.join("pkgconfig")).args(arguments).arg("far");
        if lib.starts_with(self.root()) {
            pkg_config.env("PKG_CONFIG_SYSROOT_DIR", self.root());
        }
        Ok(command::stdout(&mut pkg_config)?.split_whitespace().map(str::to_owned).collect())
    }

    /// Where [`Way::Installed`] installs.
    fn root(&self) -> PathBuf {
        self.models.join("root")
    }

    fn installed(&self, program: PathBuf, model: Vec<PathBuf>) -> Result<Program> {
        let root = self.root();
        let mut install = Command::new(self.sdk.join("packaging/install.sh"));
        command::run(install.arg(self.platform.rust).arg(&root))?;
        self.cmake(&root.join("usr"), "cmake-installed")?;
        let lib = root.join("usr/lib");
        let mut cc = self.cc()?;
        cc.args(self.pkg_config(&lib, &["--cflags", "--libs"])?);
        command::stdout(cc.arg(format!("-Wl,-rpath,{}", lib.display())).arg("-o").arg(&program))?;
        Ok(Program { path: program, arguments: model })
    }

    /// Builds both ways of CMake with what is under `prefix`; where they are.
    fn cmake(&self, prefix: &Path, folder: &str) -> Result<PathBuf> {
        let source = self.models.join(folder);
        let build = source.join("build");
        create_dir(&source)?;
        write(&source.join("CMakeLists.txt"), CMAKE)?;
        write(&source.join("probe.c"), PROBE)?;
        let mut cmake = Command::new("cmake");
        cmake.arg("-S").arg(&source).arg("-B").arg(&build);
        cmake.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
        cmake.arg(format!("-DCMAKE_C_COMPILER={}", self.cc_name()));
        if !self.platform.is_host() {
            cmake.arg("-DCMAKE_SYSTEM_NAME=Linux");
            cmake.arg(format!("-DCMAKE_SYSTEM_PROCESSOR={}", self.platform.arch));
        }
        command::run(&mut cmake)?;
        command::run(Command::new("cmake").arg("--build").arg(&build))?;
        Ok(build)
    }

    /// The example `classify`, copied from the SDK; it runs on two of its images.
    fn makefile(&self, model: Vec<PathBuf>) -> Result<Program> {
        let folder = self.models.join("make");
        create_dir(&folder)?;
        for file in ["Makefile", "classify.c", "npy.h"] {
            copy(&self.sdk.join("examples/c").join(file), &folder.join(file))?;
        }
        let mut make = Command::new("make");
        make.arg("-C").arg(&folder).arg(format!("CC={}", self.cc_name()));
        make.arg(format!("FAR_SDK={}", self.sdk.display())).arg("LDFLAGS=-static");
        command::run(&mut make)?;
        let mut arguments = model;
        for file in ["images.npy", "labels.npy", "far-pruned-dense.logits.npy"] {
            arguments.push(self.sdk.join("examples/models/far-fashion").join(file));
        }
        arguments.extend(["--count", "2", "--json"].map(PathBuf::from));
        Ok(Program { path: folder.join("classify"), arguments })
    }

    /// A C++ program over far.hpp, in one file with libfar.a, built and run.
    pub(super) fn cpp(&self) -> Result<()> {
        let (source, program) = (self.models.join("any.cpp"), self.models.join("any"));
        write(&source, CPP)?;
        let name =
            if self.platform.is_host() { "c++".to_owned() } else { format!("{}-g++", self.platform.gnu) };
        let mut cxx = Command::new(name);
        cxx.args(["-std=c++17", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-static"]).arg(&source);
        cxx.args(self.pkg_config(&self.lib(), &["--static", "--cflags", "--libs"])?);
        command::stdout(cxx.arg("-o").arg(&program))?;
        let said = command::stdout(self.command(&program).arg(self.models.join("fashion.far")))?;
        match said.trim_end().ends_with("all as expected") {
            true => Ok(()),
            false => Err(Error::Unexpected(format!("any.cpp: {said}"))),
        }
    }

    /// What runs a program of the platform.
    pub(super) fn command(&self, program: &Path) -> Command {
        match self.platform.cpus.first().filter(|_| !self.platform.is_host()) {
            None => Command::new(program),
            Some(cpu) => {
                let mut qemu = Command::new(self.platform.qemu());
                qemu.args(["-cpu", cpu.qemu, "-L"]).arg(format!("/usr/{}", self.platform.gnu)).arg(program);
                qemu
            }
        }
    }

    /// Runs it; what it says of its outputs' bits, where it is the probe.
    pub(super) fn run(&self, program: &Program) -> Result<Option<String>> {
        let said = command::stdout(self.command(&program.path).args(&program.arguments))?;
        let expected = self.platform.arch;
        if program.path.ends_with("classify") {
            return match said.contains(&format!("\"arch\":\"{expected}\"")) {
                true => Ok(None),
                false => Err(Error::Unexpected(format!("classify did not run on `{expected}`: {said}"))),
            };
        }
        match said.split_once(' ') {
            Some((arch, hash)) if arch == expected => Ok(Some(hash.to_owned())),
            _ => Err(Error::Unexpected(format!("expected `{expected}` and a hash, got `{said}`"))),
        }
    }
}

/// A program that was linked.
pub(super) struct Program {
    pub(super) path: PathBuf,
    arguments: Vec<PathBuf>,
}
