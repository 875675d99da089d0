//! `cargo xtask demo`: the whole road on a real model. A pruned FAR model and its masks are compiled for several targets,
//! a C program is linked with libfar for each, and runs on test images: natively, and under QEMU.
//! May import: `command`, `console`, `cross`, `error`, `platform`, `sdk`, `workspace`.

mod report;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::console::step;
use crate::cross::Cross;
use crate::error::{Error, Result};
use crate::platform::{self, AARCH64, CORTEX_A76, Cpu, Platform, RISCV64, VLEN_128, VLEN_256, WITHOUT_V};
use crate::sdk;
use crate::workspace::{Workspace, create_dir};

use report::{Answer, Line};

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Test images to classify on each target
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    images: u32,
}

/// A target of farc, and the CPUs on which its artifact runs.
struct Case {
    /// As given to `farc compile --target`.
    target: &'static str,
    platform: &'static Platform,
    /// Under QEMU; none: on this machine itself.
    cpus: &'static [&'static Cpu],
}

const CROSS_CASES: [Case; 3] = [
    Case { target: "raspberry-pi-5", platform: &AARCH64, cpus: &[&CORTEX_A76] },
    Case { target: "riscv64-v", platform: &RISCV64, cpus: &[&VLEN_128, &VLEN_256] },
    Case { target: "riscv64", platform: &RISCV64, cpus: &[&WITHOUT_V] },
];

/// Builds, compiles, runs, compares.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let host = platform::host().ok_or_else(|| {
        Error::Unexpected(format!("libfar has no kernels for `{}`", std::env::consts::ARCH))
    })?;
    let cross = Cross::set_up(workspace, None)?;
    sdk::build(workspace, &cross, &platform::all())?;
    step("demo", "building farc");
    command::run(workspace.cargo("build").args(["--release", "--package=farc", "--bin=farc"]))?;

    let native = Case { target: host.arch, platform: host, cpus: &[] };
    let demo = Demo { workspace, folder: workspace.target.join("demo"), images: args.images };
    let mut lines = Vec::new();
    for case in [native].iter().chain(&CROSS_CASES) {
        lines.extend(demo.run(case)?);
    }
    report::print_and_judge(&lines)
}

/// What all cases share.
struct Demo<'a> {
    workspace: &'a Workspace,
    folder: PathBuf,
    images: u32,
}

impl Demo<'_> {
    fn run(&self, case: &Case) -> Result<Vec<Line>> {
        let bundle = self.folder.join(case.target);
        create_dir(&self.folder)?;
        step("demo", format_args!("{}: compiling the model", case.target));
        self.compile(case, &bundle)?;
        let classify = self.link(case, &bundle)?;
        let model = bundle.join("model.far");
        let artifact_bytes = std::fs::metadata(&model).map_err(Error::io("read", &model))?.len();
        let native = case.cpus.is_empty().then_some(None);
        let places = native.into_iter().chain(case.cpus.iter().copied().map(Some));
        places
            .map(|cpu| {
                let name = cpu.map_or("this machine", |cpu| cpu.name);
                step("demo", format_args!("{}: classifying on {name}", case.target));
                let answer = self.classify(case, cpu, &classify, &model)?;
                answer.check_place(case.platform.arch, cpu.map(|cpu| cpu.isa))?;
                Ok(Line { target: case.target, cpu: name, artifact_bytes, answer })
            })
            .collect()
    }

    /// The model with its masks, for one target: model.far, far.h and libfar in a folder.
    fn compile(&self, case: &Case, bundle: &Path) -> Result<()> {
        let mut farc = Command::new(self.workspace.target.join("release/farc"));
        farc.arg("compile").arg(self.data("far-pruned-dense.onnx"));
        farc.arg("--masks").arg(self.data("far-pruned-dense.masks.safetensors"));
        farc.args(["--target", case.target]).arg("-o").arg(bundle);
        command::run(&mut farc).map(drop)
    }

    /// The C program, by the compiler that a board's vendor would give.
    fn link(&self, case: &Case, bundle: &Path) -> Result<PathBuf> {
        let native = case.cpus.is_empty();
        let compiler = if native { "cc".to_owned() } else { format!("{}-gcc", case.platform.gnu) };
        step("demo", format_args!("{}: building classify.c with {compiler}", case.target));
        let program = self.folder.join(format!("classify-{}", case.target));
        let mut cc = Command::new(compiler);
        cc.args(["-std=c99", "-O2", "-Wall", "-Wextra", "-I"]).arg(bundle.join("include"));
        cc.arg(self.workspace.root.join("examples/c/classify.c"));
        cc.arg(bundle.join("lib").join(case.platform.rust).join("libfar.a"));
        if !native {
            // QEMU then needs no libraries of the target.
            cc.arg("-static");
        }
        cc.args(["-lpthread", "-lm", "-ldl", "-o"]).arg(&program);
        // A static link warns of parts of glibc that libfar never calls; only an error is worth showing.
        command::stdout(&mut cc)?;
        Ok(program)
    }

    fn classify(&self, case: &Case, cpu: Option<&Cpu>, program: &Path, model: &Path) -> Result<Answer> {
        let mut command = match cpu {
            None => Command::new(program),
            Some(cpu) => {
                let mut qemu = Command::new(case.platform.qemu());
                qemu.args(["-cpu", cpu.qemu]).arg(program);
                qemu
            }
        };
        command.arg(model);
        for file in ["images.npy", "labels.npy", "far-pruned-dense.logits.npy"] {
            command.arg(self.data(file));
        }
        command.args(["--count", &self.images.to_string(), "--json"]);
        Answer::parse(&command::stdout(&mut command)?)
    }

    fn data(&self, name: &str) -> PathBuf {
        self.workspace.root.join("examples/models/far-fashion").join(name)
    }
}
