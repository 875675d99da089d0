//! One pass from files to files: what `far run` does and says. May import: `batch`, `error`, `json`, `npy`.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use far_engine::{Port, Session};

use crate::batch::{self, Size};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::npy::{self, Array};

/// What happened.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the model.
    pub model: String,
    /// Its target.
    pub target: String,
    /// The architecture that ran.
    pub arch: &'static str,
    /// The instruction set that ran.
    pub isa: &'static str,
    /// The kernels that ran.
    pub kernels: Vec<&'static str>,
    /// Threads, the caller's included.
    pub threads: usize,
    /// Calls of the model.
    pub runs: usize,
    /// Opening, proving and making a session.
    pub load_ms: f64,
    /// All runs together.
    pub run_ms: f64,
    /// The arena's size.
    pub arena_bytes: u64,
    /// Name, shape and file of each output.
    pub outputs: Vec<(String, Vec<usize>, Option<PathBuf>)>,
}

/// Runs the session on files and writes the outputs that a file is named for. `load` is how long it took to open the
/// model and make the session.
///
/// # Errors
/// Files that don't fit the ports or can't be read or written, or a run that fails.
pub fn run(
    session: &mut Session,
    load: Duration,
    inputs: &[OsString],
    outputs: &[OsString],
    size: Size,
) -> Result<Report> {
    let model = session.model().clone();
    let sources = assign("--input", inputs, model.inputs())?;
    let targets = assign("--output", outputs, model.outputs())?;
    let missing: Vec<String> = model
        .inputs()
        .iter()
        .zip(&sources)
        .filter(|(_, path)| path.is_none())
        .map(|(port, _)| port.name.clone())
        .collect();
    if !missing.is_empty() {
        return Err(Error::Inputs { missing });
    }
    let sources = model.inputs().iter().zip(sources.into_iter().flatten());
    let inputs = sources.map(|(port, path)| read_array(port, path)).collect::<Result<Vec<Array>>>()?;

    let start = Instant::now();
    let (results, runs) = batch::run(session, inputs, size)?;
    let run_ms = start.elapsed().as_secs_f64() * 1e3;

    let mut outputs = Vec::new();
    for ((port, array), target) in model.outputs().iter().zip(results).zip(targets) {
        if let Some(path) = &target {
            let error = |source| Error::File { write: true, path: path.clone(), source };
            fs::write(path, npy::write(&array)).map_err(error)?;
        }
        outputs.push((port.name.clone(), array.shape, target));
    }
    Ok(Report {
        model: model.plan().model.clone(),
        target: model.header().target.clone(),
        arch: model.header().arch.name(),
        isa: session.isa().name(),
        kernels: session.kernels(),
        threads: session.threads(),
        runs,
        load_ms: load.as_secs_f64() * 1e3,
        run_ms,
        arena_bytes: model.plan().arena_bytes,
        outputs,
    })
}

impl Report {
    /// For programs.
    pub fn json(&self) -> Json {
        let outputs = self.outputs.iter().map(|(name, shape, file)| {
            let file = file.as_ref().map(|path| path.display().to_string());
            Json::Object(vec![
                ("name", name.as_str().into()),
                ("shape", Json::list(shape.iter().copied())),
                ("file", file.as_deref().into()),
            ])
        });
        Json::Object(vec![
            ("model", self.model.as_str().into()),
            ("target", self.target.as_str().into()),
            ("arch", self.arch.into()),
            ("isa", self.isa.into()),
            ("kernels", Json::list(self.kernels.iter().copied())),
            ("threads", self.threads.into()),
            ("runs", self.runs.into()),
            ("load_ms", self.load_ms.into()),
            ("run_ms", self.run_ms.into()),
            ("arena_bytes", self.arena_bytes.into()),
            ("outputs", Json::List(outputs.collect())),
        ])
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "ran      {} times on {} ({}) in {:.3} ms\n",
            self.runs, self.arch, self.isa, self.run_ms
        );
        text += &format!("kernels  {}\n", self.kernels.join(", "));
        for (name, shape, file) in &self.outputs {
            let file = file.as_ref().map_or("not written".into(), |path| path.display().to_string());
            text += &format!("output   {name} {} -> {file}\n", npy::text(shape));
        }
        text
    }
}

/// Files for ports: `NAME=FILE` where NAME is a port's, else to the ports in order.
fn assign(option: &str, arguments: &[OsString], ports: &[Port]) -> Result<Vec<Option<PathBuf>>> {
    let mut paths: Vec<Option<PathBuf>> = vec![None; ports.len()];
    let mut next = 0;
    for argument in arguments {
        let named = argument.to_str().and_then(|text| text.split_once('=')).and_then(|(name, path)| {
            ports.iter().position(|port| port.name == name).map(|index| (index, PathBuf::from(path)))
        });
        let (index, path) = named.unwrap_or_else(|| {
            next += 1;
            (next - 1, argument.into())
        });
        let names = || ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>().join("`, `");
        match paths.get_mut(index) {
            None => {
                let message = format!("`{option}`: expected one file for each of `{}`", names());
                return Err(Error::Usage(format!("{message}, got `{}` files", arguments.len())));
            }
            Some(Some(_)) => {
                let message = format!("`{option}`: expected one file for `{}`", ports[index].name);
                return Err(Error::Usage(format!("{message}, got `{}` too", path.display())));
            }
            Some(slot) => *slot = Some(path),
        }
    }
    Ok(paths)
}

fn read_array(port: &Port, path: PathBuf) -> Result<Array> {
    let bytes = fs::read(&path).map_err(|source| Error::File { write: false, path: path.clone(), source })?;
    let numpy = path.extension().is_some_and(|extension| extension == "npy");
    let array = if numpy { npy::read(&bytes) } else { npy::read_raw(&bytes, port.dtype) };
    array.map_err(|message| Error::Array { path, message })
}
