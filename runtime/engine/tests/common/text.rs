//! An encoder of text that has every step that tokens may be rows of, and calls of it.

use far_engine::{Extent, Input, Session};
use far_format::layout::{
    Activation, Precision, attention_work_bytes, lstm_weight_len, padded_hidden, panels_len,
};
use far_format::plan::{
    Attention, Batch, Dim, Dtype, Embed, Gemm, GemmGroup, LayerNorm, Lstm, LstmUnit, Operand, Place, Port,
    StepOp,
};
use far_kernels::pack;
use far_kernels::pack::HOST;

use super::{Builder, noise, part};

/// Its width.
pub const COLS: usize = 32;

/// Rows of its table of words.
pub const VOCAB: usize = 50;

/// Units of its LSTM, and their directions.
const UNITS: [(usize, bool); 3] = [(20, false), (20, true), (9, true)];

/// Rows of its table of positions.
const POSITIONS: usize = 128;

/// Inputs: words (i64), types (i32; two kinds), and the mask where there is one. Outputs: states, a row a token; the
/// mean of the tokens, normalised; the first token's features.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Most tokens, or their number.
    pub tokens: usize,
    /// Whether the tokens of calls differ.
    pub varies: bool,
    pub batch: Batch,
    pub mask: Option<Dtype>,
}

impl Text {
    /// For so many tokens in each call.
    pub fn fixed(tokens: usize) -> Text {
        Text { tokens, varies: false, batch: Batch::default(), mask: None }
    }

    /// For up to so many tokens, in batches of up to five.
    pub fn varying(tokens: usize, mask: Option<Dtype>) -> Text {
        Text { tokens, varies: true, batch: Batch { most: 5, fixed: false }, mask }
    }

    fn dims(&self, inner: &[u32]) -> Vec<Dim> {
        let tokens = if self.varies { Dim::Tokens } else { Dim::Fixed(self.tokens as u32) };
        [Dim::Batch, tokens].into_iter().chain(inner.iter().copied().map(Dim::Fixed)).collect()
    }

    fn rows(&self, b: &mut Builder, place: Place, cols: usize, stride: usize) -> Operand {
        let operand = b.tensor(place, self.tokens, cols, stride);
        b.plan.tensors.last_mut().unwrap().tokens = self.varies;
        operand
    }

    fn arena(&self, b: &mut Builder, cols: usize) -> Operand {
        let place = Place::Arena(b.work(4 * self.tokens * (cols + 3)));
        self.rows(b, place, cols, cols + 3)
    }

    fn product(&self, b: &mut Builder, seed: u64, k: usize, n: usize) -> GemmGroup {
        let (w, bias) = (noise(seed, k * n), noise(seed + 100, n));
        let mut packed = vec![0.0; panels_len(k, n)];
        pack::gemm(Precision::F32, HOST, k, n, |row, col| w[row * n + col] / 4.0, Some(&bias), &mut packed);
        GemmGroup { a_col: 0, k: k as u32, out_col: 0, n: n as u32, weights: b.weights(&packed) }
    }

