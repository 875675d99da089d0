//! What stands between a block's first LayerNorm and its first residual: attention, or the LSTM in one of its forms.
//! May import: `config`, `graph`, `weights`.

use std::rc::Rc;

use crate::config::{Form, Projection, Size};
use crate::graph::{GraphBuilder, index, int, ints, string};
use crate::model::linear;
use crate::weights::{Direction, Matrix, Weights};

/// `1 × T × D` → `1 × T × D`.
pub(crate) fn attention(weights: &Rc<Weights>, graph: &mut GraphBuilder, block: usize, x: &str) -> String {
    let Size { width, heads, .. } = weights.config.size;
    let (tokens, head_width) = (weights.config.size.tokens(), weights.config.size.head_width());
    let scope = format!("blocks.{block}/attn");
    let qkv = linear(weights, graph, &format!("{scope}/qkv"), x, [width, 3 * width], 1.0);
    // An open batch is copied.
    let batch = weights.config.batch.unwrap_or(0);
    let shape = [batch, tokens, 3, heads, head_width].map(index);
    let qkv = graph.reshape(&scope, &qkv, &shape);
    let qkv = graph.transpose(&scope, &qkv, &[2, 0, 3, 1, 4]);
    let parts = graph.split(&scope, &qkv, 0, 3, 1);
    let [q, k, v] = [0, 1, 2].map(|i: usize| graph.squeeze(&scope, &parts[i], 0));
    let scale = graph.constant_f32(&scope, &[], &[1.0 / (head_width as f32).sqrt()]);
    let q = graph.node(&scope, "Mul", &[&q, &scale], vec![]);
    let k = graph.transpose(&scope, &k, &[0, 1, 3, 2]);
    let scores = graph.node(&scope, "MatMul", &[&q, &k], vec![]);
    let scores = graph.node(&scope, "Softmax", &[&scores], vec![int("axis", -1)]);
    let mixed = graph.node(&scope, "MatMul", &[&scores, &v], vec![]);
    let mixed = graph.transpose(&scope, &mixed, &[0, 2, 1, 3]);
    let mixed = graph.reshape(&scope, &mixed, &[batch, tokens, width].map(index));
    linear(weights, graph, &format!("{scope}/proj"), &mixed, [width, width], 2.0)
}

/// `1 × T × D` → `1 × T × D`.
pub(crate) fn lstm(weights: &Rc<Weights>, graph: &mut GraphBuilder, block: usize, x: &str) -> String {
    let Size { width, heads, hidden, .. } = weights.config.size;
    let scope = format!("blocks.{block}/attn");
    let x = linear(weights, graph, &format!("{scope}/pre_proj"), x, [width, width], 1.0);
    let parallel = weights.config.form == Form::Parallel;
    match weights.config.projection {
        Projection::HeadPost => {
            let mixed = if parallel {
                parallel_heads(weights, graph, block, &x)
            } else {
                let mixed = monolithic(weights, graph, block, &x);
                monolithic_head_proj(weights, graph, block, &mixed)
            };
            linear(weights, graph, &format!("{scope}/post_proj"), &mixed, [heads * hidden, width], 1.0)
        }
        Projection::Single => {
            let mixed = if parallel {
                parallel_units(weights, graph, block, &x)
            } else {
                monolithic(weights, graph, block, &x)
            };
            single_proj(weights, graph, block, &mixed)
        }
    }
}

/// One bidirectional node: `1 × T × D` → `1 × T × 2nH`.
fn monolithic(weights: &Rc<Weights>, graph: &mut GraphBuilder, block: usize, x: &str) -> String {
    let heads: Vec<usize> = (0..weights.config.size.heads).collect();
    lstm_module(weights, graph, block, "lstm", x, &heads, &Direction::BOTH)
}

/// `1 × T × 2nH` → `1 × T × nH`; a head sees its own units only.
fn monolithic_head_proj(weights: &Rc<Weights>, graph: &mut GraphBuilder, block: usize, x: &str) -> String {
    let Size { heads, hidden, .. } = weights.config.size;
    let scope = format!("blocks.{block}/attn/head_proj");
    let source = Rc::clone(weights);
    let weight = graph.derived("MatMul", &[2 * heads * hidden, heads * hidden], move || {
        let mut all = Matrix::zeros(2 * heads * hidden, heads * hidden);
        for head in 0..heads {
            let own = source.head_proj(block, head);
            for direction in [0, 1] {
                let part = Matrix {
                    rows: hidden,
                    cols: hidden,
                    data: own.data[direction * hidden * hidden..(direction + 1) * hidden * hidden].to_vec(),
                };
                all.place((direction * heads + head) * hidden, head * hidden, &part);
            }
        }
        all.data
    });
    let product = graph.node(&scope, "MatMul", &[x, &weight], vec![]);
    let source = Rc::clone(weights);
    let bias = graph.parameter(format!("blocks.{block}.attn.head_proj.bias"), &[heads * hidden], move || {
        (0..heads).flat_map(|head| head_proj_bias(&source, block, head)).collect()
    });
    graph.node(&scope, "Add", &[&bias, &product], vec![])
}

