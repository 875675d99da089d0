//! Runs compiled FAR models (`model.far`): open, make a session, run. A small interface over `far_engine`, which has more
//! (threads of one's own, memory of one's own, profiles).
//!
//! ```no_run
//! let model = far_run::Model::open("model.far")?;
//! let mut session = model.session(2)?;
//! let image = vec![0.0; model.input_len(0)];
//! let logits = &session.run(&[&image])?[0];
//! println!("{:?}", far_run::argmax(logits).and_then(|class| model.label(class)));
//! # Ok::<(), far_run::Error>(())
//! ```
#![forbid(unsafe_code)]

use std::path::Path;

use far_engine::signature::PublicKey;
pub use far_engine::{Counted, Error, Extent, Input, Port};
use far_engine::{ModelOptions, Session as Engine, SessionOptions, Signed};
pub use far_tool::image::{Picture, decode};

/// What can fail here.
pub type Result<T> = std::result::Result<T, Error>;

/// A validated artifact. Cheap to clone, shared by any number of sessions and threads.
#[derive(Clone, Debug)]
pub struct Model(far_engine::Counted<far_engine::Model>);

impl Model {
    /// Maps a file and proves it.
    ///
    /// # Errors
    /// It can't be read, isn't sound, or isn't for this machine.
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        far_engine::Model::open(path.as_ref()).map(Model)
    }

    /// Reads a file that the owner of a public key must have signed (`farc sign`), and proves it.
    ///
    /// # Errors
    /// As [`open`](Self::open); the key is none; there is no signature of it beside the file, or it doesn't fit.
    pub fn open_signed(path: impl AsRef<Path>, key: [u8; PublicKey::BYTES]) -> Result<Model> {
        let signed = Some(Signed { key: PublicKey::new(key)?, signatures: None });
        let options = ModelOptions { signed, ..ModelOptions::default() };
        far_engine::Model::open_with(path.as_ref(), &options).map(Model)
    }

    /// Proves an artifact in memory, of which it keeps a copy.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
        far_engine::Model::from_bytes(bytes).map(Model)
    }

    /// A session with so many threads, the caller's included; 0 are one on each CPU.
    ///
    /// # Errors
    /// No memory, or no more threads.
    pub fn session(&self, threads: usize) -> Result<Session> {
        let options = SessionOptions { threads, ..SessionOptions::default() };
        let engine = Engine::new(self.0.clone(), &options)?;
        let most = self.0.most();
        let outputs = self.0.outputs().iter().map(|port| vec![0.0; port.elements(most.batch, most.tokens)]);
        Ok(Session { outputs: outputs.collect(), engine })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.plan().model
    }

    /// What it takes.
    pub fn inputs(&self) -> &[Port] {
        self.0.inputs()
    }

    /// What it gives.
    pub fn outputs(&self) -> &[Port] {
        self.0.outputs()
    }

    /// Elements of an input in the largest call; 0 for an input that it doesn't have.
    pub fn input_len(&self, input: usize) -> usize {
        let most = self.0.most();
        self.inputs().get(input).map_or(0, |port| port.elements(most.batch, most.tokens))
    }

    /// What a class is called.
    pub fn label(&self, class: usize) -> Option<&str> {
        self.0.meta().labels.as_ref()?.name(class)
    }

    /// A picture as the model's image input, resized and normalised as its metadata say; `None` where they say nothing.
    ///
    /// # Errors
    /// In words, for a picture that can't be resized.
    pub fn prepare(&self, picture: Picture) -> Option<std::result::Result<Vec<f32>, String>> {
        let image = self.0.meta().image.as_ref()?;
        let last = self.inputs().get(image.input as usize)?.dims.last_chunk()?.map(|dim| dim.of(1, 1));
        let [_, height, width] = image.layout.chw(last);
        Some(far_tool::image::prepare(picture, image, height, width))
    }
}

/// What runs need: arena, threads, and room for the outputs.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    outputs: Vec<Vec<f32>>,
}

impl Session {
    /// One call of a model whose inputs are f32 and whose calls are all alike; its outputs, until the next run. Allocates
    /// nothing but a list of the outputs.
    ///
    /// # Errors
    /// Inputs that don't fit the ports, or a model whose calls differ: see [`run_call`](Self::run_call).
    pub fn run(&mut self, inputs: &[&[f32]]) -> Result<&[Vec<f32>]> {
        let mut outputs: Vec<&mut [f32]> = self.outputs.iter_mut().map(Vec::as_mut_slice).collect();
        self.engine.run(inputs, &mut outputs)?;
        Ok(&self.outputs)
    }

    /// One call as large as `extent` says, of any model; its outputs as long as the call makes them.
    ///
    /// # Errors
    /// Inputs that don't fit the ports, or an extent that the model can't have.
    pub fn run_call(&mut self, extent: Extent, inputs: &[Input<'_>]) -> Result<Vec<&[f32]>> {
        let model = self.engine.model().clone();
        let len = |port: &Port| port.elements(extent.batch, extent.tokens);
        let mut outputs: Vec<&mut [f32]> = Vec::new();
        for (port, room) in model.outputs().iter().zip(&mut self.outputs) {
            // Of a call that is too large the engine tells what is wrong.
            let len = len(port).min(room.len());
            outputs.push(&mut room[..len]);
        }
        self.engine.run_extent(extent, inputs, &mut outputs)?;
        Ok(model.outputs().iter().zip(&self.outputs).map(|(port, room)| &room[..len(port)]).collect())
    }
}

/// Number of the largest value; the first of equal ones.
pub fn argmax(values: &[f32]) -> Option<usize> {
    (0..values.len()).reduce(|best, i| if values[i] > values[best] { i } else { best })
}
