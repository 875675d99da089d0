//! `LSTM`, all of it: directions, layout, initial states, peepholes, clipping, sequence lengths, coupled gates.
//!
//! For each direction and step, in ONNX's symbols (`⊙` element by element, `P` the peepholes, zero unless given):
//!
//! ```text
//! i  = f(X·Wiᵀ + H·Riᵀ + Pi ⊙ C  + Wbi + Rbi)
//! f  = f(X·Wfᵀ + H·Rfᵀ + Pf ⊙ C  + Wbf + Rbf)      or 1 − i with input_forget
//! c~ = g(X·Wcᵀ + H·Rcᵀ           + Wbc + Rbc)
//! C' = f ⊙ C + i ⊙ c~
//! o  = f(X·Woᵀ + H·Roᵀ + Po ⊙ C' + Wbo + Rbo)
//! H' = o ⊙ h(C')
//! ```
//!
//! `clip` bounds what enters f, g and h. Gates stand in the order i, o, f, c in W, R and B; i, o, f in P.

use ndarray::{Array2, Array4, ArrayD, ArrayView1, ArrayView2, ArrayView3, Axis, Ix1, Ix2, Ix3, Slice};

use super::check_work;
use super::elementwise::{relu, sigmoid};
use crate::error::Result;
use crate::reference::node::Node;
use crate::reference::tensor::{Tensor, checked_len};

/// Sizes of one node.
#[derive(Clone, Copy)]
struct Sizes {
    steps: usize,
    batch: usize,
    inputs: usize,
    hidden: usize,
    directions: usize,
}

/// Activations of one direction: f, g, h.
type Activations = [fn(f64) -> f64; 3];

/// Parameters of one direction.
struct Direction<'a> {
    w: ArrayView2<'a, f64>,
    r: ArrayView2<'a, f64>,
    /// The two biases added: `4H`.
    bias: Vec<f64>,
    /// `3H`.
    peepholes: Vec<f64>,
    activations: Activations,
    clip: f64,
    couple: bool,
    reverse: bool,
}

/// `Y` (steps × directions × batch × hidden), `Y_h` and `Y_c` (directions × batch × hidden); with `layout` 1 the
/// batch stands first in each, and in the inputs.
pub(super) fn lstm(node: &Node<'_>) -> Result<Vec<Tensor>> {
    let batch_first = node.flag("layout", false)?;
    let mut x = input3(node, 0)?;
    if batch_first {
        x.swap_axes(0, 1);
    }
    let (w, r) = (input3(node, 1)?, input3(node, 2)?);
    let name = node.string("direction", "forward")?;
    let reversed: &[bool] = match name {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return Err(node.bad_attribute("direction", &format!("is `{other}`"))),
    };
    let (steps, batch, inputs) = x.dim();
    let sizes = Sizes { steps, batch, inputs, hidden: r.dim().2, directions: reversed.len() };
    check_sizes(node, sizes, w.shape(), r.shape())?;

    let lengths = lengths(node, sizes)?;
    let states = |index| initial_state(node, index, sizes, batch_first);
    let (mut h, mut c) = (states(5)?, states(6)?);
    let activations = activations(node, sizes.directions)?;
    let clip = node.float("clip")?.unwrap_or(f64::INFINITY);
    if clip.is_nan() || clip < 0.0 {
        return Err(node.bad_attribute("clip", "is negative"));
    }
    let couple = node.flag("input_forget", false)?;
    let bias = vectors(node, 3, sizes.directions, 8 * sizes.hidden)?;
    let peepholes = vectors(node, 7, sizes.directions, 3 * sizes.hidden)?;

    let mut y = Array4::zeros([steps, sizes.directions, batch, sizes.hidden]);
    for (d, &reverse) in reversed.iter().enumerate() {
        let (wb, rb) = bias[d].split_at(4 * sizes.hidden);
        let direction = Direction {
            w: w.index_axis(Axis(0), d),
            r: r.index_axis(Axis(0), d),
            bias: wb.iter().zip(rb).map(|(w, r)| w + r).collect(),
            peepholes: peepholes[d].clone(),
            activations: activations[d],
            clip,
            couple,
            reverse,
        };
        for (b, &length) in lengths.iter().enumerate() {
            let known = Slice::from(..length);
            let sequence = x.index_axis(Axis(1), b);
            let mut h = h.index_axis_mut(Axis(0), d).index_axis_move(Axis(0), b);
            let mut c = c.index_axis_mut(Axis(0), d).index_axis_move(Axis(0), b);
            let mut state = (h.to_vec(), c.to_vec());
            let rows = direction.run(sequence.slice_axis(Axis(0), known), &mut state);
            let mut y = y.index_axis_mut(Axis(1), d).index_axis_move(Axis(1), b);
            y.slice_axis_mut(Axis(0), known).assign(&rows);
            h.assign(&ArrayView1::from(&state.0));
            c.assign(&ArrayView1::from(&state.1));
        }
    }
    let (mut y, mut h, mut c) = (y.into_dyn(), h.into_dyn(), c.into_dyn());
    if batch_first {
        y = y.permuted_axes(vec![2, 0, 1, 3]);
        h.swap_axes(0, 1);
        c.swap_axes(0, 1);
    }
    let outputs =
        [y, h, c].map(|x: ArrayD<f64>| Tensor::Real(x.as_standard_layout().into_owned().into_shared()));
    Ok(outputs.into())
}