/// A node and a projection for each head: `1 × T × D` → `1 × T × nH`.
fn parallel_heads(weights: &Rc<Weights>, graph: &mut GraphBuilder, block: usize, x: &str) -> String {
    let Size { heads, hidden, .. } = weights.config.size;
    let scope = format!("blocks.{block}/attn");
    let parts = graph.split(&scope, x, -1, heads, weights.config.size.head_width());
    let mut projected = Vec::new();
    for (head, part) in parts.iter().enumerate() {
        let [forward, reverse] = Direction::BOTH.map(|direction| weights.stored(block, head, direction));
        let mixed = if forward == reverse {
            lstm_module(weights, graph, block, &format!("l.{head}"), part, &[head], &Direction::BOTH)
        } else {
            let both =
                Direction::BOTH.map(|direction| one_direction(weights, graph, block, head, direction, part));
            graph.concat(&scope, &[&both[0], &both[1]], -1)
        };
        let scope = format!("{scope}/hp.{head}");
        let source = Rc::clone(weights);
        let weight =
            graph.derived("MatMul", &[forward + reverse, hidden], move || source.head_proj(block, head).data);
        let product = graph.node(&scope, "MatMul", &[&mixed, &weight], vec![]);
        let source = Rc::clone(weights);
        let bias = graph.parameter(format!("blocks.{block}.attn.hp.{head}.bias"), &[hidden], move || {
            head_proj_bias(&source, block, head)
        });
        projected.push(graph.node(&scope, "Add", &[&bias, &product], vec![]));
    }
    graph.concat(&scope, &projected.iter().map(String::as_str).collect::<Vec<_>>(), -1)
}

/// A node for each head, all forward units before the reverse ones: `1 × T × D` → `1 × T × 2nH`.
fn parallel_units(weights: &Rc<Weights>, graph: &mut GraphBuilder, block: usize, x: &str) -> String {
    let scope = format!("blocks.{block}/attn");
    let parts = graph.split(&scope, x, -1, weights.config.size.heads, weights.config.size.head_width());
    let mut units: [Vec<String>; 2] = [vec![], vec![]];
    for (head, part) in parts.iter().enumerate() {
        let [forward, reverse] = Direction::BOTH.map(|direction| weights.stored(block, head, direction));
        if forward == reverse {
            let mixed =
                lstm_module(weights, graph, block, &format!("l.{head}"), part, &[head], &Direction::BOTH);
            for (direction, units) in units.iter_mut().enumerate() {
                let range = [direction * forward, (direction + 1) * forward];
                units.push(slice(graph, &scope, &mixed, range.map(index)));
            }
        } else {
            for (direction, units) in Direction::BOTH.into_iter().zip(&mut units) {
                units.push(one_direction(weights, graph, block, head, direction, part));
            }
        }
    }
    graph.concat(&scope, &units.iter().flatten().map(String::as_str).collect::<Vec<_>>(), -1)
}

/// The older form's dense projection: `1 × T × 2nH` → `1 × T × D`.
fn single_proj(weights: &Rc<Weights>, graph: &mut GraphBuilder, block: usize, x: &str) -> String {
    let Size { heads, width, .. } = weights.config.size;
    let scope = format!("blocks.{block}/attn/proj");
    let rows = (0..heads)
        .flat_map(|head| Direction::BOTH.map(|direction| weights.stored(block, head, direction)))
        .sum();
    let source = Rc::clone(weights);
    let weight = graph.derived("MatMul", &[rows, width], move || source.single_proj(block).data);
    let product = graph.node(&scope, "MatMul", &[x, &weight], vec![]);
    let source = Rc::clone(weights);
    let name = format!("blocks.{block}.attn.proj.bias");
    let bias = graph.parameter(name.clone(), &[width], move || source.vector(&name, width, 0.0, 0.05));
    graph.node(&scope, "Add", &[&bias, &product], vec![])
}

fn head_proj_bias(weights: &Weights, block: usize, head: usize) -> Vec<f32> {
    weights.vector(
        &format!("blocks.{block}.attn.head_proj.{head}.bias"),
        weights.config.size.hidden,
        0.0,
        0.05,
    )
}

/// Columns `range` of the last axis.
fn slice(graph: &mut GraphBuilder, scope: &str, x: &str, range: [i64; 2]) -> String {
    let [start, end] = range.map(|bound| graph.constant_i64(scope, &[1], &[bound]));
    let axis = graph.constant_i64(scope, &[1], &[2]);
    graph.node(scope, "Slice", &[x, &start, &end, &axis], vec![])
}

fn one_direction(
    weights: &Rc<Weights>,
    graph: &mut GraphBuilder,
    block: usize,
    head: usize,
    direction: Direction,
    x: &str,
) -> String {
    let module = format!("{}.{head}", direction.name());
    lstm_module(weights, graph, block, &module, x, &[head], &[direction])
}

