//! Text encoders of the BERT and MiniLM kind: token, type and position embeddings, blocks whose norms come after the
//! sums, pooling. May import: `config`, `encode`, `graph`, `mask`, `mixer`, `model`, `weights`.

mod embed;
mod pool;

use std::io::Write;
use std::rc::Rc;

use crate::config::{Config as BlockConfig, Error, Pruning, Size};
use crate::graph::{Axis, Element, GraphBuilder, float, index, int};
use crate::mixer;
use crate::model::{layer_norm, linear, mlp};
use crate::weights::Weights;
use crate::{encode, mask};

/// Least f32: what exporters put on the scores of masked keys.
const LEAST: f32 = f32::MIN;

/// What to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The blocks, and the seed. Dimensions of images and classes are not used.
    pub blocks: BlockConfig,
    /// Rows of the table of tokens.
    pub vocabulary: usize,
    /// Rows of the table of positions: the most tokens.
    pub positions: usize,
    /// Element type of the integer inputs.
    pub ids: Ids,
    /// Tokens' types.
    pub types: Types,
    /// How positions are found.
    pub position_ids: PositionIds,
    /// Whether there is an attention mask, and how it reaches the scores of blocks that keep attention.
    pub mask: Option<Mask>,
    /// Whether the LSTMs are given `sequence_lens`, by the sum of the mask.
    pub lengths: bool,
    /// What becomes of the tokens.
    pub pooling: Pooling,
    /// Whether the pooled vector is divided by its length.
    pub normalized: bool,
    /// Whether the tokens after the last block are an output too.
    pub features: bool,
    /// Elements of the batch; open unless given.
    pub batch: Option<usize>,
    /// Tokens; open unless given.
    pub tokens: Option<usize>,
}

/// Element type of the integer inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// 64 bits.
    I64,
    /// 32 bits.
    I32,
}

/// Where the types of the tokens come from; there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Types {
    /// No types.
    None,
    /// The input `token_type_ids`.
    Input,
    /// A buffer of zeros, cut to the length of the input and repeated for the batch.
    Zeros,
}

/// Where the numbers of the positions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionIds {
    /// A buffer, cut to the length of the input.
    Buffer,
    /// A Range up to the length of the input.
    Range,
}

/// How a mask reaches the scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// `(1 − mask)·min`, added.
    Additive,
    /// The mask repeated for each query, inverted, filled with the least number, added.
    Filled,
    /// `Where(mask, scores, −∞)`.
    Chosen,
}

/// What becomes of the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Nothing: the tokens are the output.
    None,
    /// The mean of those that count.
    Mean,
    /// The first token.
    Class,
    /// The first token through a linear layer and tanh.
    Pooler,
}

impl Config {
    /// Dimensions of MiniLM-L6.
    pub const MINILM: Size = Size { width: 384, heads: 12, hidden: 32, depth: 6, mlp: 1536, ..Size::SMALL };

    /// MiniLM's embeddings and mean pooling around blocks of these dimensions, everything open, operator set 17, seed 0.
    pub fn new(size: Size) -> Self {
        Self {
            blocks: BlockConfig::new(Size {
                image: 1,
                patch: 1,
                channels: 1,
                classes: 1,
                distilled: false,
                ..size
            }),
            vocabulary: 30_522,
            positions: 512,
            ids: Ids::I64,
            types: Types::Input,
            position_ids: PositionIds::Buffer,
            mask: Some(Mask::Additive),
            lengths: true,
            pooling: Pooling::Mean,
            normalized: true,
            features: false,
            batch: None,
            tokens: None,
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let extents = [
            ("vocabulary", self.vocabulary, 1 << 20),
            ("positions", self.positions, 1 << 16),
            ("batch", self.batch.unwrap_or(1), 1 << 16),
            ("tokens", self.tokens.unwrap_or(1), self.positions),
        ];
        for (field, value, most) in extents {
            if !(1..=most).contains(&value) {
                return Err(Error::Invalid { field, message: format!("expected 1 to {most}, got {value}") });
            }
        }
        if self.lengths && self.mask.is_none() {
            return Err(Error::Invalid { field: "lengths", message: "only a mask tells lengths".into() });
        }
        Ok(())
    }
}

/// A model in memory.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The ONNX file.
    pub onnx: Vec<u8>,
    /// The mask file of the pruning (safetensors), with [`Pruning::Masks`].
    pub masks: Option<Vec<u8>>,
}

/// Makes a model in memory.
///
/// # Errors
/// A configuration that makes no sense.
pub fn generate(config: &Config) -> Result<Generated, Error> {
    let mut onnx = Vec::new();
    write(config, &mut onnx)?;
    let masks = match config.blocks.pruning {
        Pruning::Masks { .. } => Some(mask::serialize(&Rc::new(Weights::new(&config.blocks)?))?),
        _ => None,
    };
    Ok(Generated { onnx, masks })
}

