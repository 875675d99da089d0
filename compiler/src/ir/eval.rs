//! Evaluates a graph in plain f64: what a graph means, for the tests of the importer and of the passes.
//! May import: the rest of `ir`, `error`.
//!
//! The graph must pass the verifier; a graph that does not may panic here.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::{Activation, Direction, Graph, Linear, LstmUnit, MultiHeadLstm, Node, Op, Shape, WeightId};
use crate::error::{Error, ErrorKind, Result};

/// A row-major matrix; an image has `channels·height` rows of `width`.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// `rows * cols` elements.
    pub data: Vec<f64>,
}

impl Matrix {
    /// The matrix whose element at row `r`, column `c` is `f(r, c)`.
    pub fn from_fn(rows: usize, cols: usize, mut f: impl FnMut(usize, usize) -> f64) -> Self {
        let data = (0..rows * cols).map(|i| f(i / cols, i % cols)).collect();
        Self { rows, cols, data }
    }

    /// The element at row `r`, column `c`.
    pub fn at(&self, r: usize, c: usize) -> f64 {
        self.data[r * self.cols + c]
    }

    /// One row.
    pub fn row(&self, r: usize) -> &[f64] {
        &self.data[r * self.cols..][..self.cols]
    }
}

/// The outputs of the graph, in order. `inputs` has the elements of each input, in order; ids are numbers here too. The
/// first input whose rows vary decides how many tokens there are. An attention mask is not looked at: all of them count.
pub fn outputs(graph: &Graph, inputs: &[&[f32]]) -> Result<Vec<Vec<f64>>> {
    let values = values(graph, inputs)?;
    let output = |port: &super::Port| {
        let value = values[port.value.0 as usize].as_ref();
        value.map(|m| m.data.clone()).ok_or_else(|| {
            Error::new(ErrorKind::InvalidIr, format!("nothing produces output `{}`", port.name))
        })
    };
    graph.outputs.iter().map(output).collect()
}

/// Every value of the graph by its index; `None` for those that no node and no input produces.
pub fn values(graph: &Graph, inputs: &[&[f32]]) -> Result<Vec<Option<Matrix>>> {
    if inputs.len() != graph.inputs.len() {
        return Err(Error::new(ErrorKind::BadInput, "wrong number of inputs")
            .expected(graph.inputs.len().to_string())
            .got(inputs.len().to_string()));
    }
    let mut values: Vec<Option<Matrix>> = vec![None; graph.values.len()];
    let tokens = tokens(graph, inputs);
    for (port, data) in graph.inputs.iter().zip(inputs) {
        let [most, cols] = graph.dims(port.value);
        let rows = if graph.value(port.value).shape.varies() { tokens } else { most };
        if data.len() != rows * cols || rows > most || rows == 0 {
            return Err(Error::new(ErrorKind::BadInput, format!("wrong size of input `{}`", port.name))
                .expected(format!("{} elements", rows.min(most) * cols))
                .got(format!("{}", data.len())));
        }
        values[port.value.0 as usize] = Some(Matrix::from_fn(rows, cols, |r, c| data[r * cols + c].into()));
    }
    for node in &graph.nodes {
        let inputs: Vec<&Matrix> = node
            .inputs
            .iter()
            .map(|id| {
                values[id.0 as usize].as_ref().ok_or_else(|| {
                    Error::new(ErrorKind::InvalidIr, format!("`%{}` is read before it exists", id.0))
                        .at_node(&node.name)
                })
            })
            .collect::<Result<_>>()?;
        let output = match node.op {
            Op::Positions(id) => {
                let w = graph.weight(id);
                Matrix::from_fn(tokens, w.dims[1], |r, c| w.data[r * w.dims[1] + c].into())
            }
            _ => self::node(graph, node, &inputs),
        };
        values[node.output.0 as usize] = Some(output);
    }
    Ok(values)
}

/// Tokens of a call: rows of the first input whose rows vary.
fn tokens(graph: &Graph, inputs: &[&[f32]]) -> usize {
    let varying = graph.inputs.iter().zip(inputs).find(|(port, _)| graph.value(port.value).shape.varies());
    varying.map_or(0, |(port, data)| data.len() / graph.dims(port.value)[1])
}

