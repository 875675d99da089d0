//! Graph → text. May import: the rest of `ir`.

use std::fmt::{self, Display, Formatter, Write};

use super::super::shape::show;
use super::super::{
    Batch, Dim, Dtype, Graph, LinearGroup, LstmUnit, Node, Op, Port, ValueId, Weight, WeightId,
};
use super::{ACTIVATIONS, DIRECTIONS, DTYPES, is_plain};

/// How much of the constants is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Every element: [`parse`](super::parse) reads it back.
    Full,
    /// Shape and CRC-32 of the elements, for people.
    Summary,
}

/// The text form of a verified graph.
pub fn print(graph: &Graph, detail: Detail) -> String {
    let mut graph = graph.clone();
    graph.normalise();
    Text { graph: &graph, detail }.to_string()
}

struct Text<'a> {
    graph: &'a Graph,
    detail: Detail,
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let graph = self.graph;
        writeln!(f, "graph {}", Quoted(&graph.name))?;
        if graph.tokens > 0 {
            writeln!(f, "tokens {}", graph.tokens)?;
        }
        match graph.batch {
            Batch::ONE => {}
            Batch { most, fixed: true } => writeln!(f, "batch {most}")?,
            Batch { most, fixed: false } => writeln!(f, "batch 1..{most}")?,
        }
        for port in &graph.inputs {
            let shape = show(graph.value(port.value).shape);
            writeln!(f, "input {} {} : {shape} {}", Quoted(&port.name), self.value(port.value), Dims(port))?;
        }
        if let Some(index) = graph.lengths {
            writeln!(f, "lengths {}", Quoted(&graph.inputs[index].name))?;
        }
        for node in &graph.nodes {
            self.node(f, node)?;
        }
        for port in &graph.outputs {
            writeln!(f, "output {} {} {}", Quoted(&port.name), self.value(port.value), Dims(port))?;
        }
        graph.weights.iter().enumerate().try_for_each(|(i, weight)| self.weight(f, i, weight))
    }
}

impl<'a> Text<'a> {
    fn value(&self, id: ValueId) -> ValueName<'a> {
        ValueName(&self.graph.value(id).name)
    }

    fn node(&self, f: &mut Formatter<'_>, node: &Node) -> fmt::Result {
        write!(f, "{} = {}", self.value(node.output), keyword(&node.op))?;
        let residual = matches!(&node.op, Op::Linear(linear) if linear.residual);
        let operands = node.inputs.len() - usize::from(residual);
        for id in &node.inputs[..operands] {
            write!(f, " {}", self.value(*id))?;
        }
        attributes(f, &node.op)?;
        if residual {
            write!(f, " residual={}", self.value(node.inputs[operands]))?;
        }
        write!(f, " : {}", show(self.graph.value(node.output).shape))?;
        match node.name.as_str() {
            "" => writeln!(f),
            name if name.starts_with('"') || name.trim() != name || name.contains(char::is_control) => {
                writeln!(f, " # {}", Quoted(name))
            }
            name => writeln!(f, " # {name}"),
        }
    }

    fn weight(&self, f: &mut Formatter<'_>, index: usize, weight: &Weight) -> fmt::Result {
        let [rows, cols] = weight.dims;
        write!(f, "@{index}: {rows}x{cols}")?;
        if self.detail == Detail::Summary {
            let mut crc = crc32fast::Hasher::new();
            weight.data.iter().for_each(|x| crc.update(&x.to_le_bytes()));
            return writeln!(f, " # crc32 {:08x}", crc.finalize());
        }
        let lines = rows > 1 && cols > 0;
        f.write_str(" = [")?;
        for row in weight.data.chunks(cols.max(1)) {
            f.write_str(if lines { "\n " } else { "" })?;
            for (i, x) in row.iter().enumerate() {
                let space = if lines || i > 0 { " " } else { "" };
                write!(f, "{space}{}", Number(*x))?;
            }
        }
        f.write_str(if lines { "\n]\n" } else { "]\n" })
    }
}

fn keyword(op: &Op) -> &'static str {
    match op {
        Op::PatchEmbed { .. } => "patch_embed",
        Op::Constant(_) => "constant",
        Op::Positions(_) => "positions",
        Op::Embedding { .. } => "embedding",
        Op::ConcatRows => "concat_rows",
        Op::ConcatCols => "concat_cols",
        Op::SliceRows { .. } => "slice_rows",
        Op::SliceCols { .. } => "slice_cols",
        Op::ReverseRows => "reverse_rows",
        Op::Linear(_) => "linear",
        Op::MultiHeadLstm(_) => "lstm",
        Op::Attention { .. } => "attention",
        Op::LayerNorm { .. } => "layer_norm",
        Op::Normalize { .. } => "normalize",
        Op::Activation(_) => "activation",
        Op::Add => "add",
        Op::Affine { .. } => "affine",
        Op::MeanRows => "mean_rows",
    }
}