/// Writes a model's ONNX, one tensor at a time.
///
/// # Errors
/// A configuration that makes no sense, or a file that can't be written.
pub fn write(config: &Config, to: &mut impl Write) -> Result<(), Error> {
    config.validate()?;
    let mut graph = GraphBuilder::new(config.blocks.opset);
    let weights = Rc::new(Weights::new(&config.blocks)?);
    Builder { config, weights: &weights, graph: &mut graph }.build();
    encode::model(&graph, to).map_err(Error::Write)
}

/// A model under construction.
struct Builder<'a> {
    config: &'a Config,
    weights: &'a Rc<Weights>,
    graph: &'a mut GraphBuilder,
}

impl Builder<'_> {
    fn build(&mut self) {
        let element = match self.config.ids {
            Ids::I64 => Element::I64,
            Ids::I32 => Element::I32,
        };
        let [batch, tokens] = self.axes();
        let axes = [batch, tokens];
        self.graph.input("input_ids", element, &axes);
        if self.config.mask.is_some() {
            self.graph.input("attention_mask", element, &axes);
        }
        if self.config.types == Types::Input {
            self.graph.input("token_type_ids", element, &axes);
        }
        let mut x = self.embed();
        if self.config.lengths {
            let count =
                self.graph.with_axes("", "ReduceSum", "attention_mask", &[1], vec![int("keepdims", 0)], 13);
            self.graph.lengths = Some(self.cast("", &count, Element::I32));
        }
        let added = self.mask_for_scores();
        for block in 0..self.config.blocks.size.depth {
            x = self.block(block, &x, added.as_deref());
        }
        self.pool(x);
    }

    /// Axes of the batch and of the tokens.
    fn axes(&self) -> [Axis; 2] {
        let axis = |size: Option<usize>, name| size.map_or(Axis::Open(name), Axis::Fixed);
        [axis(self.config.batch, "batch_size"), axis(self.config.tokens, "sequence_length")]
    }

    fn cast(&mut self, scope: &str, x: &str, to: Element) -> String {
        self.graph.node(scope, "Cast", &[x], vec![int("to", to.number().into())])
    }

    /// A dimension of a tensor, as the exporter finds it: a number without axes.
    fn size(&mut self, scope: &str, x: &str, axis: i64) -> String {
        let shape = self.graph.node(scope, "Shape", &[x], vec![]);
        let at = self.graph.constant_i64(scope, &[], &[axis]);
        self.graph.node(scope, "Gather", &[&shape, &at], vec![int("axis", 0)])
    }

    /// The same as a list.
    fn listed(&mut self, scope: &str, x: &str, axis: i64) -> String {
        let size = self.size(scope, x, axis);
        self.graph.with_axes(scope, "Unsqueeze", &size, &[0], vec![], 13)
    }

    /// What blocks that keep attention add to their scores, or choose by.
    fn mask_for_scores(&mut self) -> Option<String> {
        let mask = self.config.mask?;
        let keeps = |block| !self.config.blocks.is_replaced(block);
        if !(0..self.config.blocks.size.depth).any(keeps) {
            return None;
        }
        let wide = self.graph.with_axes("", "Unsqueeze", "attention_mask", &[1], vec![], 13);
        let wide = self.graph.with_axes("", "Unsqueeze", &wide, &[2], vec![], 13);
        if mask == Mask::Chosen {
            return Some(self.cast("", &wide, Element::Bool));
        }
        let wide = match mask {
            Mask::Filled => {
                let (batch, tokens) =
                    (self.listed("", "attention_mask", 0), self.listed("", "attention_mask", 1));
                let one = self.graph.constant_i64("", &[1], &[1]);
                let shape = self.graph.concat("", &[&batch, &one, &tokens, &tokens], 0);
                self.graph.node("", "Expand", &[&wide, &shape], vec![])
            }
            _ => wide,
        };
        let float = self.cast("", &wide, Element::F32);
        let one = self.graph.constant_f32("", &[], &[1.0]);
        let inverted = self.graph.node("", "Sub", &[&one, &float], vec![]);
        let least = self.graph.constant_f32("", &[], &[LEAST]);
        Some(match mask {
            Mask::Filled => {
                let condition = self.cast("", &inverted, Element::Bool);
                self.graph.node("", "Where", &[&condition, &least, &inverted], vec![])
            }
            _ => self.graph.node("", "Mul", &[&inverted, &least], vec![]),
        })
    }

    /// `norm(x + mixed)`, then `norm(x + mlp)`.
    fn block(&mut self, block: usize, x: &str, mask: Option<&str>) -> String {
        let scope = format!("blocks.{block}");
        let mixed = match self.config.blocks.is_replaced(block) {
            true => mixer::lstm(self.weights, self.graph, block, x),
            false => self.attention(block, x, mask),
        };
        let x = self.graph.node(&scope, "Add", &[&mixed, x], vec![]);
        let x = layer_norm(self.weights, self.graph, &format!("{scope}/norm1"), &x);
        let out = mlp(self.weights, self.graph, &format!("{scope}/mlp"), &x);
        let x = self.graph.node(&scope, "Add", &[&out, &x], vec![]);
        layer_norm(self.weights, self.graph, &format!("{scope}/norm2"), &x)
    }

    /// BERT's: queries, keys and values by layers of their own, shapes computed from shapes.
    fn attention(&mut self, block: usize, x: &str, mask: Option<&str>) -> String {
        let Size { width, heads, .. } = self.config.blocks.size;
        let d = width / heads;
        let scope = &format!("blocks.{block}/attn");
        let mut heads_of = |module: &str, perm: &[i64]| {
            let y = linear(self.weights, self.graph, &format!("{scope}/{module}"), x, [width, width], 1.0);
            let (batch, tokens) = (self.listed(scope, &y, 0), self.listed(scope, &y, 1));
            let rest = [heads, d].map(|size| self.graph.constant_i64(scope, &[1], &[index(size)]));
            let shape = self.graph.concat(scope, &[&batch, &tokens, &rest[0], &rest[1]], 0);
            let y = self.graph.reshape_to(scope, &y, &shape);
            self.graph.transpose(scope, &y, perm)
        };
        let q = heads_of("query", &[0, 2, 1, 3]);
        let k = heads_of("key", &[0, 2, 3, 1]);
        let v = heads_of("value", &[0, 2, 1, 3]);
        let graph = &mut *self.graph;
        let scores = graph.node(scope, "MatMul", &[&q, &k], vec![]);
        let root = graph.constant_f32(scope, &[], &[(d as f32).sqrt()]);
        let mut scores = graph.node(scope, "Div", &[&scores, &root], vec![]);
        if let Some(mask) = mask {
            scores = match self.config.mask {
                Some(Mask::Chosen) => {
                    let never = graph.constant_f32(scope, &[], &[f32::NEG_INFINITY]);
                    graph.node(scope, "Where", &[mask, &scores, &never], vec![])
                }
                _ => graph.node(scope, "Add", &[&scores, mask], vec![]),
            };
        }
        let scores = graph.node(scope, "Softmax", &[&scores], vec![int("axis", -1)]);
        let mixed = graph.node(scope, "MatMul", &[&scores, &v], vec![]);
        let mixed = graph.transpose(scope, &mixed, &[0, 2, 1, 3]);
        let mixed = graph.reshape(scope, &mixed, &[0, 0, index(width)]);
        linear(self.weights, graph, &format!("{scope}/proj"), &mixed, [width, width], 2.0)
    }

    /// `x / max(‖x‖₂, 1e-12)` over the last axis, as PyTorch's `normalize` is exported.
    fn normalize(&mut self, x: &str) -> String {
        let norm = self.graph.with_axes("", "ReduceL2", x, &[-1], vec![int("keepdims", 1)], 18);
        let least = self.graph.constant_f32("", &[], &[1e-12]);
        let norm = self.graph.node("", "Clip", &[&norm, &least], vec![]);
        let shape = self.graph.node("", "Shape", &[x], vec![]);
        let norm = self.graph.node("", "Expand", &[&norm, &shape], vec![]);
        self.graph.node("", "Div", &[x, &norm], vec![])
    }

    /// A layer with a bias, by Gemm: `batch × inputs` → `batch × outputs`.
    fn gemm(&mut self, module: &str, x: &str, [inputs, outputs]: [usize; 2]) -> String {
        let vector = |name: String, dims: [usize; 2], std: f64| {
            let source = Rc::clone(self.weights);
            let (key, len) = (name.clone(), dims[0] * dims[1]);
            (name, move || source.vector(&key, len, 0.0, std))
        };
        let (name, fill) =
            vector(format!("{module}.weight"), [outputs, inputs], 1.0 / (inputs as f64).sqrt());
        let weight = self.graph.parameter(name, &[outputs, inputs], fill);
        let (name, fill) = vector(format!("{module}.bias"), [1, outputs], 0.05);
        let bias = self.graph.parameter(name, &[outputs], fill);
        let attributes = vec![float("alpha", 1.0), float("beta", 1.0), int("transB", 1)];
        self.graph.node(module, "Gemm", &[x, &weight, &bias], attributes)
    }
}