impl Direction<'_> {
    /// `T × inputs` → `T × H`, time running as the direction says; row `t` of the result belongs to row `t` of the
    /// input either way. Leaves the last state behind.
    fn run(&self, x: ArrayView2<'_, f64>, (h, c): &mut (Vec<f64>, Vec<f64>)) -> Array2<f64> {
        let hidden = h.len();
        let from_input = x.dot(&self.w.t());
        let mut y = Array2::zeros([x.nrows(), hidden]);
        let mut times: Vec<usize> = (0..x.nrows()).collect();
        if self.reverse {
            times.reverse();
        }
        for t in times {
            let from_state = self.r.dot(&ArrayView1::from(&h[..]));
            let sum = |gate: usize, unit: usize| {
                let row = gate * hidden + unit;
                from_input[[t, row]] + from_state[row] + self.bias[row]
            };
            for unit in 0..hidden {
                let peephole = |which: usize, c: f64| self.peepholes[which * hidden + unit] * c;
                let i = self.activate(0, sum(0, unit) + peephole(0, c[unit]));
                let f =
                    if self.couple { 1.0 - i } else { self.activate(0, sum(2, unit) + peephole(2, c[unit])) };
                let candidate = self.activate(1, sum(3, unit));
                c[unit] = f * c[unit] + i * candidate;
                let o = self.activate(0, sum(1, unit) + peephole(1, c[unit]));
                h[unit] = o * self.activate(2, c[unit]);
            }
            y.row_mut(t).assign(&ArrayView1::from(&h[..]));
        }
        y
    }

    fn activate(&self, which: usize, x: f64) -> f64 {
        self.activations[which](x.clamp(-self.clip, self.clip))
    }
}

fn check_sizes(node: &Node<'_>, sizes: Sizes, w: &[usize], r: &[usize]) -> Result<()> {
    let Sizes { steps, batch, inputs, hidden, directions } = sizes;
    let fits = |what: &str, expected: [usize; 3], got: &[usize]| {
        if got == expected { Ok(()) } else { Err(node.shape_error(what, format!("{expected:?}"), got)) }
    };
    let gates = checked_len(&[4, hidden])?;
    fits("W does not fit", [directions, gates, inputs], w)?;
    fits("R does not fit", [directions, gates, hidden], r)?;
    let declared = node.int("hidden_size", i64::try_from(hidden).unwrap_or(i64::MAX))?;
    if usize::try_from(declared) != Ok(hidden) {
        return Err(node.shape_error("hidden_size is not that of R", hidden.to_string(), &declared));
    }
    checked_len(&[steps, directions, batch, gates])?;
    check_work(&[steps, batch, directions, gates, inputs.max(hidden)])
}

