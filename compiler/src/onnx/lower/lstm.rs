//! The LSTM operator.

use super::super::node::{Attributes, unsupported};
use super::super::recognise::{Partial, Tensor};
use super::super::tensor::Const;
use super::super::view::View;
use super::matrix::Selection;
use super::{Call, Importer};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Direction, LstmUnit, MultiHeadLstm, Op, Origin};

const ATTRIBUTES: [&str; 8] = [
    "activation_alpha",
    "activation_beta",
    "activations",
    "clip",
    "direction",
    "hidden_size",
    "input_forget",
    "layout",
];

impl Importer {
    /// The LSTM operator: `Y`, and `Y_h` if it is read.
    pub(super) fn lstm(&mut self, call: &Call<'_>) -> Result<Vec<Tensor>> {
        let attributes = call.node.attributes(&ATTRIBUTES)?;
        call.at_most(8)?;
        let directions = directions(&attributes)?;
        refuse_variants(&attributes, directions.len())?;
        let batch_first = match attributes.int_or("layout", 0)? {
            0 => false,
            1 => true,
            other => {
                return Err(unsupported("layout", "0` or `1", other, "check the model with `onnx.checker`"));
            }
        };
        let x = self.tokens(call.input(0)?)?;
        let x = sequence(&x, batch_first)?;
        let weights = weights(call, &attributes, directions.len(), x.cols.len())?;
        refuse_inputs(call, x.rows)?;
        let hidden = weights.hidden;
        let (input, columns) = self.gathered(&x)?;
        let width = self.graph.dims(input)[1];
        let mut origin = Origin { columns: None, flipped: x.reversed };
        let (range, w) = match Selection::of(columns) {
            Selection::Range(range) => (range, weights.w),
            Selection::Scattered(columns) => {
                self.spend((directions.len() * 4 * hidden).saturating_mul(width))?;
                let w = scatter(&weights.w, &columns, width);
                origin.columns = Some(columns);
                (0..width, w)
            }
        };
        let (w_len, r_len) = (4 * hidden * range.len(), 4 * hidden * hidden);
        let mut units = Vec::new();
        for (index, direction) in directions.iter().enumerate() {
            units.push(LstmUnit {
                head: 0,
                // Over rows that stand the other way round, time runs the other way round.
                direction: if x.reversed { opposite(*direction) } else { *direction },
                input: range.clone(),
                output: index * hidden,
                hidden,
                w: self.weight(4 * hidden, range.len(), w[index * w_len..][..w_len].to_vec())?,
                r: self.weight(4 * hidden, hidden, weights.r[index * r_len..][..r_len].to_vec())?,
                bias: self.vector(weights.bias[index * 4 * hidden..][..4 * hidden].to_vec())?,
            });
        }
        let cols = directions.len() * hidden;
        let output = self.emit(Op::MultiHeadLstm(MultiHeadLstm { units }), vec![input], x.rows, cols)?;
        self.origins.insert(output, origin);
        let (dims, tokens) = match batch_first {
            false => (vec![x.rows, directions.len(), x.elements(), hidden], 0..1),
            true => (vec![x.elements(), x.rows, directions.len(), hidden], 1..2),
        };
        let batch = x.batch.map(|_| if batch_first { 0 } else { 2 });
        let y = View::whole(output, x.rows, cols, dims, tokens).with_batch(batch);
        let y = View { reversed: x.reversed, ..y };
        let last = call.node.outputs().nth(1).flatten().filter(|name| self.uses.contains_key(*name));
        let last = match last {
            Some(_) => Some(Tensor::Tokens(self.last_states(&y, &directions, hidden, batch_first)?)),
            None => None,
        };
        Ok(std::iter::once(Tensor::Tokens(y)).chain(last).collect())
    }