/// What one node makes of its inputs; a constant whose rows vary has all of them.
pub fn node(graph: &Graph, node: &Node, inputs: &[&Matrix]) -> Matrix {
    let weight = |id: WeightId| Weight { data: &graph.weight(id).data, cols: graph.weight(id).dims[1] };
    match &node.op {
        Op::PatchEmbed { patch, weight: w, bias } => {
            let Shape::Image { channels, height, width } = graph.value(node.inputs[0]).shape else {
                panic!("the input of a patch embedding is an image");
            };
            let [ph, pw] = *patch;
            let across = width / pw;
            let pixel = |p: usize, k: usize| {
                let (c, y, x) = (k / (ph * pw), k / pw % ph, k % pw);
                inputs[0].at(c * height + p / across * ph + y, p % across * pw + x)
            };
            let (w, bias) = (weight(*w), bias.map(weight));
            Matrix::from_fn(height / ph * across, w.cols, |p, n| {
                (0..channels * ph * pw).map(|k| pixel(p, k) * w.at(k, n)).sum::<f64>() + vector(&bias, n, 0.0)
            })
        }
        Op::Embedding { table } => {
            let w = weight(*table);
            Matrix::from_fn(inputs[0].rows, w.cols, |r, c| w.at(inputs[0].at(r, 0) as usize, c))
        }
        Op::Constant(id) | Op::Positions(id) => {
            let w = weight(*id);
            Matrix::from_fn(graph.weight(*id).dims[0], w.cols, |r, c| w.at(r, c))
        }
        Op::ConcatRows => Matrix {
            rows: inputs.iter().map(|m| m.rows).sum(),
            cols: inputs[0].cols,
            data: inputs.iter().flat_map(|m| m.data.iter().copied()).collect(),
        },
        Op::ConcatCols => {
            let rows = inputs[0].rows;
            let row = |r: usize| inputs.iter().flat_map(move |m| m.row(r).iter().copied());
            Matrix {
                rows,
                cols: inputs.iter().map(|m| m.cols).sum(),
                data: (0..rows).flat_map(row).collect(),
            }
        }
        Op::SliceRows { start, len } => {
            Matrix::from_fn(*len, inputs[0].cols, |r, c| inputs[0].at(start + r, c))
        }
        Op::SliceCols { start, len } => {
            Matrix::from_fn(inputs[0].rows, *len, |r, c| inputs[0].at(r, start + c))
        }
        Op::ReverseRows => {
            let rows = inputs[0].rows;
            Matrix::from_fn(rows, inputs[0].cols, |r, c| inputs[0].at(rows - 1 - r, c))
        }
        Op::Linear(linear) => eval_linear(graph, linear, inputs),
        Op::MultiHeadLstm(lstm) => eval_lstm(graph, lstm, inputs[0]),
        Op::Attention { heads, scale } => attention(*heads, (*scale).into(), inputs[0], inputs[1], inputs[2]),
        Op::LayerNorm { eps, scale, shift } => {
            let (scale, shift) = (scale.map(weight), shift.map(weight));
            let x = inputs[0];
            let stats: Vec<(f64, f64)> = (0..x.rows).map(|r| moments(x.row(r))).collect();
            Matrix::from_fn(x.rows, x.cols, |r, c| {
                let (mean, var) = stats[r];
                let y = (x.at(r, c) - mean) / (var + f64::from(*eps)).sqrt();
                y * vector(&scale, c, 1.0) + vector(&shift, c, 0.0)
            })
        }
        Op::Normalize { eps } => {
            let x = inputs[0];
            let norm = |r: usize| x.row(r).iter().map(|x| x * x).sum::<f64>().sqrt().max((*eps).into());
            let norms: Vec<f64> = (0..x.rows).map(norm).collect();
            Matrix::from_fn(x.rows, x.cols, |r, c| x.at(r, c) / norms[r])
        }
        Op::Activation(act) => map(inputs[0], |_, x| activation(*act, x)),
        Op::Add => {
            Matrix::from_fn(inputs[0].rows, inputs[0].cols, |r, c| inputs[0].at(r, c) + inputs[1].at(r, c))
        }
        Op::Affine { scale, shift } => {
            let (scale, shift) = (scale.map(weight), shift.map(weight));
            map(inputs[0], |c, x| x * vector(&scale, c, 1.0) + vector(&shift, c, 0.0))
        }
        Op::MeanRows => {
            let x = inputs[0];
            Matrix::from_fn(1, x.cols, |_, c| (0..x.rows).map(|r| x.at(r, c)).sum::<f64>() / x.rows as f64)
        }
    }
}

