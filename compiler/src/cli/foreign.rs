//! Artifacts of another architecture: the board's own command under QEMU user mode.
//! May import: `farc::{target, emit, error, verify}`; far-format, far-tool (.npy).

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use far_format::Header;
use far_format::cpu::Arch;
use far_format::plan::Plan;
use far_tool::npy::{self, Array, Data};
use farc::emit::Sdk;
use farc::error::{Error, ErrorKind, Result};
use farc::target::{self, Target};
use farc::verify::{Ran, Runner, Sample};

/// What an artifact says about itself, proved.
pub(super) fn header(path: &Path) -> Result<Header> {
    let bytes = super::read(path, "artifact")?;
    let artifact = far_format::read(&bytes).map_err(|e| {
        Error::new(ErrorKind::BadArtifact, format!("the artifact is refused: {e}"))
            .in_file(path)
            .hint("`farc compile` makes artifacts; copy the file again if it was copied")
    })?;
    Ok(artifact.header)
}

/// Whether this machine can't run it by itself.
pub(super) fn is_foreign(header: &Header) -> bool {
    Arch::HOST != Some(header.arch)
}

/// `RUNNER -cpu CPU far ARGUMENTS`, as the target that the artifact names wants it.
pub(super) fn command(header: &Header, arguments: &[OsString]) -> Result<Command> {
    let target = target_of(header)?;
    let program = Sdk::find()?.board_tool(&target.triple)?;
    let mut command = Command::new(runner(&target)?);
    command.arg("-cpu").arg(&target.qemu.cpu).arg(program).args(arguments);
    Ok(command)
}

/// A target of the user's own is known by its architecture only.
fn target_of(header: &Header) -> Result<Target> {
    let known = target::find(&header.target).ok().filter(|t| t.arch == header.arch);
    match known {
        Some(target) => Ok(target),
        None if header.features.is_empty() || header.arch != Arch::Riscv64 => {
            target::find(header.arch.name())
        }
        None => target::find("riscv64-v"),
    }
}

fn runner(target: &Target) -> Result<PathBuf> {
    let name = &target.qemu.runner;
    let names = [name.clone(), format!("{name}-static")];
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = env::split_paths(&path).flat_map(|folder| names.iter().map(move |n| folder.join(n)));
    found.find(|file| file.is_file()).ok_or_else(|| {
        Error::new(
            ErrorKind::MissingTool,
            format!("`{name}` is needed to run an artifact for {}", target.arch),
        )
        .hint("install QEMU user mode, e.g. `apt-get install qemu-user`")
    })
}

/// Runs the board's command and lets it speak for itself. Gives its exit status.
pub(super) fn run(header: &Header, arguments: &[OsString]) -> Result<u8> {
    let mut command = command(header, arguments)?;
    let status = command.status().map_err(|e| {
        Error::new(
            ErrorKind::MissingTool,
            format!("`{}` can't be started: {e}", command.get_program().display()),
        )
    })?;
    match status.code() {
        Some(code) => Ok(u8::try_from(code).unwrap_or(2)),
        None => Err(Error::new(ErrorKind::Internal, format!("the board's command ended by {status}"))
            .hint("the emulated CPU may lack a feature: `FAR_ISA=scalar` runs without vectors")),
    }
}

/// Runs artifacts for the judge: samples and outputs go through files.
pub(super) struct QemuRunner {
    pub(super) header: Header,
    pub(super) threads: usize,
}

impl Runner for QemuRunner {
    fn run(&self, artifact: &[u8], samples: &[Sample]) -> Result<Ran> {
        let plan = far_format::read(artifact)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("the artifact is refused: {e}")))?
            .plan;
        let folder = tempfile::tempdir().map_err(temporary)?;
        let model = folder.path().join("model.far");
        fs::write(&model, artifact).map_err(temporary)?;
        let mut ran = Ran { outputs: Vec::new(), isa: String::new(), kernels: Vec::new() };
        // Runs of one size are stacked: the command cuts them apart again. Where sizes vary each is a call of its own.
        let varies = plan.tokens > 0 || plan.batch.most > 1;
        for group in samples.chunks(if varies { 1 } else { samples.len().max(1) }) {
            let report = self.stacked(&plan, folder.path(), group, &mut ran.outputs)?;
            ran.isa = text(&report["isa"]);
            ran.kernels =
                report["kernels"].as_array().map_or(Vec::new(), |names| names.iter().map(text).collect());
        }
        Ok(ran)
    }
}

impl QemuRunner {
    /// Runs samples of one size; adds what they give.
    fn stacked(
        &self,
        plan: &Plan,
        folder: &Path,
        samples: &[Sample],
        outputs: &mut Vec<Vec<Vec<f32>>>,
    ) -> Result<serde_json::Value> {
        let Some(extent) = samples.first().map(|sample| sample.extent) else {
            return Ok(serde_json::Value::Null);
        };
        let file = |name: String| folder.join(name);
        let mut arguments: Vec<OsString> =
            vec!["run".into(), file("model.far".into()).into(), "--json".into()];
        arguments.extend(["--threads".into(), self.threads.to_string().into()]);
        for (i, port) in plan.inputs.iter().enumerate() {
            let path = file(format!("in{i}.npy"));
            let mut shape: Vec<usize> = port.dims.iter().map(|d| d.of(extent.batch, extent.tokens)).collect();
            match shape.first_mut() {
                Some(first) => *first *= samples.len(),
                None => shape.push(samples.len()),
            }
            let inputs: Vec<&Data> = samples.iter().filter_map(|sample| sample.inputs.get(i)).collect();
            fs::write(&path, npy::write(&Array { shape, data: joined(&inputs) })).map_err(temporary)?;
            arguments.extend(["--input".into(), path.into()]);
        }
        for i in 0..plan.outputs.len() {
            arguments.extend(["--output".into(), file(format!("out{i}.npy")).into()]);
        }
        let report = report(&self.header, &arguments)?;
        let mut made = vec![Vec::with_capacity(plan.outputs.len()); samples.len()];
        for (i, port) in plan.outputs.iter().enumerate() {
            let bytes = fs::read(file(format!("out{i}.npy"))).map_err(temporary)?;
            let data = npy::read(&bytes).and_then(|array| array.data.into_f32());
            let data = data.map_err(|e| Error::new(ErrorKind::Internal, e))?;
            let len = port.elements(extent.batch, extent.tokens).max(1);
            for (sample, values) in made.iter_mut().zip(data.chunks_exact(len)) {
                sample.push(values.to_vec());
            }
        }
        outputs.extend(made);
        Ok(report)
    }
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn temporary(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("a temporary file can't be used: {e}"))
}

/// Elements one after the other.
fn joined(parts: &[&Data]) -> Data {
    macro_rules! joined {
        ($kind:ident) => {{
            let parts =
                parts.iter().map(|part| if let Data::$kind(values) = part { &values[..] } else { &[] });
            Data::$kind(parts.flatten().copied().collect())
        }};
    }
    match parts.first() {
        Some(Data::I64(_)) => joined!(I64),
        Some(Data::I32(_)) => joined!(I32),
        _ => joined!(F32),
    }
}

/// Runs the board's command and reads what it reports.
fn report(header: &Header, arguments: &[OsString]) -> Result<serde_json::Value> {
    let mut command = command(header, arguments)?;
    let failed =
        |what: String| Error::new(ErrorKind::BadArtifact, format!("the board's command failed: {what}"));
    let output = command.output().map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| failed(format!("its report is not JSON: {e}")))
}
