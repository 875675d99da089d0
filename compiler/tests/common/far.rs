//! Random small FAR graphs, as the importer brings them: monolithic or parallel, ragged masks already in the weights,
//! with dead heads, directions and mixers.
#![allow(dead_code)] // each test program uses a part of it

use farc::ir::{
    Activation, Dim, Direction, Dtype, Graph, Linear, LinearGroup, LstmUnit, MultiHeadLstm, Op, Port, Shape,
    ValueId, WeightId, output_shape,
};

use super::common::Numbers;

/// What the graph looks like.
#[derive(Clone, Copy, Debug)]
struct Size {
    tokens: usize,
    heads: usize,
    /// Channels of a head.
    width: usize,
    /// Hidden units of a head and direction before pruning.
    hidden: usize,
    mlp: usize,
}

struct Builder {
    graph: Graph,
    numbers: Numbers,
    size: Size,
}

/// A graph drawn from a seed.
pub(crate) fn random(seed: u64) -> Graph {
    let mut numbers = Numbers::new(seed);
    let heads = 1 + numbers.below(12);
    let size = Size {
        tokens: 2 + numbers.below(5),
        heads,
        width: (4 / heads).max(1) + numbers.below(4),
        hidden: 1 + numbers.below((160 / heads).min(64)),
        mlp: 1 + numbers.below(24),
    };
    let mut builder = Builder { graph: Graph::default(), numbers, size };
    builder.model();
    builder.graph
}

/// A text encoder drawn from a seed: ids of any number up to a few, norms after the sums, pooled one way or another.
pub(crate) fn random_text(seed: u64) -> Graph {
    let mut numbers = Numbers::new(seed);
    let heads = 1 + numbers.below(4);
    let size = Size {
        tokens: 2 + numbers.below(5),
        heads,
        width: (4 / heads).max(1) + numbers.below(4),
        hidden: 1 + numbers.below(12),
        mlp: 1 + numbers.below(24),
    };
    let graph = Graph { tokens: size.tokens, ..Graph::default() };
    let mut builder = Builder { graph, numbers, size };
    builder.text();
    builder.graph
}

impl Builder {
    fn text(&mut self) {
        let Size { tokens, heads, width, .. } = self.size;
        let cols = heads * width;
        let mut ids = |name: &str| {
            let value = self.graph.add_value(name, Shape::TokenIds);
            let dims = vec![Dim::Fixed(1), Dim::Tokens];
            self.graph.inputs.push(Port { name: name.into(), value, dims, dtype: Dtype::I64 });
            value
        };
        let (words, mask) = (ids("input_ids"), self.numbers.one_in(2));
        if mask {
            ids("attention_mask");
            self.graph.lengths = Some(1);
        }
        let table = self.weight(7, cols, 1.0);
        let mut x = self.node("embeddings.word", Op::Embedding { table }, vec![words]);
        if self.numbers.one_in(2) {
            let shift = Some(self.weight(1, cols, 0.5));
            x = self.node("embeddings.types", Op::Affine { scale: None, shift }, vec![x]);
        }
        let places = self.weight(tokens, cols, 1.0);
        let places = self.node("embeddings.positions", Op::Positions(places), vec![]);
        x = self.node("embeddings.add", Op::Add, vec![x, places]);
        x = self.layer_norm("embeddings.norm", x);
        for block in 0..1 + self.numbers.below(2) {
            let path = format!("blocks.{block}");
            let mixed = if self.numbers.one_in(3) {
                self.node(&format!("{path}.attn"), Op::Attention { heads, scale: 0.7 }, vec![x, x, x])
            } else {
                self.mixer(&path, x)
            };
            x = self.node(&format!("{path}.add1"), Op::Add, vec![x, mixed]);
            let more = self.mlp(&path, x);
            x = self.node(&format!("{path}.add2"), Op::Add, vec![more, x]);
        }
        x = self.layer_norm("norm", x);
        let dims = vec![Dim::Fixed(1), Dim::Tokens, Dim::Fixed(cols)];
        if self.numbers.one_in(2) {
            self.graph.outputs.push(Port { name: "features".into(), value: x, dims, dtype: Dtype::F32 });
        }
        let pooled = match self.numbers.one_in(2) {
            true => self.node("mean", Op::MeanRows, vec![x]),
            false => self.node("token", Op::SliceRows { start: 0, len: 1 }, vec![x]),
        };
        let pooled = self.node("unit", Op::Normalize { eps: 1e-6 }, vec![pooled]);
        self.graph.outputs.push(Port::new("pooled", pooled, &[1, cols]));
    }