    pub fn plan(&self) -> Builder {
        let mut b = Builder::new();
        b.plan.batch = self.batch;
        b.plan.tokens = if self.varies { self.tokens as u32 } else { 0 };
        let port = |name: &str, dtype, dims| Port { name: name.into(), dtype, dims };
        b.plan.inputs.push(port("words", Dtype::I64, self.dims(&[])));
        b.plan.inputs.push(port("types", Dtype::I32, self.dims(&[])));
        if let Some(dtype) = self.mask {
            b.plan.inputs.push(port("mask", dtype, self.dims(&[])));
            b.plan.lengths = Some(2);
        }
        let features = 7;
        let one = |len| vec![Dim::Batch, Dim::Fixed(len)];
        b.plan.outputs.push(port("states", Dtype::F32, self.dims(&[COLS as u32])));
        b.plan.outputs.push(port("mean", Dtype::F32, one(COLS as u32)));
        b.plan.outputs.push(port("first", Dtype::F32, one(features)));

        let [x, y, z] = [0; 3].map(|_| self.arena(&mut b, COLS));
        let states = self.rows(&mut b, Place::Output(0), COLS, COLS);
        let mean = b.tensor(Place::Output(1), 1, COLS, COLS);
        let first = b.tensor(Place::Output(2), 1, features as usize, features as usize);
        let positions = b.weights(&noise(1, POSITIONS * COLS));
        let positions = self.rows(&mut b, Place::Weights(positions), COLS, COLS);
        let words = b.weights(&noise(2, VOCAB * COLS));
        let types = b.weights(&noise(3, 2 * COLS));
        let affine = b.weights(&noise(4, 2 * COLS));
        let embed = |input, table, vocab: usize, out| {
            StepOp::Embed(Embed { input, table, vocab: vocab as u32, precision: Precision::F32, out })
        };
        b.step(embed(0, words, VOCAB, x));
        b.step(embed(1, types, 2, y));
        b.step(StepOp::Add { a: x, b: y, out: x });
        b.step(StepOp::Add { a: positions, b: x, out: x });
        b.step(StepOp::LayerNorm(LayerNorm { x, out: y, eps: 1e-5, affine: Some(affine) }));

        let width: usize = UNITS.iter().map(|(hidden, _)| 4 * padded_hidden(*hidden)).sum();
        let hidden: usize = UNITS.iter().map(|(hidden, _)| hidden).sum();
        let (gates, heads) = (self.arena(&mut b, width), self.arena(&mut b, hidden));
        let groups = vec![self.product(&mut b, 5, COLS, width)];
        b.step(StepOp::Gemm(Gemm {
            a: y,
            out: gates,
            residual: None,
            act: Activation::None,
            precision: Precision::F32,
            groups,
        }));
        let (mut units, mut gate_col, mut out_col) = (Vec::new(), 0, 0);
        for (hidden, reverse) in UNITS {
            let weights = b.weights(&noise(hidden as u64, lstm_weight_len(Precision::F32, HOST, hidden)));
            units.push(LstmUnit { gate_col, hidden: hidden as u32, out_col, reverse, weights });
            gate_col += 4 * padded_hidden(hidden) as u32;
            out_col += hidden as u32;
        }
        b.step(StepOp::Lstm(Lstm { gates, out: heads, precision: Precision::F32, units }));
        let groups = vec![self.product(&mut b, 6, hidden, COLS)];
        b.step(StepOp::Gemm(Gemm {
            a: heads,
            out: x,
            residual: Some(x),
            act: Activation::None,
            precision: Precision::F32,
            groups,
        }));

        b.step(StepOp::Map { act: Activation::Gelu, x, out: y });
        let work = b.work(attention_work_bytes(self.tokens, 2, COLS / 2));
        b.step(StepOp::Attention(Attention { q: y, k: x, v: y, out: z, heads: 2, scale: 0.3, work }));
        b.step(StepOp::Normalize { x: z, out: z, eps: 1e-12 });
        b.step(StepOp::Copy { x: z, out: states });
        b.step(StepOp::MeanRows { x: z, out: mean });
        b.step(StepOp::Normalize { x: mean, out: mean, eps: 1e-12 });
        let cls = part(z, 0, 0, 1, COLS);
        let groups = vec![self.product(&mut b, 7, COLS, features as usize)];
        b.step(StepOp::Gemm(Gemm {
            a: cls,
            out: first,
            residual: None,
            act: Activation::Tanh,
            precision: Precision::F32,
            groups,
        }));
        b
    }
}

/// One call of the encoder: words that look random, and how many of an element's tokens are its own.
#[derive(Clone, Debug)]
pub struct Call {
    pub extent: Extent,
    pub words: Vec<i64>,
    pub types: Vec<i32>,
    pub lengths: Vec<usize>,
}

impl Call {
    /// Elements whose own tokens are so many, in a call of `tokens`.
    pub fn new(tokens: usize, lengths: &[usize]) -> Call {
        let len = tokens * lengths.len();
        let words = noise(8, len).iter().map(|x| ((x + 1.0) * 0.4999 * VOCAB as f32) as i64).collect();
        let types = noise(9, len).iter().map(|x| i32::from(*x > 0.0)).collect();
        let extent = Extent { batch: lengths.len(), tokens };
        Call { extent, words, types, lengths: lengths.into() }
    }

    /// Element `i` by itself, without what is not its own.
    pub fn alone(&self, i: usize) -> Call {
        let own = i * self.extent.tokens..i * self.extent.tokens + self.lengths[i];
        Call {
            extent: Extent { batch: 1, tokens: own.len() },
            words: self.words[own.clone()].into(),
            types: self.types[own.clone()].into(),
            lengths: vec![own.len()],
        }
    }

    /// The mask that says so.
    pub fn mask(&self) -> Vec<i64> {
        let row = |len: &usize| {
            let len = *len;
            (0..self.extent.tokens).map(move |i| i64::from(i < len))
        };
        self.lengths.iter().flat_map(row).collect()
    }

    /// The outputs of a session of a [`Text`] for this call, which were not numbers before.
    pub fn run(&self, session: &mut Session) -> Vec<Vec<f32>> {
        let mut outputs = self.outputs(session);
        self.run_into(session, &mut outputs).unwrap();
        outputs
    }

    /// Room for the outputs, which hold no numbers yet.
    pub fn outputs(&self, session: &Session) -> Vec<Vec<f32>> {
        let Extent { batch, tokens } = self.extent;
        session.model().outputs().iter().map(|port| vec![f32::NAN; port.elements(batch, tokens)]).collect()
    }

    pub fn run_into(&self, session: &mut Session, outputs: &mut [Vec<f32>]) -> far_engine::Result<()> {
        let mask = self.mask();
        let short: Vec<i32> = mask.iter().map(|one| *one as i32).collect();
        let mut inputs = vec![Input::I64(&self.words), Input::I32(&self.types)];
        match session.model().inputs().get(2).map(|port| port.dtype) {
            Some(Dtype::I32) => inputs.push(Input::I32(&short)),
            Some(_) => inputs.push(Input::I64(&mask)),
            None => {}
        }
        // What a fixed number of tokens is, the plan says.
        let tokens = if session.model().most().tokens == 0 { 0 } else { self.extent.tokens };
        let mut outputs: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        session.run_extent(Extent { tokens, ..self.extent }, &inputs, &mut outputs)
    }
}