    /// `Y_h`: each direction's hidden state after the step that it takes last.
    fn last_states(
        &mut self,
        y: &View,
        directions: &[Direction],
        hidden: usize,
        batch_first: bool,
    ) -> Result<View> {
        let mut cols = Vec::with_capacity(y.cols.len());
        for (direction, columns) in directions.iter().zip(y.cols.chunks(hidden)) {
            // In reverse, the last step is the first token's; where rows stand the other way round, that is the last row.
            let start = if (*direction == Direction::Forward) != y.reversed { y.rows - 1 } else { 0 };
            let y = View { cols: columns.into(), ..y.clone() };
            let row = self.map_values(&y, 1, &Op::SliceRows { start, len: 1 })?;
            cols.extend_from_slice(&row.cols);
        }
        let (dims, batch) = match batch_first {
            false => (vec![directions.len(), y.elements(), hidden], 1),
            true => (vec![y.elements(), directions.len(), hidden], 0),
        };
        let batch = y.batch.map(|_| batch);
        Ok(View {
            dims,
            batch,
            tokens: 0..0,
            rows: 1,
            cols: cols.into(),
            reversed: false,
            fresh: false,
            ..y.clone()
        })
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Forward => Direction::Reverse,
        Direction::Reverse => Direction::Forward,
    }
}

fn directions(attributes: &Attributes<'_>) -> Result<Vec<Direction>> {
    match attributes.string("direction")?.map(str::to_ascii_lowercase).as_deref() {
        None | Some("forward") => Ok(vec![Direction::Forward]),
        Some("reverse") => Ok(vec![Direction::Reverse]),
        Some("bidirectional") => Ok(vec![Direction::Forward, Direction::Reverse]),
        Some(other) => Err(unsupported(
            "direction",
            "forward`, `reverse` or `bidirectional",
            other,
            "check the model with `onnx.checker`",
        )),
    }
}

/// Refuses everything that would make another formula of it.
fn refuse_variants(attributes: &Attributes<'_>, directions: usize) -> Result<()> {
    const HINT: &str = "use the standard LSTM, as PyTorch's `nn.LSTM` is exported";
    const STANDARD: [&str; 3] = ["sigmoid", "tanh", "tanh"];
    if let Some(got) = attributes.strings("activations")? {
        let standard = STANDARD.iter().cycle().take(3 * directions).map(|name| (*name).to_owned());
        if !got.iter().map(|name| name.to_ascii_lowercase()).eq(standard) {
            return Err(unsupported(
                "activations",
                "[Sigmoid, Tanh, Tanh]` for each direction`",
                format!("{got:?}"),
                HINT,
            ));
        }
    }
    for name in ["activation_alpha", "activation_beta"] {
        if let Some(got) = attributes.floats(name)?.filter(|list| !list.is_empty()) {
            return Err(unsupported(name, "[]", format!("{got:?}"), HINT));
        }
    }
    if let Some(clip) = attributes.float("clip")? {
        return Err(unsupported("clip", "no clipping", clip, HINT));
    }
    attributes.only_int("input_forget", 0, HINT)
}

/// The input as `[T, batch, D]` (or `[batch, T, D]`) with its tokens along the axis of time.
fn sequence(x: &View, batch_first: bool) -> Result<View> {
    let (time, batch) = if batch_first { (1, 0) } else { (0, 1) };
    let shape = if batch_first { "[batch, T, D]" } else { "[T, batch, D]" };
    let elements = |axis: usize| match x.batch {
        None => x.dims[axis] == 1,
        Some(batch) => batch == axis && x.merged == 1,
    };
    if x.dims.len() != 3 || !elements(batch) {
        return Err(Error::new(ErrorKind::ShapeMismatch, "unsupported shape of the input of an LSTM")
            .at_field("X")
            .expected(shape)
            .got(format!("{:?}", x.dims))
            .hint("check `batch_first` of the LSTM and the transpositions around it"));
    }
    x.with_tokens_along(time).ok_or_else(|| {
        Error::new(ErrorKind::UnsupportedOp, "an LSTM that does not run over the tokens")
            .at_field("X")
            .expected(format!("{shape} where T is the tokens"))
            .got(format!("{:?} whose tokens are along axis {}", x.dims, x.tokens.start))
            .hint("check `batch_first` of the LSTM and the transpositions around it")
    })
}

/// The weights of all directions.
struct Weights {
    hidden: usize,
    /// `[directions, 4·hidden, D]`, gates in the order i, o, f, c.
    w: Vec<f32>,
    /// `[directions, 4·hidden, hidden]`.
    r: Vec<f32>,
    /// `[directions, 4·hidden]`: both biases added.
    bias: Vec<f32>,
}

