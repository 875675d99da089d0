//! What a model is calibrated on: arrays of the user's, cut into runs. May import: `verify` (samples), `error`; far-format,
//! far-tool (arrays).

use std::fs;
use std::path::{Path, PathBuf};

use far_format::plan::{Plan, Port};
use far_tool::npy::{self, Array};

use crate::error::{Error, ErrorKind, Result};
use crate::verify::{self, Given, Sample};

/// The name of the file with labels in a folder.
const LABELS: &str = "labels";

/// Arrays, and the right answers if they are known.
#[derive(Clone, Debug, Default)]
pub struct Data {
    files: Vec<File>,
    labels: Option<(PathBuf, Array)>,
}

#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    /// Its name without `.npy`.
    name: String,
    values: Array,
}

impl Data {
    /// Reads a `.npy` file, or all those of a folder in the order of their names; `labels.npy` of a folder are the labels.
    ///
    /// # Errors
    ///
    /// `Io`; `BadInput` for files that are no arrays or hold numbers that are not finite, and for a folder without any.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Ok(Self { files: vec![file(path)?], labels: None });
        }
        let io = |e| Error::new(ErrorKind::Io, format!("the folder can't be read: {e}")).in_file(path);
        let entries = fs::read_dir(path).map_err(io)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths: Vec<PathBuf> = entries.collect::<std::io::Result<_>>().map_err(io)?;
        paths.retain(|path| path.extension().is_some_and(|end| end == "npy"));
        paths.sort();
        let mut data = Self::default();
        for path in paths {
            match path.file_stem().is_some_and(|name| name == LABELS) {
                true => data.labels = Some((path.clone(), array(&path)?)),
                false => data.files.push(file(&path)?),
            }
        }
        if data.files.is_empty() {
            return Err(bad("the folder has nothing to calibrate on")
                .expected("one or more `.npy` files")
                .got("none")
                .in_file(path));
        }
        Ok(data)
    }

    /// With the class of each of the data: integers.
    ///
    /// # Errors
    ///
    /// Those of [`Self::read`].
    pub fn with_labels(self, path: &Path) -> Result<Self> {
        Ok(Self { labels: Some((path.to_owned(), array(path)?)), ..self })
    }

    /// Runs of the model. Files named after the inputs belong together; for a model with one input each file is runs of its
    /// own.
    pub(super) fn samples(&self, plan: &Plan) -> Result<Vec<Sample>> {
        let samples = self.runs(plan)?;
        match samples.is_empty() {
            true => Err(bad("there is nothing to calibrate on")
                .expected("1 run or more")
                .got("none")
                .in_file(self.files.first().map_or(Path::new(""), |file| &file.path))),
            false => Ok(samples),
        }
    }

    fn runs(&self, plan: &Plan) -> Result<Vec<Sample>> {
        let of_port = |port: &Port| self.files.iter().find(|file| file.name == port.name);
        let by_port: Vec<&File> = plan.inputs.iter().filter_map(of_port).collect();
        if by_port.len() == plan.inputs.len() && self.files.len() == by_port.len() {
            let given = |file: &&File| Given { name: Some(file.name.clone()), values: file.values.clone() };
            let given: Vec<Given> = by_port.iter().map(given).collect();
            return verify::given(plan, &given).map_err(|e| e.in_file(&by_port[0].path));
        }
        if plan.inputs.len() > 1 {
            let names = |names: &mut dyn Iterator<Item = &String>| {
                names.map(|name| format!("`{name}.npy`")).collect::<Vec<_>>().join(", ")
            };
            return Err(bad("a model of several inputs takes a file for each, with its name")
                .expected(names(&mut plan.inputs.iter().map(|port| &port.name)))
                .got(names(&mut self.files.iter().map(|file| &file.name)))
                .hint("put them into a folder"));
        }
        let mut samples = Vec::new();
        for File { path, values, .. } in &self.files {
            let given = Given { name: None, values: values.clone() };
            samples.extend(verify::given(plan, &[given]).map_err(|e| e.in_file(path))?);
        }
        Ok(samples)
    }

    /// The class of each of `count` data, each below `classes`.
    pub(super) fn labels(&self, count: usize, classes: usize) -> Result<Option<Vec<usize>>> {
        let Some((path, array)) = &self.labels else { return Ok(None) };
        let numbers: Vec<i64> = match &array.data {
            npy::Data::I64(labels) => labels.clone(),
            npy::Data::I32(labels) => labels.iter().copied().map(i64::from).collect(),
            npy::Data::F32(_) => {
                return Err(bad("labels are numbers of classes")
                    .expected("i32 or i64")
                    .got("f32")
                    .in_file(path));
            }
        };
        if numbers.len() != count {
            return Err(bad("there is not a label for each of the data")
                .expected(count.to_string())
                .got(numbers.len().to_string())
                .in_file(path));
        }
        let class = |n: &i64| usize::try_from(*n).ok().filter(|n| *n < classes);
        let labels = numbers.iter().map(|n| {
            class(n).ok_or_else(|| {
                bad("a label is no class of the model")
                    .expected(format!("`0` to `{}`", classes - 1))
                    .got(format!("`{n}`"))
                    .in_file(path)
            })
        });
        labels.collect::<Result<_>>().map(Some)
    }
}

fn file(path: &Path) -> Result<File> {
    let values = array(path)?;
    if let npy::Data::F32(numbers) = &values.data
        && let Some(at) = numbers.iter().position(|x| !x.is_finite())
    {
        return Err(bad("an input is not finite")
            .expected("finite numbers")
            .got(format!("`{}` as element {at}", numbers[at]))
            .in_file(path));
    }
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(File { path: path.to_owned(), name, values })
}

fn array(path: &Path) -> Result<Array> {
    let bytes = fs::read(path).map_err(|e| {
        Error::new(ErrorKind::Io, format!("the calibration data can't be read: {e}")).in_file(path)
    })?;
    npy::read(&bytes).map_err(|e| bad(&e).in_file(path))
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::BadInput, what)
}