/// An LSTM module of PyTorch's, batch first: `1 × T × Σd` → `1 × T × Σ hidden`, the units of the forward direction
/// first. All its heads and directions have as many units.
fn lstm_module(
    weights: &Rc<Weights>,
    graph: &mut GraphBuilder,
    block: usize,
    module: &str,
    x: &str,
    heads: &[usize],
    directions: &[Direction],
) -> String {
    let scope = &format!("blocks.{block}/attn/{module}");
    let each = weights.stored(block, heads[0], directions[0]);
    let hidden = each * heads.len();
    let head_width = weights.config.size.head_width();
    let (count, inputs) = (directions.len(), heads.len() * head_width);

    let zeros = graph.constant_f32(scope, &[count, 1, hidden], &vec![0.0; count * hidden]);
    let x = graph.transpose(scope, x, &[1, 0, 2]);
    let initial_h = initial_state(graph, scope, &x, &zeros, count, hidden);
    let initial_c = initial_state(graph, scope, &x, &zeros, count, hidden);

    let layout = Rc::new(Layout { weights: Rc::clone(weights), block, heads: heads.to_vec(), each });
    let for_each = |make: fn(&Layout, Direction) -> Vec<f32>| {
        let (layout, directions) = (Rc::clone(&layout), directions.to_vec());
        move || directions.iter().flat_map(|&direction| make(&layout, direction)).collect()
    };
    let bias = graph.derived("LSTM", &[count, 8 * hidden], for_each(Layout::bias));
    let w = graph.derived("LSTM", &[count, 4 * hidden, inputs], for_each(Layout::w));
    let r = graph.derived("LSTM", &[count, 4 * hidden, hidden], for_each(Layout::r));

    let direction = if count == 2 { "bidirectional" } else { directions[0].name() };
    let attributes = vec![string("direction", direction), int("hidden_size", index(hidden))];
    let lengths = graph.lengths.clone().unwrap_or_default();
    let inputs = [x.as_str(), &w, &r, &bias, &lengths, &initial_h, &initial_c];
    let y = &graph.node_with_outputs(scope, "LSTM", &inputs, attributes, 3)[0];
    let y = if count == 2 {
        let y = graph.transpose(scope, y, &[0, 2, 1, 3]);
        graph.reshape(scope, &y, &[0, 0, -1])
    } else {
        graph.squeeze(scope, y, 1)
    };
    graph.transpose(scope, &y, &[1, 0, 2])
}

/// The exporter's way to zero states for a batch of any size: `zeros` expanded to `count × batch × hidden`.
fn initial_state(
    graph: &mut GraphBuilder,
    scope: &str,
    x: &str,
    zeros: &str,
    count: usize,
    hidden: usize,
) -> String {
    let shape = graph.node(scope, "Shape", &[x], vec![]);
    let one = graph.constant_i64(scope, &[], &[1]);
    let batch = graph.node(scope, "Gather", &[&shape, &one], vec![int("axis", 0)]);
    let batch = if graph.opset >= 13 {
        let axes = graph.loose_i64(&[1], &[0], "Unsqueeze");
        graph.loose("Unsqueeze", &[&batch, &axes], vec![], "Concat")
    } else {
        graph.loose("Unsqueeze", &[&batch], vec![ints("axes", &[0])], "Concat")
    };
    let hidden = graph.constant_i64(scope, &[1], &[index(hidden)]);
    let count = graph.loose_i64(&[1], &[index(count)], "Concat");
    let shape = graph.concat(scope, &[&count, &batch, &hidden], 0);
    graph.node(scope, "Expand", &[zeros, &shape], vec![])
}

/// Where the heads' blocks stand in the tensors of one LSTM node.
struct Layout {
    weights: Rc<Weights>,
    block: usize,
    heads: Vec<usize>,
    /// Units of one head.
    each: usize,
}

impl Layout {
    fn w(&self, direction: Direction) -> Vec<f32> {
        let d = self.weights.config.size.head_width();
        self.block_diagonal(d, |head| self.weights.lstm_w(self.block, head, direction))
    }

    fn r(&self, direction: Direction) -> Vec<f32> {
        self.block_diagonal(self.each, |head| self.weights.lstm_r(self.block, head, direction))
    }

    fn bias(&self, direction: Direction) -> Vec<f32> {
        let biases: Vec<_> =
            self.heads.iter().map(|&head| self.weights.lstm_bias(self.block, head, direction)).collect();
        let gate = |which: usize, gate: usize| {
            biases.iter().flat_map(move |bias| &bias[which][gate * self.each..(gate + 1) * self.each])
        };
        (0..2).flat_map(|which| (0..4).flat_map(move |g| gate(which, g))).copied().collect()
    }

    /// Within each gate, head `i`'s rows in columns `i·cols..`.
    fn block_diagonal(&self, cols: usize, part: impl Fn(usize) -> Matrix) -> Vec<f32> {
        let hidden = self.each * self.heads.len();
        let mut all = Matrix::zeros(4 * hidden, cols * self.heads.len());
        for (i, &head) in self.heads.iter().enumerate() {
            let part = part(head);
            for (gate, rows) in part.data.chunks_exact(self.each * cols).enumerate() {
                let rows = Matrix { rows: self.each, cols, data: rows.to_vec() };
                all.place(gate * hidden + i * self.each, i * cols, &rows);
            }
        }
        all.data
    }
}