struct Weight<'a> {
    data: &'a [f32],
    cols: usize,
}

impl Weight<'_> {
    fn at(&self, r: usize, c: usize) -> f64 {
        self.data[r * self.cols + c].into()
    }
}

fn vector(weight: &Option<Weight<'_>>, c: usize, otherwise: f64) -> f64 {
    weight.as_ref().map_or(otherwise, |w| w.at(0, c))
}

fn map(x: &Matrix, f: impl Fn(usize, f64) -> f64) -> Matrix {
    Matrix::from_fn(x.rows, x.cols, |r, c| f(c, x.at(r, c)))
}

fn moments(row: &[f64]) -> (f64, f64) {
    let n = row.len() as f64;
    let mean = row.iter().sum::<f64>() / n;
    (mean, row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n)
}

fn eval_linear(graph: &Graph, linear: &Linear, inputs: &[&Matrix]) -> Matrix {
    let x = inputs[0];
    let mut out = Matrix::from_fn(x.rows, linear.cols, |_, _| 0.0);
    for group in &linear.groups {
        let n = group.output.len();
        let w = &graph.weight(group.weight).data;
        for r in 0..x.rows {
            let y = &mut out.data[r * linear.cols + group.output.start..][..n];
            if let Some(bias) = group.bias {
                y.iter_mut().zip(graph.weight(bias).data.iter()).for_each(|(y, b)| *y = (*b).into());
            }
            for (k, x) in x.row(r)[group.input.clone()].iter().enumerate() {
                y.iter_mut().zip(&w[k * n..][..n]).for_each(|(y, w)| *y += x * f64::from(*w));
            }
        }
    }
    Matrix::from_fn(x.rows, linear.cols, |r, c| {
        activation(linear.act, out.at(r, c)) + if linear.residual { inputs[1].at(r, c) } else { 0.0 }
    })
}

fn eval_lstm(graph: &Graph, lstm: &MultiHeadLstm, x: &Matrix) -> Matrix {
    let mut out = Matrix::from_fn(x.rows, lstm.units.iter().map(|u| u.hidden).sum(), |_, _| 0.0);
    for unit in &lstm.units {
        eval_unit(graph, unit, x, &mut out);
    }
    out
}

fn eval_unit(graph: &Graph, unit: &LstmUnit, x: &Matrix, out: &mut Matrix) {
    let hidden = unit.hidden;
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (w, r) = (&graph.weight(unit.w).data, &graph.weight(unit.r).data);
    let bias = graph.weight(unit.bias);
    let (mut h, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
    for step in 0..x.rows {
        let t = match unit.direction {
            Direction::Forward => step,
            Direction::Reverse => x.rows - 1 - step,
        };
        let x = &x.row(t)[unit.input.clone()];
        let bias = &bias.data[t.min(bias.dims[0] - 1) * 4 * hidden..];
        let gate = |row: usize| {
            dot(&w[row * x.len()..][..x.len()], x)
                + dot(&r[row * hidden..][..hidden], &h)
                + f64::from(bias[row])
        };
        let gates: Vec<f64> = (0..4 * hidden).map(gate).collect();
        for j in 0..hidden {
            let [i, o, f, g] = [gates[j], gates[hidden + j], gates[2 * hidden + j], gates[3 * hidden + j]];
            c[j] = sigmoid(f) * c[j] + sigmoid(i) * g.tanh();
            h[j] = sigmoid(o) * c[j].tanh();
        }
        out.data[t * out.cols + unit.output..][..hidden].copy_from_slice(&h);
    }
}

fn dot(a: &[f32], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * b).sum()
}

