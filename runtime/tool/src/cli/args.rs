//! Options, the same for every command that takes them. May import: `far_tool`, `far_format`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use far_engine::signature::PublicKey;
use far_engine::{Limits, MAX_THREADS, Model, ModelOptions, Session, SessionOptions, Signed};
use far_tool::bench::{self, Options};
use far_tool::run::Files;
use far_tool::{Error, Result, limits, signature};
use lexopt::Parser;
use lexopt::prelude::*;

/// What stands after the command.
pub(crate) struct Args {
    model: Option<PathBuf>,
    target: Option<PathBuf>,
    pub(crate) inputs: Vec<OsString>,
    pub(crate) outputs: Vec<OsString>,
    pub(crate) images: Vec<PathBuf>,
    pub(crate) top: usize,
    pub(crate) bench: Options,
    pub(crate) json: bool,
    pub(crate) golden: Vec<PathBuf>,
    pub(crate) tolerance: f64,
    /// Who must have signed the model, and its signatures beside it.
    pub(crate) signed: Option<Signed<'static>>,
    /// What is accepted of the model.
    pub(crate) limits: Limits,
    session: SessionOptions,
}

impl Args {
    /// Takes the options that a command knows; `None` if help is asked for.
    pub(crate) fn parse(parser: &mut Parser, known: &[&str]) -> Result<Option<Args>> {
        let mut args = Args {
            model: None,
            target: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            images: Vec::new(),
            top: Files::default().top,
            bench: Options::default(),
            json: false,
            golden: Vec::new(),
            tolerance: far_tool::verify::TOLERANCE,
            signed: None,
            limits: Limits::default(),
            session: SessionOptions::default(),
        };
        while let Some(arg) = parser.next().map_err(usage)? {
            match arg {
                Long("json") => args.json = true,
                Long("help") | Short('h') => return Ok(None),
                Value(path) if known.contains(&"MODEL.far") && args.model.is_none() => {
                    args.model = Some(path.into())
                }
                Value(path) if known.contains(&"TARGET") && args.target.is_none() => {
                    args.target = Some(path.into())
                }
                Long(name) if !known.contains(&name) => return Err(usage(arg.unexpected())),
                Long("input") => args.inputs.push(parser.value().map_err(usage)?),
                Long("output") => args.outputs.push(parser.value().map_err(usage)?),
                Long("image") => args.images.push(parser.value().map_err(usage)?.into()),
                Long("top") => args.top = number("--top", parser, 1, 1000)?,
                Long("key") => {
                    let key = signature::public_key(Path::new(&parser.value().map_err(usage)?))?;
                    args.signed = Some(Signed { key, signatures: None });
                }
                Long("limit") => {
                    let value = parser.value().map_err(usage)?;
                    limits::set(&mut args.limits, &value.to_string_lossy())
                        .map_err(|problem| Error::Usage(format!("`--limit`: {problem}")))?;
                }
                Long("threads") => args.session.threads = number("--threads", parser, 0, MAX_THREADS)?,
                Long("batch") => {
                    args.bench.size.batch =
                        Some(number("--batch", parser, 1, far_format::MAX_BATCH as usize)?);
                }
                Long("tokens") => {
                    args.bench.size.tokens = Some(number("--tokens", parser, 1, u32::MAX as usize)?);
                }
                Long("runs") => args.bench.runs = number("--runs", parser, 1, 1_000_000)?,
                Long("warmup") => args.bench.warmup = number("--warmup", parser, 0, 1_000_000)?,
                Long("profile") => args.session.profile = true,
                Long("cpu") => args.session.cpus = bench::cpus(&parser.value().map_err(usage)?)?,
                Long("golden") => args.golden = parser.values().map_err(usage)?.map(PathBuf::from).collect(),
                Long("tolerance") => args.tolerance = tolerance(&parser.value().map_err(usage)?)?,
                other => return Err(usage(other.unexpected())),
            }
        }
        args.bench.cpus = args.session.cpus.clone();
        if args.model.is_none() && known.contains(&"MODEL.far") && !known.contains(&"optional") {
            return Err(Error::Usage("no MODEL.far given".into()));
        }
        if args.target.is_none() && known.contains(&"TARGET") {
            return Err(Error::Usage("no TARGET given: a file, or a folder that is there".into()));
        }
        Ok(Some(args))
    }

    /// Where the model goes; the command takes it.
    pub(crate) fn target(&self) -> &Path {
        self.target.as_deref().unwrap_or(Path::new(""))
    }

    /// The model's path; the command takes one.
    pub(crate) fn model(&self) -> &Path {
        self.model.as_deref().unwrap_or(Path::new(""))
    }

    /// The model's path, where one was given.
    pub(crate) fn given(&self) -> Option<&Path> {
        self.model.as_deref()
    }

    /// Opens the model; and how long that and its session took.
    pub(crate) fn open(&self) -> Result<(Session, Duration)> {
        bench::keep_caller(&self.session.cpus)?;
        let start = Instant::now();
        let options = ModelOptions { signed: self.signed, limits: self.limits, ..ModelOptions::default() };
        let model = Model::open_with(self.model(), &options);
        let session = model.and_then(|model| Session::new(model, &self.session));
        let session = session.map_err(|error| model_error(self.model(), error))?;
        Ok((session, start.elapsed()))
    }

    /// The whole model, if it is no longer than is accepted.
    pub(crate) fn read_model(&self) -> Result<Vec<u8>> {
        let path = self.model();
        if let Ok(metadata) = fs::metadata(path) {
            self.limits.check_file(metadata.len()).map_err(|error| model_error(path, error))?;
        }
        super::read(path)
    }

    /// Whether the model's bytes are signed as they must be; by which key, where any is demanded.
    pub(crate) fn verify(&self, model: &[u8]) -> Result<Option<PublicKey>> {
        let Some(signed) = &self.signed else { return Ok(None) };
        signed.verify_file(model, self.model()).map_err(|error| model_error(self.model(), error))?;
        Ok(Some(signed.key))
    }
}

/// The error of a model that can't be loaded.
pub(crate) fn model_error(path: &Path, error: impl Into<far_engine::Error>) -> Error {
    Error::Model { path: path.into(), source: Box::new(error.into()) }
}

pub(crate) fn usage(error: lexopt::Error) -> Error {
    Error::Usage(error.to_string())
}

fn tolerance(value: &OsStr) -> Result<f64> {
    let found = value.to_str().and_then(|text| text.parse().ok());
    found.filter(|n: &f64| n.is_finite() && *n >= 0.0).ok_or_else(|| {
        Error::Usage(format!(
            "`--tolerance`: expected a part of the range, 0 or more, got `{}`",
            value.display()
        ))
    })
}

fn number(option: &str, parser: &mut Parser, least: usize, most: usize) -> Result<usize> {
    let value = parser.value().map_err(usage)?;
    let found = value.to_str().and_then(|text| text.parse().ok()).filter(|n| (least..=most).contains(n));
    let error = || {
        Error::Usage(format!(
            "`{option}`: expected a number from `{least}` to `{most}`, got `{}`",
            value.display()
        ))
    };
    found.ok_or_else(error)
}
