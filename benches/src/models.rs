//! The models that are measured: by name, as ONNX, compiled for a target. May import: far-models, farc, far-engine.

use std::path::PathBuf;

use far_engine::{Counted, Model, Session, SessionOptions};
use far_models::{Config, Form, Pruning, Size};
use farc::precision::{Dtype, DtypeOptions};
use farc::target::Target;
use farc::{Compiled, Options};

/// A model that the generator makes.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name, as `far-models` would name the file.
    pub name: String,
    /// What to generate.
    pub config: Config,
}

/// DeiT-Tiny and DeiT-Small: with attention, and with every block replaced in the monolithic form, in the parallel
/// form, and in the parallel form with half of the hidden units gone.
pub fn generated() -> Vec<Entry> {
    let sizes = [("deit-tiny", Size::TINY), ("deit-small", Size::SMALL)];
    let forms = [
        (Form::Attention, Pruning::None, ""),
        (Form::Monolithic, Pruning::None, "-monolithic"),
        (Form::Parallel, Pruning::None, "-parallel"),
        (Form::Parallel, Pruning::Ragged { fraction: 0.5 }, "-parallel-ragged50"),
    ];
    let entry = |(size, dimensions): (&str, Size), (form, pruning, suffix): (Form, Pruning, &str)| Entry {
        name: format!("{}{size}{suffix}", if form == Form::Attention { "" } else { "far-" }),
        config: Config { form, pruning, ..Config::new(dimensions) },
    };
    sizes.iter().flat_map(|size| forms.iter().map(|form| entry(size.clone(), *form))).collect()
}

/// The ONNX files of `examples/models/far-fashion`: small real models.
pub fn examples() -> Vec<(String, PathBuf)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion");
    ["deit", "far-parallel"]
        .map(|name| (format!("fashion-{name}"), folder.join(name).with_extension("onnx")))
        .into()
}

/// Compiles ONNX for a target, in a dtype.
///
/// # Errors
/// The compiler's.
pub fn compile(onnx: &[u8], target: &Target, dtype: Dtype) -> Result<Compiled, Box<farc::error::Error>> {
    let dtype = DtypeOptions { dtype, ..DtypeOptions::default() };
    farc::compile(onnx, None, target, &Options { dtype, ..Options::default() }).map_err(Box::new)
}

/// A session of a compiled model, with inputs and room for outputs.
#[derive(Debug)]
pub struct Runner {
    session: Session,
    inputs: Vec<crate::Noise>,
    outputs: Vec<Vec<f32>>,
}

impl Runner {
    /// Of a model with that many threads.
    ///
    /// # Errors
    /// The engine's.
    pub fn new(model: &Counted<Model>, threads: usize) -> far_engine::Result<Self> {
        let options = SessionOptions { threads, ..Default::default() };
        Ok(Self {
            session: Session::new(model.clone(), &options)?,
            inputs: model.inputs().iter().map(|port| crate::Noise::new(port.elements(1, 0))).collect(),
            outputs: model.outputs().iter().map(|port| vec![0.0; port.elements(1, 0)]).collect(),
        })
    }

    /// One inference.
    ///
    /// # Errors
    /// The engine's.
    pub fn run(&mut self) -> far_engine::Result<()> {
        let inputs: Vec<&[f32]> = self.inputs.iter().map(|input| &**input).collect();
        let mut outputs: Vec<&mut [f32]> = self.outputs.iter_mut().map(Vec::as_mut_slice).collect();
        self.session.run(&inputs, &mut outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<String> = generated().into_iter().map(|entry| entry.name).collect();
        names.extend(examples().into_iter().map(|(name, _)| name));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().any(|name| name == "far-deit-small-parallel-ragged50"));
    }

    #[test]
    fn an_example_runs() {
        let (name, path) = &examples()[1];
        let onnx = std::fs::read(path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let model = Model::from_bytes(
            &compile(&onnx, &Target::resolve("host").unwrap(), Dtype::F32).unwrap().artifact,
        )
        .unwrap();
        let mut runner = Runner::new(&model, 1).unwrap();
        runner.run().unwrap();
        assert!(runner.outputs[0].iter().any(|x| *x != 0.0));
    }
}
