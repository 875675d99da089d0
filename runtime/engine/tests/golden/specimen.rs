//! What golden artifacts are made of: every kind of step, in each precision, for each architecture. Only for making them: what
//! is written is the specimen.

use far_format::cpu::Arch;
use far_format::layout::{
    Activation, Precision, attention_work_bytes, gemm_weight_len, lstm_weight_len, padded_hidden,
    table_row_len,
};
use far_format::meta::{Filter, Image, ImageColor, ImageLayout, Info, Labels, Meta, Normalization, Resize};
use far_format::plan::{
    Attention, Batch, Dim, Dtype, Embed, Gemm, GemmGroup, LayerNorm, Lstm, LstmUnit, Operand, Patches, Place,
    Port, StepOp,
};
use far_kernels::pack;

use super::common::{Builder, noise, part};

/// Most tokens of the text.
pub(crate) const TOKENS: usize = 5;
/// Rows of its table.
pub(crate) const VOCAB: usize = 12;

const COLS: usize = 16;
const HIDDEN: usize = 12;

/// A network of an image in one precision, or of a text in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Specimen {
    F32,
    F16,
    Bf16,
    Int8,
    F16Arith,
    Text,
}

pub(crate) const SPECIMENS: [Specimen; 6] =
    [Specimen::F32, Specimen::F16, Specimen::Bf16, Specimen::Int8, Specimen::F16Arith, Specimen::Text];

impl Specimen {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Specimen::Text => "text-mixed",
            Specimen::F32 => "image-f32",
            Specimen::F16 => "image-f16",
            Specimen::Bf16 => "image-bf16",
            Specimen::Int8 => "image-int8",
            Specimen::F16Arith => "image-f16-arith",
        }
    }

    fn precision(self) -> Precision {
        match self {
            Specimen::F32 | Specimen::Text => Precision::F32,
            Specimen::F16 => Precision::F16,
            Specimen::Bf16 => Precision::Bf16,
            Specimen::Int8 => Precision::Int8,
            Specimen::F16Arith => Precision::F16Arith,
        }
    }

    pub(crate) fn is_text(self) -> bool {
        self == Specimen::Text
    }

    /// Whether its bits are the same everywhere.
    pub(crate) fn is_exact(self) -> bool {
        self.precision().is_exact()
    }

    /// The architectures that have such artifacts.
    pub(crate) fn archs(self) -> impl Iterator<Item = Arch> {
        Arch::ALL.into_iter().filter(move |arch| self.precision().features(*arch).is_some())
    }

    pub(crate) fn artifact(self, arch: Arch) -> Vec<u8> {
        let mut of = Maker { arch, precision: self.precision(), b: Builder::new() };
        if self.is_text() {
            of.text()
        } else {
            of.image()
        }
        let features = of.b.plan.features(arch);
        of.b.artifact_for(arch, features)
    }
}

/// All that an artifact can say for its users.
fn meta() -> Meta {
    let channel = |mean, std| Normalization { mean, std };
    Meta {
        description: "noise, five kinds of it".to_string(),
        info: vec![Info { key: "license".to_string(), value: "MIT".to_string() }],
        labels: Some(Labels { output: 0, names: ["a", "b", "c", "d", "ü"].map(String::from).to_vec() }),
        image: Some(Image {
            input: 0,
            layout: ImageLayout::Nchw,
            color: ImageColor::Bgr,
            resize: Resize::Crop { shorter: 9 },
            filter: Filter::Bicubic,
            scale: 1.0 / 255.0,
            channels: vec![channel(0.5, 0.25), channel(0.25, 0.5), channel(0.0, 1.0)],
        }),
    }
}

struct Maker {
    arch: Arch,
    precision: Precision,
    b: Builder,
}