fn weights(call: &Call<'_>, attributes: &Attributes<'_>, directions: usize, width: usize) -> Result<Weights> {
    let (w, r) = (call.required_constant(1, "W")?, call.required_constant(2, "R")?);
    let hidden = match (attributes.int("hidden_size")?, r.dims()) {
        (Some(size), _) => usize::try_from(size).unwrap_or(0),
        (None, dims) => dims.last().copied().unwrap_or(0),
    };
    if hidden == 0 || hidden > super::super::view::MAX_SIZE {
        return Err(unsupported(
            "hidden_size",
            "a size above 0",
            hidden,
            "check the model with `onnx.checker`",
        ));
    }
    check(w, "W", &[directions, 4 * hidden, width])?;
    check(r, "R", &[directions, 4 * hidden, hidden])?;
    let bias = match call.constant(3, "B")? {
        None => vec![0.0; directions * 4 * hidden],
        Some(b) => {
            check(b, "B", &[directions, 8 * hidden])?;
            let sum = |both: &[f32]| -> Vec<f32> {
                let (w, r) = both.split_at(4 * hidden);
                w.iter().zip(r).map(|(w, r)| (f64::from(*w) + f64::from(*r)) as f32).collect()
            };
            b.floats()?.chunks(8 * hidden).flat_map(sum).collect()
        }
    };
    Ok(Weights { hidden, w: w.floats()?, r: r.floats()?, bias })
}

fn check(constant: &Const, name: &str, expected: &[usize]) -> Result<()> {
    if constant.dims() == expected {
        return Ok(());
    }
    Err(Error::new(ErrorKind::ShapeMismatch, format!("`{name}` of an LSTM has the wrong shape"))
        .at_field(name)
        .expected(format!("{expected:?}"))
        .got(format!("{:?}", constant.dims())))
}

/// Refuses sequence lengths, initial states and peepholes, unless they change nothing.
fn refuse_inputs(call: &Call<'_>, tokens: usize) -> Result<()> {
    let refuse = |name: &str, expected: String, got: String, hint: &str| {
        Err(Error::new(ErrorKind::UnsupportedAttribute, format!("unsupported input `{name}` of an LSTM"))
            .at_field(name)
            .expected(expected)
            .got(got)
            .hint(hint))
    };
    const LENGTHS: &str = "run the LSTM over whole sequences, or count them by the sum of the attention mask";
    const STATES: &str = "start the LSTM from zero states: `lstm(x)` instead of `lstm(x, (h, c))`";
    let depends = || "a tensor that depends on the model's input".to_owned();
    match call.inputs.get(4).and_then(Option::as_ref) {
        None => {}
        Some(Tensor::Const(lengths)) => {
            let got = lengths.ints()?;
            if got.iter().any(|length| *length != tokens as i64) {
                return refuse("sequence_lens", tokens.to_string(), format!("{got:?}"), LENGTHS);
            }
        }
        // Each element is computed as the sequence of the tokens that it has.
        Some(Tensor::Partial(Partial::Lengths { x, rows })) if *rows == tokens && x.dims.len() == 1 => {}
        Some(_) => return refuse("sequence_lens", tokens.to_string(), depends(), LENGTHS),
    }
    let zeros = [
        (5, "initial_h", STATES),
        (6, "initial_c", STATES),
        (7, "P", "train the LSTM without peephole connections"),
    ];
    for (index, name, hint) in zeros {
        match call.inputs.get(index).and_then(Option::as_ref) {
            None => {}
            Some(Tensor::Const(c)) if c.is_zero() => {}
            Some(Tensor::Const(_)) => {
                return refuse(name, "zeros".to_owned(), "other numbers".to_owned(), hint);
            }
            Some(_) => return refuse(name, "zeros".to_owned(), depends(), hint),
        }
    }
    Ok(())
}

/// Weights for all columns of a value, of which only some, in some order, are the input.
fn scatter(w: &[f32], columns: &[usize], width: usize) -> Vec<f32> {
    let mut wide = vec![0.0f32; w.len() / columns.len() * width];
    for (from, to) in w.chunks(columns.len()).zip(wide.chunks_mut(width)) {
        columns.iter().zip(from).for_each(|(column, w)| to[*column] += w);
    }
    wide
}