    fn model(&mut self) {
        let Size { tokens, heads, width, .. } = self.size;
        let cols = heads * width;
        let x = self.graph.add_value("x", Shape::Matrix { rows: tokens, cols });
        self.graph.inputs.push(Port::new("x", x, &[tokens, cols]));
        let cls = self.weight(1, cols, 1.0);
        let cls = self.node("cls", Op::Constant(cls), vec![]);
        let rows = self.node("tokens", Op::ConcatRows, vec![cls, x]);
        let pos = self.weight(tokens + 1, cols, 1.0);
        let pos = self.node("pos", Op::Constant(pos), vec![]);
        let mut x = self.node("embedded", Op::Add, vec![rows, pos]);
        for block in 0..1 + self.numbers.below(2) {
            let path = format!("blocks.{block}");
            let mixed = self.mixer(&path, x);
            x = self.node(&format!("{path}.add1"), Op::Add, vec![x, mixed]);
            let more = self.mlp(&path, x);
            x = self.node(&format!("{path}.add2"), Op::Add, vec![more, x]);
        }
        let norm = self.layer_norm("norm", x);
        let token = match self.numbers.below(3) {
            0 => self.node("mean", Op::MeanRows, vec![norm]),
            1 => self.node("token", Op::SliceRows { start: tokens, len: 1 }, vec![norm]),
            _ => self.node("token", Op::SliceRows { start: 0, len: 1 }, vec![norm]),
        };
        let head = self.weight(cols, 3, 0.5);
        let logits = self.linear("head", token, 3, head);
        self.graph.outputs.push(Port::new("logits", logits, &[1, 3]));
    }

    fn node(&mut self, name: &str, op: Op, inputs: Vec<ValueId>) -> ValueId {
        output_shape(&self.graph, &op, &inputs)
            .unwrap_or_else(|error| panic!("{name}: {error} {:?}", error.place));
        self.graph.insert_node(self.graph.nodes.len(), name, name, op, inputs).unwrap()
    }

    fn weight(&mut self, rows: usize, cols: usize, scale: f32) -> WeightId {
        let data = self.numbers.reals(rows * cols, scale);
        self.graph.add_weight(rows, cols, data)
    }

    /// With zeros where `keep(row, col)` says no.
    fn masked(
        &mut self,
        rows: usize,
        cols: usize,
        scale: f32,
        keep: impl Fn(usize, usize) -> bool,
    ) -> WeightId {
        let mut data = self.numbers.reals(rows * cols, scale);
        data.iter_mut().enumerate().filter(|(i, _)| !keep(i / cols, i % cols)).for_each(|(_, x)| *x = 0.0);
        self.graph.add_weight(rows, cols, data)
    }

    fn linear(&mut self, name: &str, x: ValueId, cols: usize, weight: WeightId) -> ValueId {
        let depth = self.graph.dims(x)[1];
        let bias = (!self.numbers.one_in(4)).then(|| self.weight(1, cols, 0.5));
        let groups = vec![LinearGroup { input: 0..depth, output: 0..cols, weight, bias }];
        self.node(name, Op::Linear(Linear { cols, groups, act: Activation::None, residual: false }), vec![x])
    }

    fn layer_norm(&mut self, name: &str, x: ValueId) -> ValueId {
        let cols = self.graph.dims(x)[1];
        let scale = (!self.numbers.one_in(4)).then(|| self.weight(1, cols, 2.0));
        let shift = (!self.numbers.one_in(4)).then(|| self.weight(1, cols, 1.0));
        self.node(name, Op::LayerNorm { eps: 1e-3, scale, shift }, vec![x])
    }

    fn mlp(&mut self, path: &str, x: ValueId) -> ValueId {
        let (cols, mlp) = (self.graph.dims(x)[1], self.size.mlp);
        let norm = self.layer_norm(&format!("{path}.norm2"), x);
        let one_in = if self.numbers.one_in(6) { 1 } else { 5 };
        let dead: Vec<(bool, bool)> =
            (0..mlp).map(|_| (self.numbers.one_in(one_in), self.numbers.one_in(one_in))).collect();
        let weight = self.masked(cols, mlp, 0.5, |_, unit| !dead[unit].0);
        let hidden = self.linear(&format!("{path}.mlp.fc1"), norm, mlp, weight);
        let act = [Activation::Gelu, Activation::GeluTanh, Activation::Relu][self.numbers.below(3)];
        let hidden = self.node(&format!("{path}.mlp.act"), Op::Activation(act), vec![hidden]);
        let weight = self.masked(mlp, cols, 0.5, |unit, _| !dead[unit].1);
        self.linear(&format!("{path}.mlp.fc2"), hidden, cols, weight)
    }

    fn mixer(&mut self, path: &str, x: ValueId) -> ValueId {
        let Size { heads, width, hidden, .. } = self.size;
        let cols = heads * width;
        let norm = self.layer_norm(&format!("{path}.norm1"), x);
        let weight = self.weight(cols, cols, 0.7);
        let x = self.linear(&format!("{path}.attn.pre_proj"), norm, cols, weight);
        let dead_mixer = self.numbers.one_in(8);
        // For each direction and hidden unit of all heads: alive, and not read by the projection only.
        let mut alive = vec![vec![true; heads * hidden]; 2];
        for head in (0..2 * heads).map(|i| (i / heads, i % heads)) {
            let percent = if dead_mixer || self.numbers.one_in(6) { 0 } else { 30 + self.numbers.below(80) };
            for unit in &mut alive[head.0][head.1 * hidden..][..hidden] {
                *unit = self.numbers.below(100) < percent;
            }
        }
        let hidden_projection = self.numbers.one_in(2);
        let y = if self.numbers.one_in(2) {
            self.monolithic(path, x, &alive, hidden_projection)
        } else {
            self.parallel(path, x, &alive, hidden_projection)
        };
        if !hidden_projection {
            return y;
        }
        let weight = self.weight(heads * hidden, cols, 0.5);
        self.linear(&format!("{path}.attn.post_proj"), y, cols, weight)
    }