fn attributes(f: &mut Formatter<'_>, op: &Op) -> fmt::Result {
    match op {
        Op::PatchEmbed { patch: [height, width], weight, bias } => {
            write!(f, " {height}x{width} weight={}", Constant(*weight))?;
            optional(f, "bias", *bias)
        }
        Op::Constant(weight) | Op::Positions(weight) | Op::Embedding { table: weight } => {
            write!(f, " {}", Constant(*weight))
        }
        Op::SliceRows { start, len } | Op::SliceCols { start, len } => write!(f, " {start}..{}", start + len),
        Op::Linear(linear) => {
            linear.groups.iter().try_for_each(|group| linear_group(f, group))?;
            if linear.act != super::Activation::None {
                write!(f, " act={}", name_of(&ACTIVATIONS, linear.act))?;
            }
            Ok(())
        }
        Op::MultiHeadLstm(lstm) => lstm.units.iter().try_for_each(|unit| lstm_unit(f, unit)),
        Op::Attention { heads, scale } => write!(f, " heads={heads} scale={}", Number(*scale)),
        Op::LayerNorm { eps, scale, shift } => {
            write!(f, " eps={}", Number(*eps))?;
            optional(f, "scale", *scale)?;
            optional(f, "shift", *shift)
        }
        Op::Normalize { eps } => write!(f, " eps={}", Number(*eps)),
        Op::Affine { scale, shift } => {
            optional(f, "scale", *scale)?;
            optional(f, "shift", *shift)
        }
        Op::Activation(act) => write!(f, " {}", name_of(&ACTIVATIONS, *act)),
        Op::ConcatRows | Op::ConcatCols | Op::ReverseRows | Op::Add | Op::MeanRows => Ok(()),
    }
}

fn linear_group(f: &mut Formatter<'_>, group: &LinearGroup) -> fmt::Result {
    write!(f, " {{{:?} -> {:?}: {}", group.input, group.output, Constant(group.weight))?;
    if let Some(bias) = group.bias {
        write!(f, ", bias {}", Constant(bias))?;
    }
    f.write_char('}')
}

fn lstm_unit(f: &mut Formatter<'_>, unit: &LstmUnit) -> fmt::Result {
    let direction = name_of(&DIRECTIONS, unit.direction);
    let output = unit.output..unit.output + unit.hidden;
    let [w, r, bias] = [unit.w, unit.r, unit.bias].map(Constant);
    write!(f, " {{head {} {direction} {:?} -> {output:?}: w {w}, r {r}, bias {bias}}}", unit.head, unit.input)
}

fn optional(f: &mut Formatter<'_>, field: &str, weight: Option<WeightId>) -> fmt::Result {
    weight.map_or(Ok(()), |weight| write!(f, " {field}={}", Constant(weight)))
}

fn name_of<T: PartialEq>(table: &'static [(&'static str, T)], wanted: T) -> &'static str {
    table.iter().find(|(_, value)| *value == wanted).map_or("?", |(name, _)| name)
}

struct Constant(WeightId);

impl Display for Constant {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0.0)
    }
}

struct Dims<'a>(&'a Port);

impl Display for Dims<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let dim = |dim: &Dim| match dim {
            Dim::Fixed(size) => size.to_string(),
            Dim::Batch => "B".to_owned(),
            Dim::Tokens => "T".to_owned(),
        };
        let dims: Vec<_> = self.0.dims.iter().map(dim).collect();
        if dims.is_empty() {
            f.write_str("scalar")?
        } else {
            write!(f, "dims {}", dims.join("x"))?
        }
        match self.0.dtype {
            Dtype::F32 => Ok(()),
            other => write!(f, " {}", name_of(&DTYPES, other)),
        }
    }
}

struct ValueName<'a>(&'a str);

impl Display for ValueName<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() || !self.0.chars().all(is_plain) {
            write!(f, "%{}", Quoted(self.0))
        } else {
            write!(f, "%{}", self.0)
        }
    }
}

struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// The shortest decimal that reads back to the same bits.
struct Number(f32);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let x = self.0;
        if x.is_nan() {
            write!(f, "nan.{:08x}", x.to_bits())
        } else if x == 0.0 || x.is_infinite() || (1e-4..1e7).contains(&x.abs()) {
            write!(f, "{x}")
        } else {
            write!(f, "{x:e}")
        }
    }
}
