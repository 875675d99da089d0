//! `far run`: files in, files out. May import: `far_tool`.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use far_engine::Port;
use far_tool::json::Json;
use far_tool::npy::{self, Array};
use far_tool::{Error, Result, batch};

use super::args::Args;

pub(crate) fn run(args: &Args) -> Result<String> {
    let (mut session, load) = args.open()?;
    let model = session.model().clone();
    let sources = assign("--input", &args.inputs, model.inputs())?;
    let targets = assign("--output", &args.outputs, model.outputs())?;
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
    let inputs = sources.into_iter().flatten().map(read_array).collect::<Result<Vec<Array>>>()?;

    let start = Instant::now();
    let (outputs, runs) = batch::run(&mut session, &inputs)?;
    let run_ms = start.elapsed().as_secs_f64() * 1e3;

    let (mut lines, mut items) = (Vec::new(), Vec::new());
    for ((port, array), target) in model.outputs().iter().zip(&outputs).zip(targets) {
        let shape = npy::text(&array.shape);
        let file = target.as_ref().map(|path| path.display().to_string());
        lines.push(format!("output   {} {shape} -> {}", port.name, file.as_deref().unwrap_or("not written")));
        items.push(Json::Object(vec![
            ("name", port.name.as_str().into()),
            ("shape", Json::list(array.shape.iter().copied())),
            ("file", file.as_deref().into()),
        ]));
        if let Some(path) = target {
            fs::write(&path, npy::write(array)).map_err(|source| Error::File {
                write: true,
                path,
                source,
            })?;
        }
    }
    let (arch, isa, kernels) = (model.header().arch, session.isa(), session.kernels());
    if args.json {
        let json = Json::Object(vec![
            ("model", model.plan().model.as_str().into()),
            ("target", model.header().target.as_str().into()),
            ("arch", arch.name().into()),
            ("isa", isa.name().into()),
            ("kernels", Json::list(kernels)),
            ("threads", session.threads().into()),
            ("runs", runs.into()),
            ("load_ms", (load.as_secs_f64() * 1e3).into()),
            ("run_ms", run_ms.into()),
            ("arena_bytes", model.plan().arena_bytes.into()),
            ("outputs", Json::List(items)),
        ]);
        return Ok(format!("{json}\n"));
    }
    let first = format!("ran      {runs} times on {arch} ({isa}) in {run_ms:.3} ms");
    Ok([&[first, format!("kernels  {}", kernels.join(", "))], &lines[..], &[String::new()]]
        .concat()
        .join("\n"))
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

fn read_array(path: PathBuf) -> Result<Array> {
    let bytes = super::read(&path)?;
    let numpy = path.extension().is_some_and(|extension| extension == "npy");
    let array = if numpy { npy::read(&bytes) } else { npy::read_raw(&bytes) };
    array.map_err(|message| Error::Array { path, message })
}
