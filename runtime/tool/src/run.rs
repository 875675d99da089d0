//! One pass from files to files: what `far run` does and says.
//! May import: `batch`, `classify`, `error`, `image`, `json`, `npy`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use far_engine::{Model, Port, Session};

use crate::batch::{self, Size};
use crate::classify::{self, Guess};
use crate::error::{Error, Result};
use crate::image;
use crate::json::Json;
use crate::npy::{self, Array, Data};

/// Most bytes of a picture's file.
const MAX_PICTURE_BYTES: u64 = 1 << 28;

/// What goes in and out.
#[derive(Clone, Debug)]
pub struct Files<'a> {
    /// `[NAME=]FILE` for each input but the one of the images.
    pub inputs: &'a [OsString],
    /// Pictures, an element of the batch each, for the input that the metadata name.
    pub images: &'a [PathBuf],
    /// `[NAME=]FILE` for outputs.
    pub outputs: &'a [OsString],
    /// How many of a picture's likeliest classes are told.
    pub top: usize,
}

impl Default for Files<'_> {
    fn default() -> Self {
        Files { inputs: &[], images: &[], outputs: &[], top: 5 }
    }
}

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
    /// Each picture and its likeliest classes.
    pub images: Vec<(PathBuf, Vec<Guess>)>,
}

/// Runs the session on files and writes the outputs that a file is named for. `load` is how long it took to open the
/// model and make the session.
///
/// # Errors
/// Files that don't fit the ports or can't be read or written, or a run that fails.
pub fn run(session: &mut Session, load: Duration, files: &Files<'_>, size: Size) -> Result<Report> {
    let model = session.model().clone();
    let pictures = match files.images {
        [] => None,
        images => Some(self::pictures(&model, images)?),
    };
    let port = pictures.as_ref().map(|(port, _)| *port);
    let sources = assign("--input", files.inputs, model.inputs(), port)?;
    let targets = assign("--output", files.outputs, model.outputs(), None)?;
    let missing: Vec<String> = model
        .inputs()
        .iter()
        .zip(&sources)
        .enumerate()
        .filter(|(i, (_, path))| path.is_none() && port != Some(*i))
        .map(|(_, (input, _))| input.name.clone())
        .collect();
    if !missing.is_empty() {
        return Err(Error::Inputs { missing });
    }
    let mut pixels = pictures.map(|(_, array)| array);
    let mut inputs = Vec::new();
    for (input, source) in model.inputs().iter().zip(sources) {
        inputs.extend(match source {
            Some(path) => Some(read_array(input, path)?),
            None => pixels.take(),
        });
    }

    let start = Instant::now();
    let (results, runs) = batch::run(session, inputs, size)?;
    let run_ms = start.elapsed().as_secs_f64() * 1e3;

    let images = guesses(&model, files, &results);
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
        images,
    })
}

/// The likeliest classes of each picture, where an output is logits.
fn guesses(model: &Model, files: &Files<'_>, results: &[Array]) -> Vec<(PathBuf, Vec<Guess>)> {
    let logits = classify::output(model).and_then(|output| match &results.get(output)?.data {
        Data::F32(logits) if !files.images.is_empty() => Some(logits),
        _ => None,
    });
    let Some(logits) = logits else {
        return files.images.iter().map(|path| (path.clone(), Vec::new())).collect();
    };
    let classes = (logits.len() / files.images.len()).max(1);
    let each = files.images.iter().zip(logits.chunks(classes));
    each.map(|(path, logits)| (path.clone(), classify::top(model, logits, files.top))).collect()
}

/// The elements of the image input for all pictures, and which input that is.
fn pictures(model: &Model, paths: &[PathBuf]) -> Result<(usize, Array)> {
    let described = model.meta().image.as_ref().and_then(|meta| {
        let dims = &model.inputs().get(meta.input as usize)?.dims;
        let last = dims.last_chunk()?.map(|dim| dim.of(1, 1));
        Some((meta, meta.layout.chw(last)))
    });
    let Some((meta, [_, height, width])) = described else { return Err(Error::NoImage) };
    let mut data: Vec<f32> = Vec::new();
    for path in paths {
        let wrong = |message| Error::Array { path: path.clone(), message };
        let picture = image::decode(&picture_file(path)?).map_err(wrong)?;
        let input = image::prepare(picture, meta, height, width).map_err(wrong)?;
        let bytes = (data.len() + input.len()) * size_of::<f32>();
        data.try_reserve(input.len()).map_err(|_| Error::OutOfMemory { bytes })?;
        data.extend(input);
    }
    Ok((meta.input as usize, Array { shape: vec![data.len()], data: data.into() }))
}

fn picture_file(path: &Path) -> Result<Vec<u8>> {
    let error = |source| Error::File { write: false, path: path.into(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(error)?.take(MAX_PICTURE_BYTES + 1).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > MAX_PICTURE_BYTES {
        let message = format!("expected at most `{MAX_PICTURE_BYTES}` bytes, got more");
        return Err(Error::Array { path: path.into(), message });
    }
    Ok(bytes)
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
        let images = self.images.iter().map(|(path, guesses)| {
            Json::Object(vec![
                ("file", path.display().to_string().as_str().into()),
                ("top", Json::List(guesses.iter().map(Guess::json).collect())),
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
            ("images", Json::List(images.collect())),
        ])
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (path, guesses) in &self.images {
            text += &format!("{}\n", path.display());
            guesses.iter().for_each(|guess| text += &format!("  {}\n", guess.text()));
        }
        text += &format!(
            "ran      {} times on {} ({}) in {:.3} ms\n",
            self.runs, self.arch, self.isa, self.run_ms
        );
        text += &format!("kernels  {}\n", self.kernels.join(", "));
        for (name, shape, file) in &self.outputs {
            if file.is_none() && !self.images.is_empty() {
                continue; // what it says is above
            }
            let file = file.as_ref().map_or("not written".into(), |path| path.display().to_string());
            text += &format!("output   {name} {} -> {file}\n", npy::text(shape));
        }
        text
    }
}

/// Files for ports: `NAME=FILE` where NAME is a port's, else to the ports in order, but not to `taken`.
fn assign(
    option: &str,
    arguments: &[OsString],
    ports: &[Port],
    taken: Option<usize>,
) -> Result<Vec<Option<PathBuf>>> {
    let free: Vec<usize> = (0..ports.len()).filter(|i| Some(*i) != taken).collect();
    let mut paths: Vec<Option<PathBuf>> = vec![None; ports.len()];
    let mut next = 0;
    for argument in arguments {
        let named = argument.to_str().and_then(|text| text.split_once('=')).and_then(|(name, path)| {
            free.iter().find(|i| ports[**i].name == name).map(|index| (*index, PathBuf::from(path)))
        });
        let (index, path) = named.unwrap_or_else(|| {
            next += 1;
            (free.get(next - 1).copied().unwrap_or(ports.len()), argument.into())
        });
        let names = || free.iter().map(|i| ports[*i].name.as_str()).collect::<Vec<_>>().join("`, `");
        match paths.get_mut(index) {
            None if free.is_empty() => {
                let message = format!("`{option}`: expected none, as the images are the only input");
                return Err(Error::Usage(format!("{message}, got `{}` files", arguments.len())));
            }
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