fn input3<'a>(node: &Node<'a>, index: usize) -> Result<ArrayView3<'a, f64>> {
    let x = node.input(index)?.as_real()?;
    let shape = x.shape().to_vec();
    x.into_dimensionality::<Ix3>()
        .map_err(|_| node.shape_error(format!("input {index} has another rank"), "3 dimensions", &shape))
}

/// Steps of each sequence of the batch; all of them unless the node says so.
fn lengths(node: &Node<'_>, sizes: Sizes) -> Result<Vec<usize>> {
    let Some(tensor) = node.optional(4) else { return Ok(vec![sizes.steps; sizes.batch]) };
    let view = tensor.as_int()?;
    let wrong = || {
        let expected = format!("{} numbers up to {}", sizes.batch, sizes.steps);
        node.shape_error("sequence_lens do not fit", expected, &view)
    };
    let lengths = view.clone().into_dimensionality::<Ix1>().map_err(|_| wrong())?;
    if lengths.len() != sizes.batch {
        return Err(wrong());
    }
    let fitting = |&n: &i64| usize::try_from(n).ok().filter(|&n| n <= sizes.steps);
    lengths.iter().map(fitting).collect::<Option<Vec<_>>>().ok_or_else(wrong)
}

/// Directions × batch × hidden; zero unless given.
fn initial_state(
    node: &Node<'_>,
    index: usize,
    Sizes { batch, hidden, directions, .. }: Sizes,
    batch_first: bool,
) -> Result<ndarray::Array3<f64>> {
    let shape = [directions, batch, hidden];
    if node.optional(index).is_none() {
        return Ok(ndarray::Array3::zeros(shape));
    }
    let mut state = input3(node, index)?;
    if batch_first {
        state.swap_axes(0, 1);
    }
    if state.shape() != shape {
        return Err(node.shape_error(
            format!("state {index} does not fit"),
            format!("{shape:?}"),
            state.shape(),
        ));
    }
    Ok(state.to_owned())
}

/// A vector for each direction; zero unless given.
fn vectors(node: &Node<'_>, index: usize, directions: usize, len: usize) -> Result<Vec<Vec<f64>>> {
    let Some(tensor) = node.optional(index) else { return Ok(vec![vec![0.0; len]; directions]) };
    let wrong = || {
        node.shape_error(
            format!("input {index} does not fit"),
            format!("[{directions}, {len}]"),
            tensor.shape(),
        )
    };
    let view = tensor.as_real()?.into_dimensionality::<Ix2>().map_err(|_| wrong())?;
    if view.dim() != (directions, len) {
        return Err(wrong());
    }
    Ok(view.outer_iter().map(|row| row.to_vec()).collect())
}

/// f, g and h of each direction: sigmoid, tanh, tanh unless given.
fn activations(node: &Node<'_>, directions: usize) -> Result<Vec<Activations>> {
    for name in ["activation_alpha", "activation_beta"] {
        if node.float_list(name)?.is_some_and(|values| !values.is_empty()) {
            return Err(node.bad_attribute(name, "belongs to an activation that is not supported"));
        }
    }
    let Some(names) = node.string_list("activations")? else {
        return Ok(vec![[sigmoid, f64::tanh, f64::tanh]; directions]);
    };
    if names.len() != 3 * directions {
        let why = format!("must have {} entries, not {}", 3 * directions, names.len());
        return Err(node.bad_attribute("activations", &why));
    }
    let function = |name: &&str| -> Result<fn(f64) -> f64> {
        // ONNX's names are not case sensitive.
        match name.to_ascii_lowercase().as_str() {
            "sigmoid" => Ok(sigmoid),
            "tanh" => Ok(f64::tanh),
            "relu" => Ok(relu),
            _ => Err(node.bad_attribute("activations", &format!("names `{name}`, which is not supported"))),
        }
    };
    names.chunks_exact(3).map(|f| Ok([function(&f[0])?, function(&f[1])?, function(&f[2])?])).collect()
}
