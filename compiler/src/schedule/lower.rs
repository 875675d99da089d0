//! Nodes → steps, one after the other, with their weights packed.
//! May import: the rest of `schedule`, `ir`, `precision`, `error`; far-format (the plan and its sizes).

use far_format::cpu::Arch;
use far_format::layout::{MAX_INT8_DEPTH, Precision, attention_work_bytes};
use far_format::plan::{
    Attention, Embed, Gemm, GemmGroup, LayerNorm, Lstm, LstmUnit, Operand, Patches, Step, StepOp,
};

use super::memory::Area;
use super::place::{self, Homes, Memory, TensorSpec};
use super::weights::Weights;
use super::{number, pack};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Activation, Graph, Linear, MultiHeadLstm, Node, Op, Shape, ValueId, WeightId};
use crate::precision::Precisions;

/// Above this many columns or rows a step for each would be absurd.
const MAX_SINGLE_STEPS: usize = 4096;

/// Steps whose tensors have no addresses yet.
#[derive(Debug)]
pub(super) struct Lowered {
    pub(super) tensors: Vec<TensorSpec>,
    pub(super) steps: Vec<Step>,
    pub(super) works: Vec<Work>,
    pub(super) weights: Weights,
}

/// Arena memory that one step needs beside its tensors.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) step: usize,
    pub(super) bytes: u64,
}

impl Lowered {
    /// What the arena has to hold: an area for each tensor, then one for each work area.
    pub(super) fn areas(&self) -> Vec<Area> {
        let mut areas: Vec<Area> =
            self.tensors.iter().map(|t| Area { bytes: t.bytes(), live: None }).collect();
        for (i, step) in self.steps.iter().enumerate() {
            for operand in operands(&step.op) {
                let tensor = operand.tensor as usize;
                if self.tensors[tensor].memory == Memory::Arena {
                    let (first, _) = areas[tensor].live.unwrap_or((i, i));
                    areas[tensor].live = Some((first, i));
                }
            }
        }
        areas.extend(self.works.iter().map(|w| Area { bytes: w.bytes, live: Some((w.step, w.step)) }));
        areas
    }
}

/// Everything that a step reads or writes.
pub(crate) fn operands(op: &StepOp) -> Vec<Operand> {
    match op {
        StepOp::Gemm(gemm) => [gemm.a, gemm.out].into_iter().chain(gemm.residual).collect(),
        StepOp::Lstm(lstm) => vec![lstm.gates, lstm.out],
        StepOp::LayerNorm(norm) => vec![norm.x, norm.out],
        StepOp::Attention(a) => vec![a.q, a.k, a.v, a.out],
        StepOp::Patches(patches) => vec![patches.image, patches.out],
        StepOp::Map { x, out, .. }
        | StepOp::Copy { x, out }
        | StepOp::MeanRows { x, out }
        | StepOp::Normalize { x, out, .. } => vec![*x, *out],
        StepOp::Embed(embed) => vec![embed.out],
        StepOp::Add { a, b, out } => vec![*a, *b, *out],
    }
}

/// Lowers a verified graph whose values have homes, with packed weights for an architecture.
pub(super) fn lower(graph: &Graph, homes: Homes, arch: Arch, precisions: Precisions) -> Result<Lowered> {
    let Homes { tensors, homes, copied_outputs } = homes;
    let mut lowerer = Lowerer {
        graph,
        homes,
        precisions,
        lowered: Lowered { tensors, steps: Vec::new(), works: Vec::new(), weights: Weights::new(arch) },
    };
    for node in &graph.nodes {
        lowerer.node(node).map_err(|e| e.at_node(&node.name))?;
    }
    for (port, out) in graph.outputs.iter().zip(copied_outputs) {
        if let Some(out) = out {
            let x = lowerer.home(port.value)?;
            lowerer.step(&port.name, StepOp::Copy { x, out });
        }
    }
    lowerer.precisions.finish()?;
    Ok(lowerer.lowered)
}

struct Lowerer<'a> {
    graph: &'a Graph,
    homes: Vec<Option<Operand>>,
    precisions: Precisions,
    lowered: Lowered,
}