impl Maker {
    fn group(&mut self, seed: u64, k: usize, n: usize, out_col: usize) -> GemmGroup {
        let (w, bias) = (noise(seed, k * n), noise(seed + 100, n));
        let mut packed = vec![0.0; gemm_weight_len(self.precision, self.arch, k, n)];
        let weight = |row: usize, col: usize| w[row * n + col] / 4.0;
        pack::gemm(self.precision, self.arch, k, n, weight, Some(&bias), &mut packed);
        GemmGroup {
            a_col: 0,
            k: k as u32,
            out_col: out_col as u32,
            n: n as u32,
            weights: self.b.weights(&packed),
        }
    }

    fn gemm(
        &mut self,
        a: Operand,
        out: Operand,
        residual: Option<Operand>,
        act: Activation,
        groups: Vec<GemmGroup>,
    ) {
        let precision = self.precision;
        self.b.step(StepOp::Gemm(Gemm { a, out, residual, act, precision, groups }));
    }

    /// Both directions.
    fn lstm(&mut self, gates: Operand, out: Operand) {
        let (precision, arch, mut units) = (self.precision, self.arch, Vec::new());
        for (at, reverse) in [false, true].into_iter().enumerate() {
            let r: Vec<f32> = noise(50 + at as u64, 4 * HIDDEN * HIDDEN).iter().map(|x| x / 4.0).collect();
            let mut packed = vec![0.0; lstm_weight_len(precision, arch, HIDDEN)];
            pack::lstm(precision, arch, HIDDEN, &r, &mut packed);
            let weights = self.b.weights(&packed);
            let (gate_col, out_col) = ((at * 4 * padded_hidden(HIDDEN)) as u32, (at * HIDDEN) as u32);
            units.push(LstmUnit { gate_col, hidden: HIDDEN as u32, out_col, reverse, weights });
        }
        self.b.step(StepOp::Lstm(Lstm { gates, out, precision, units }));
    }

    fn image(&mut self) {
        let gate_cols = 8 * padded_hidden(HIDDEN);
        self.b.plan.model = "golden".to_string();
        self.b.plan.meta = meta();
        let dims = |dims: &[u32]| dims.iter().copied().map(Dim::Fixed).collect();
        let (port, dtype) = (|name: &str, dims| (name.to_string(), dims), Dtype::F32);
        let (name, of) = port("image", dims(&[1, 3, 8, 8]));
        self.b.plan.inputs.push(Port { name, dtype, dims: of });
        let (name, of) = port("logits", dims(&[1, 5]));
        self.b.plan.outputs.push(Port { name, dtype, dims: of });
        let image = self.b.tensor(Place::Input(0), 24, 8, 8);
        let logits = self.b.tensor(Place::Output(0), 1, 5, 5);
        let (patches, qkv, gates) =
            (self.b.arena(4, 48), self.b.arena(4, 3 * COLS), self.b.arena(4, gate_cols));
        let [x, y, z] = [0; 3].map(|_| self.b.arena(4, COLS));
        let (hidden, mean) = (self.b.arena(4, 2 * HIDDEN), self.b.arena(1, COLS));
        let positions = self.b.constant(4, COLS, &noise(1, 4 * COLS));
        let affine = Some(self.b.weights(&noise(2, 2 * COLS)));
        let work = self.b.work(attention_work_bytes(4, 2, COLS / 2));

        self.b.step(StepOp::Patches(Patches {
            image,
            channels: 3,
            patch_height: 4,
            patch_width: 4,
            out: patches,
        }));
        let groups = vec![self.group(3, 48, COLS, 0)];
        self.gemm(patches, x, None, Activation::None, groups);
        self.b.step(StepOp::Add { a: x, b: positions, out: x });
        self.b.step(StepOp::LayerNorm(LayerNorm { x, out: y, eps: 1e-5, affine }));
        let groups = vec![self.group(4, COLS, 2 * COLS, 0), self.group(5, COLS, COLS, 2 * COLS)];
        self.gemm(y, qkv, None, Activation::None, groups);
        let [q, k, v] = [0, 1, 2].map(|n| part(qkv, 0, n * COLS, 4, COLS));
        self.b.step(StepOp::Attention(Attention { q, k, v, out: z, heads: 2, scale: 0.35, work }));
        let groups = vec![self.group(6, COLS, COLS, 0)];
        self.gemm(z, x, Some(x), Activation::Gelu, groups);
        self.b.step(StepOp::Normalize { x, out: y, eps: 1e-6 });
        let groups = vec![self.group(7, COLS, gate_cols, 0)];
        self.gemm(y, gates, None, Activation::None, groups);
        self.lstm(gates, hidden);
        self.b.step(StepOp::Map { act: Activation::Tanh, x: hidden, out: hidden });
        let groups = vec![self.group(8, 2 * HIDDEN, COLS, 0)];
        self.gemm(hidden, y, Some(x), Activation::Relu, groups);
        self.b.step(StepOp::Copy { x: y, out: z });
        self.b.step(StepOp::MeanRows { x: z, out: mean });
        let groups = vec![self.group(9, COLS, 5, 0)];
        self.gemm(mean, logits, None, Activation::None, groups);
    }