fn attention(heads: usize, scale: f64, q: &Matrix, k: &Matrix, v: &Matrix) -> Matrix {
    let d = q.cols / heads;
    let mut out = Matrix::from_fn(q.rows, q.cols, |_, _| 0.0);
    for head in 0..heads {
        let slice = |m: &Matrix, r: usize| m.row(r)[head * d..][..d].to_vec();
        for r in 0..q.rows {
            let query = slice(q, r);
            let product = |key: Vec<f64>| query.iter().zip(key).map(|(a, b)| a * b).sum::<f64>();
            let scores: Vec<f64> = (0..k.rows).map(|t| scale * product(slice(k, t))).collect();
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|s| (s - max).exp()).sum();
            let y = &mut out.data[r * q.cols + head * d..][..d];
            for (t, score) in scores.iter().enumerate() {
                y.iter_mut().zip(slice(v, t)).for_each(|(y, v)| *y += (score - max).exp() / total * v);
            }
        }
    }
    out
}

/// An activation function in f64.
pub fn activation(act: Activation, x: f64) -> f64 {
    match act {
        Activation::None => x,
        Activation::Gelu | Activation::GeluShort => 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2)),
        Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
        Activation::Tanh => x.tanh(),
        Activation::Relu => x.max(0.0),
    }
}

/// The error function, by its series of positive terms `erf(x) = 2/√π·e^(-x²)·Σ 2ⁿ·x^(2n+1)/(2n+1)!!`
/// (Abramowitz and Stegun 7.1.6).
fn erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-18 * sum.abs() {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Port;

    #[test]
    fn erf_has_its_known_values() {
        for (x, y) in
            [(0.0, 0.0), (0.5, 0.5204998778130465), (1.0, 0.8427007929497149), (-3.0, -0.9999779095030014)]
        {
            assert!((erf(x) - y).abs() < 1e-15, "erf({x}) = {}", erf(x));
        }
        assert!(erf(f64::NAN).is_nan());
    }

    #[test]
    fn reverse_unit_starts_at_the_last_row_and_writes_in_place() {
        let mut graph = Graph::default();
        let x = graph.add_value("x", Shape::Matrix { rows: 3, cols: 1 });
        let y = graph.add_value("y", Shape::Matrix { rows: 3, cols: 2 });
        let w = graph.add_weight(4, 1, vec![0.5, -0.25, 0.75, 1.0]);
        let r = graph.add_weight(4, 1, vec![0.1, 0.2, 0.3, 0.4]);
        let bias = graph.add_weight(1, 4, vec![0.0; 4]);
        let unit =
            |output, direction| LstmUnit { head: 0, direction, input: 0..1, output, hidden: 1, w, r, bias };
        let units = vec![unit(0, Direction::Forward), unit(1, Direction::Reverse)];
        graph.nodes.push(Node {
            name: "lstm".into(),
            op: Op::MultiHeadLstm(MultiHeadLstm { units }),
            inputs: vec![x],
            output: y,
        });
        graph.inputs.push(Port::new("x", x, &[3, 1]));
        graph.outputs.push(Port::new("y", y, &[3, 2]));
        let there = outputs(&graph, &[&[1.0, -2.0, 3.0]]).unwrap().remove(0);
        let back = outputs(&graph, &[&[3.0, -2.0, 1.0]]).unwrap().remove(0);
        for t in 0..3 {
            assert_eq!(there[2 * t], back[2 * (2 - t) + 1]);
        }
        assert_ne!(there[0], there[1]);
    }

    #[test]
    fn wrong_inputs_are_errors() {
        let mut graph = Graph::default();
        let x = graph.add_value("x", Shape::Matrix { rows: 2, cols: 2 });
        graph.inputs.push(Port::new("x", x, &[2, 2]));
        assert_eq!(outputs(&graph, &[]).unwrap_err().kind, ErrorKind::BadInput);
        assert_eq!(outputs(&graph, &[&[0.0; 3]]).unwrap_err().kind, ErrorKind::BadInput);
    }
}