impl Lowerer<'_> {
    fn home(&self, value: ValueId) -> Result<Operand> {
        self.homes[value.0 as usize].ok_or_else(|| {
            let name = &self.graph.value(value).name;
            Error::new(ErrorKind::Internal, format!("the schedule has no place for value `{name}`"))
        })
    }

    fn step(&mut self, name: &str, op: StepOp) {
        self.lowered.steps.push(Step { name: name.into(), op });
    }

    /// A step of a product whose sums its precision can take.
    fn product(&mut self, name: &str, gemm: Gemm) -> Result<()> {
        let deepest = gemm.groups.iter().map(|group| group.k).max().unwrap_or(0);
        if gemm.precision == Precision::Int8 && deepest as usize > MAX_INT8_DEPTH {
            return Err(Error::new(ErrorKind::LimitExceeded, "a product is too deep for int8")
                .at_node(name)
                .expected(format!("at most {MAX_INT8_DEPTH} inputs"))
                .got(deepest.to_string())
                .hint(format!("`--dtype-for {name}=f16`")));
        }
        self.step(name, StepOp::Gemm(gemm));
        Ok(())
    }

    /// A tensor beside those of the values; `like`: a value with the same kind of rows.
    fn tensor(&mut self, memory: Memory, [rows, cols]: [u32; 2], like: ValueId) -> Result<Operand> {
        let tokens = self.graph.value(like).shape.varies();
        self.lowered.tensors.push(TensorSpec { memory, rows, cols, tokens });
        let tensor = number(self.lowered.tensors.len() - 1, "the number of tensors")?;
        Ok(Operand { tensor, row: 0, col: 0, rows, cols })
    }

    fn node(&mut self, node: &Node) -> Result<()> {
        if let Op::Embedding { table } = node.op {
            return self.embedding(node, table);
        }
        let ins = node.inputs.iter().map(|i| self.home(*i)).collect::<Result<Vec<_>>>()?;
        let out = node.output.0 as usize;
        match &node.op {
            Op::Constant(weight) | Op::Positions(weight) => {
                let [rows, cols] = self.graph.weight(*weight).dims;
                let at = self.lowered.weights.add(&self.graph.weight(*weight).data);
                let (rows, cols) = (number(rows, "a number of rows")?, number(cols, "a number of columns")?);
                self.homes[out] = Some(self.tensor(Memory::Weights(at), [rows, cols], node.output)?);
                return Ok(());
            }
            Op::SliceRows { start, len } => {
                let (start, len) = (number(*start, "a row")?, number(*len, "a number of rows")?);
                self.homes[out] = Some(place::part(ins[0], start, 0, len, ins[0].cols));
                return Ok(());
            }
            Op::SliceCols { start, len } => {
                let (start, len) = (number(*start, "a column")?, number(*len, "a number of columns")?);
                self.homes[out] = Some(place::part(ins[0], 0, start, ins[0].rows, len));
                return Ok(());
            }
            Op::Activation(Activation::None) => {
                self.homes[out] = Some(ins[0]);
                return Ok(());
            }
            _ => {}
        }
        let out = self.home(node.output)?;
        match &node.op {
            Op::PatchEmbed { patch, weight, bias } => {
                self.patch_embed(node, *patch, *weight, *bias, ins[0], out)?
            }
            Op::ConcatRows | Op::ConcatCols => {
                for (input, part) in place::parts(self.graph, node, out) {
                    let x = self.home(input)?;
                    if x != part {
                        self.step(&node.name, StepOp::Copy { x, out: part });
                    }
                }
            }
            Op::ReverseRows => self.reverse_rows(node, ins[0], out)?,
            Op::Linear(linear) => self.linear(node, linear, &ins, out)?,
            Op::MultiHeadLstm(lstm) => self.lstm(node, lstm, ins[0], out)?,
            Op::Attention { heads, scale } => self.attention(node, *heads, *scale, &ins, out)?,
            Op::LayerNorm { eps, scale, shift } => {
                let cols = out.cols as usize;
                let affine = pack::layer_norm(self.graph, cols, *scale, *shift, &mut self.lowered.weights);
                self.step(&node.name, StepOp::LayerNorm(LayerNorm { x: ins[0], out, eps: *eps, affine }));
            }
            Op::Normalize { eps } => self.step(&node.name, StepOp::Normalize { x: ins[0], out, eps: *eps }),
            Op::Activation(act) => self.step(&node.name, StepOp::Map { act: *act, x: ins[0], out }),
            Op::Add => self.step(&node.name, StepOp::Add { a: ins[0], b: ins[1], out }),
            Op::Affine { scale, shift } => self.affine(node, *scale, *shift, ins[0], out)?,
            Op::MeanRows => self.step(&node.name, StepOp::MeanRows { x: ins[0], out }),
            Op::Constant(_)
            | Op::Positions(_)
            | Op::Embedding { .. }
            | Op::SliceRows { .. }
            | Op::SliceCols { .. } => {}
        }
        Ok(())
    }

    fn embedding(&mut self, node: &Node, table: WeightId) -> Result<()> {
        let input = self.graph.inputs.iter().position(|port| port.value == node.inputs[0]);
        let input = input.ok_or_else(|| Error::new(ErrorKind::Internal, "ids that are no input"))?;
        let [vocab, _] = self.graph.weight(table).dims;
        let precision = self.precisions.of_table(&node.name);
        let embed = Embed {
            input: number(input, "the number of inputs")?,
            table: pack::table(self.graph, precision, table, &mut self.lowered.weights)?,
            vocab: number(vocab, "a number of rows")?,
            precision,
            out: self.home(node.output)?,
        };
        self.step(&node.name, StepOp::Embed(embed));
        Ok(())
    }

    fn patch_embed(
        &mut self,
        node: &Node,
        patch: [usize; 2],
        weight: WeightId,
        bias: Option<WeightId>,
        image: Operand,
        out: Operand,
    ) -> Result<()> {
        let Shape::Image { channels, .. } = self.graph.value(node.inputs[0]).shape else {
            return Err(Error::new(
                ErrorKind::Internal,
                "a patch embedding reads something that is no image",
            ));
        };
        let [k, n] = self.graph.weight(weight).dims;
        let k = number(k, "a patch")?;
        let patches = self.tensor(Memory::Arena, [out.rows, k], node.output)?;
        self.step(
            &format!("{}.patches", node.name),
            StepOp::Patches(Patches {
                image,
                channels: number(channels, "the number of channels")?,
                patch_height: number(patch[0], "the height of a patch")?,
                patch_width: number(patch[1], "the width of a patch")?,
                out: patches,
            }),
        );
        let precision = self.precisions.of(&node.name);
        let weights = pack::linear(self.graph, precision, weight, bias, &mut self.lowered.weights);
        let group = GemmGroup { a_col: 0, k, out_col: 0, n: number(n, "a number of columns")?, weights };
        let act = Activation::None;
        self.product(
            &node.name,
            Gemm { a: patches, out, residual: None, act, precision, groups: vec![group] },
        )?;
        Ok(())
    }

    fn linear(&mut self, node: &Node, linear: &Linear, ins: &[Operand], out: Operand) -> Result<()> {
        let precision = self.precisions.of(&node.name);
        let weights = &mut self.lowered.weights;
        let mut groups = Vec::with_capacity(linear.groups.len());
        let mut next = 0;
        let zeros = |from: usize, to: usize, weights: &mut Weights| -> Result<GemmGroup> {
            let n = number(to - from, "a number of columns")?;
            let offset = pack::zero_columns(precision, to - from, weights);
            Ok(GemmGroup { a_col: 0, k: 0, out_col: number(from, "a column")?, n, weights: offset })
        };
        for group in &linear.groups {
            if group.output.start > next {
                groups.push(zeros(next, group.output.start, weights)?);
            }
            groups.push(GemmGroup {
                a_col: if group.input.is_empty() { 0 } else { number(group.input.start, "a column")? },
                k: number(group.input.len(), "a number of columns")?,
                out_col: number(group.output.start, "a column")?,
                n: number(group.output.len(), "a number of columns")?,
                weights: pack::linear(self.graph, precision, group.weight, group.bias, weights),
            });
            next = group.output.end;
        }
        if linear.cols > next {
            groups.push(zeros(next, linear.cols, weights)?);
        }
        let residual = linear.residual.then(|| ins[1]);
        let act = linear.act.in_product_of(precision);
        self.product(&node.name, Gemm { a: ins[0], out, residual, act, precision, groups })
    }

    fn lstm(&mut self, node: &Node, lstm: &MultiHeadLstm, x: Operand, out: Operand) -> Result<()> {
        let total: usize = lstm.units.iter().map(|unit| pack::gate_columns(unit.hidden)).sum();
        let total = number(total, "the number of gates")?;
        let gates = self.tensor(Memory::Arena, [x.rows, total], node.output)?;
        let (precision, units) = (self.precisions.of(&node.name), Vec::with_capacity(lstm.units.len()));
        let mut recurrence = Lstm { gates, out, precision, units };
        let mut col = 0;
        // Units with a bias for each token have a product of their own, which adds those as a residual.
        for (suffix, tabled) in [("gates", false), ("gates.table", true)] {
            let of_kind = lstm.units.iter().filter(|unit| pack::has_table(self.graph, unit) == tabled);
            let by_input = pack::gate_groups(of_kind);
            if !by_input.is_empty() {
                let name = format!("{}.{suffix}", node.name);
                let table = tabled.then_some(node.output);
                col = self.gates(&name, &by_input, table, x, col, &mut recurrence)?;
            }
        }
        self.step(&node.name, StepOp::Lstm(recurrence));
        Ok(())
    }

    /// The input half of the gates of some groups of units, from a column of the recurrence's `gates` on; the units become
    /// that step's. `table` has the rows of their biases, if those differ from token to token. Gives the column after them.
    fn gates(
        &mut self,
        name: &str,
        by_input: &[pack::GateGroup<'_>],
        table: Option<ValueId>,
        x: Operand,
        first: u32,
        recurrence: &mut Lstm,
    ) -> Result<u32> {
        let precision = self.precisions.of(name);
        let mut groups = Vec::with_capacity(by_input.len());
        let mut col = first;
        for group in by_input {
            let n = number(group.columns(), "the number of gates")?;
            groups.push(GemmGroup {
                a_col: if group.input.is_empty() { 0 } else { number(group.input.start, "a column")? },
                k: number(group.input.len(), "a number of columns")?,
                out_col: col - first,
                n,
                weights: pack::gates(self.graph, precision, group, &mut self.lowered.weights),
            });
            let mut gate_col = col;
            for unit in &group.units {
                recurrence.units.push(LstmUnit {
                    gate_col,
                    hidden: number(unit.hidden, "the number of hidden units")?,
                    out_col: number(unit.output, "a column")?,
                    reverse: unit.direction == crate::ir::Direction::Reverse,
                    weights: pack::recurrence(
                        self.graph,
                        recurrence.precision,
                        unit,
                        &mut self.lowered.weights,
                    ),
                });
                gate_col += number(pack::gate_columns(unit.hidden), "the number of gates")?;
            }
            col += n;
        }
        let residual = match table {
            Some(like) => {
                let at = pack::gate_table(self.graph, by_input, x.rows as usize, &mut self.lowered.weights);
                Some(self.tensor(Memory::Weights(at), [x.rows, col - first], like)?)
            }
            None => None,
        };
        let out = place::part(recurrence.gates, 0, first, x.rows, col - first);
        let act = Activation::None;
        self.product(name, Gemm { a: x, out, residual, act, precision, groups })?;
        Ok(col)
    }

    fn attention(
        &mut self,
        node: &Node,
        heads: usize,
        scale: f32,
        ins: &[Operand],
        out: Operand,
    ) -> Result<()> {
        let d = out.cols as usize / heads;
        self.lowered.works.push(Work {
            step: self.lowered.steps.len(),
            bytes: attention_work_bytes(out.rows as usize, heads, d) as u64,
        });
        let heads = number(heads, "the number of heads")?;
        let (q, k, v) = (ins[0], ins[1], ins[2]);
        self.step(&node.name, StepOp::Attention(Attention { q, k, v, out, heads, scale, work: 0 }));
        Ok(())
    }

    /// Copies row by row: passes leave this operation only where an LSTM can't take it over.
    fn reverse_rows(&mut self, node: &Node, x: Operand, out: Operand) -> Result<()> {
        if self.graph.value(node.output).shape.varies() {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "tokens are reversed, but for an LSTM to run over them",
            )
            .expected("a fixed number of tokens")
            .got(format!("up to {}", x.rows))
            .hint("leave out the flip, or compile for a fixed number of tokens"));
        }
        few(x.rows, "rows to reverse")?;
        for row in 0..x.rows {
            let (x, out) =
                (place::part(x, x.rows - 1 - row, 0, 1, x.cols), place::part(out, row, 0, 1, out.cols));
            self.step(&node.name, StepOp::Copy { x, out });
        }
        Ok(())
    }

    /// A product with a diagonal, column by column: passes fold this operation into a neighbour wherever there is one.
    fn affine(
        &mut self,
        node: &Node,
        scale: Option<WeightId>,
        shift: Option<WeightId>,
        a: Operand,
        out: Operand,
    ) -> Result<()> {
        few(out.cols, "columns to scale one by one")?;
        let value = |weight: Option<WeightId>, col: u32, otherwise: f32| {
            weight.map_or(otherwise, |w| self.graph.weight(w).data[col as usize])
        };
        let groups = (0..out.cols)
            .map(|col| {
                let (scale, shift) = (value(scale, col, 1.0), value(shift, col, 0.0));
                let weights = pack::affine_column(scale, shift, &mut self.lowered.weights);
                GemmGroup { a_col: col, k: 1, out_col: col, n: 1, weights }
            })
            .collect();
        // Scaling is no product of a matrix: it stays exact.
        let (act, precision) = (Activation::None, Precision::F32);
        self.product(&node.name, Gemm { a, out, residual: None, act, precision, groups })
    }
}

fn few(count: u32, what: &str) -> Result<()> {
    if count as usize <= MAX_SINGLE_STEPS {
        return Ok(());
    }
    Err(Error::new(ErrorKind::LimitExceeded, format!("too many {what}"))
        .expected(format!("at most {MAX_SINGLE_STEPS}"))
        .got(count.to_string()))
}