    /// One LSTM unit. Weights in and out of hidden units that are not alive, and between heads, are zero.
    fn unit(
        &mut self,
        direction: Direction,
        alive: &[bool],
        [inputs, input_block]: [usize; 2],
        hidden_block: usize,
    ) -> LstmUnit {
        let hidden = alive.len();
        // Now and then, weights that masks of structured pruning would not leave.
        let odd = self.numbers.one_in(4).then(|| (self.numbers.below(hidden), self.numbers.below(4)));
        let is_odd = |unit: usize, kind: usize| odd == Some((unit, kind));
        let own = |row: usize, col: usize, block: usize| row % hidden / hidden_block == col / block;
        let w = self.masked(4 * hidden, inputs, 0.8, |row, col| {
            own(row, col, input_block) && (alive[row % hidden] != is_odd(row % hidden, 0))
        });
        let r = self.masked(4 * hidden, hidden, 0.5, |row, col| {
            own(row, col, hidden_block)
                && (alive[row % hidden] != is_odd(row % hidden, 1))
                && (alive[col] != is_odd(col, 2))
        });
        let bias = self.weight(1, 4 * hidden, 1.0);
        let output = if direction == Direction::Forward { 0 } else { hidden };
        LstmUnit { head: 0, direction, input: 0..inputs, output, hidden, w, r, bias }
    }

    fn monolithic(&mut self, path: &str, x: ValueId, alive: &[Vec<bool>], head_proj: bool) -> ValueId {
        let Size { heads, width, hidden, .. } = self.size;
        let directions = [Direction::Forward, Direction::Reverse];
        let units = directions
            .into_iter()
            .zip(alive)
            .map(|(direction, alive)| self.unit(direction, alive, [heads * width, width], hidden))
            .collect();
        let lstm =
            self.node(&format!("{path}.attn.lstm"), Op::MultiHeadLstm(MultiHeadLstm { units }), vec![x]);
        let alive: Vec<bool> = alive.concat();
        let (cols, block) = if head_proj { (heads * hidden, hidden) } else { (heads * width, heads * width) };
        let same_head = |row: usize, col: usize| !head_proj || row % (heads * hidden) / hidden == col / block;
        let weight = self.masked(alive.len(), cols, 0.5, |row, col| alive[row] && same_head(row, col));
        self.linear(&format!("{path}.attn.proj"), lstm, cols, weight)
    }

    fn parallel(&mut self, path: &str, x: ValueId, alive: &[Vec<bool>], head_proj: bool) -> ValueId {
        let Size { heads, width, hidden, .. } = self.size;
        let mut parts = Vec::new();
        for head in 0..heads {
            let op = Op::SliceCols { start: head * width, len: width };
            let slice = self.node(&format!("{path}.attn.split.{head}"), op, vec![x]);
            let alive: Vec<Vec<bool>> =
                alive.iter().map(|alive| alive[head * hidden..][..hidden].to_vec()).collect();
            let forward = self.unit(Direction::Forward, &alive[0], [width, width], hidden);
            let reverse = self.unit(Direction::Reverse, &alive[1], [width, width], hidden);
            let op = Op::MultiHeadLstm(MultiHeadLstm { units: vec![forward, reverse] });
            let lstm = self.node(&format!("{path}.attn.l.{head}"), op, vec![slice]);
            if head_proj {
                let alive = alive.concat();
                let weight = self.masked(2 * hidden, hidden, 0.5, |row, _| alive[row]);
                parts.push(self.linear(&format!("{path}.attn.hp.{head}"), lstm, hidden, weight));
            } else {
                parts.push(lstm);
            }
        }
        if head_proj {
            return self.node(&format!("{path}.attn.cat"), Op::ConcatCols, parts);
        }
        let half = |builder: &mut Self, lstm: ValueId, start: usize| {
            builder.node(&format!("{path}.attn.half"), Op::SliceCols { start, len: hidden }, vec![lstm])
        };
        let mut halves: Vec<ValueId> = parts.iter().map(|lstm| half(self, *lstm, 0)).collect();
        halves.extend(parts.iter().map(|lstm| half(self, *lstm, hidden)).collect::<Vec<_>>());
        let all = self.node(&format!("{path}.attn.cat"), Op::ConcatCols, halves);
        let alive: Vec<bool> = alive.concat();
        let weight = self.masked(alive.len(), heads * width, 0.5, |row, _| alive[row]);
        self.linear(&format!("{path}.attn.proj"), all, heads * width, weight)
    }
}