    /// Rows are tokens; each kind of step in another precision.
    fn text(&mut self) {
        let gate_cols = 8 * padded_hidden(HIDDEN);
        let plan = &mut self.b.plan;
        (plan.model, plan.tokens, plan.lengths) = ("golden".to_string(), TOKENS as u32, Some(1));
        plan.batch = Batch { most: 3, fixed: false };
        let port = |name: &str, dtype, inner: &[u32]| {
            let inner = inner.iter().copied().map(Dim::Fixed);
            Port {
                name: name.to_string(),
                dtype,
                dims: [Dim::Batch, Dim::Tokens].into_iter().chain(inner).collect(),
            }
        };
        plan.inputs = vec![port("words", Dtype::I64, &[]), port("mask", Dtype::I32, &[])];
        plan.outputs = vec![port("states", Dtype::F32, &[COLS as u32])];
        let mean = Port {
            name: "mean".to_string(),
            dtype: Dtype::F32,
            dims: vec![Dim::Batch, Dim::Fixed(COLS as u32)],
        };
        plan.outputs.push(mean);
        let states = self.b.tensor(Place::Output(0), TOKENS, COLS, COLS);
        let [x, y] = [0; 2].map(|_| self.b.arena(TOKENS, COLS));
        let (gates, hidden) = (self.b.arena(TOKENS, gate_cols), self.b.arena(TOKENS, 2 * HIDDEN));
        self.b.plan.tensors.iter_mut().for_each(|tensor| tensor.tokens = true);
        let mean = self.b.tensor(Place::Output(1), 1, COLS, COLS);
        let work = self.b.work(attention_work_bytes(TOKENS, 2, COLS / 2));
        let precision = Precision::Int8;
        let row = table_row_len(precision, COLS).expect("tables may be of 8 bits");
        let mut table = vec![0.0; VOCAB * row];
        far_kernels::pack_table(precision, COLS, &noise(11, VOCAB * COLS), &mut table);
        let table = self.b.weights(&table);

        self.b.step(StepOp::Embed(Embed { input: 0, table, vocab: VOCAB as u32, precision, out: x }));
        self.precision = Precision::F16;
        let groups = vec![self.group(12, COLS, gate_cols, 0)];
        self.gemm(x, gates, None, Activation::None, groups);
        self.precision = Precision::Int8;
        self.lstm(gates, hidden);
        let groups = vec![self.group(13, 2 * HIDDEN, COLS, 0)];
        self.gemm(hidden, y, Some(x), Activation::Gelu, groups);
        self.b.step(StepOp::Attention(Attention {
            q: y,
            k: x,
            v: y,
            out: states,
            heads: 2,
            scale: 0.35,
            work,
        }));
        self.b.step(StepOp::MeanRows { x: states, out: mean });
    }
}
