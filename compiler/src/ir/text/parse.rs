//! Text → graph. May import: the rest of `ir`.
//!
//! Memory is bounded by the length of the text: nothing is allocated by a number that is only written in it.

mod sizes;

use std::collections::HashMap;
use std::ops::Range;

use super::super::shape::invalid;
use super::super::{
    Graph, Linear, LinearGroup, LstmUnit, MultiHeadLstm, Node, Op, Shape, Value, ValueId, Weight, WeightId,
};
use super::lex::{Lexer, Token};
use super::{ACTIVATIONS, DIRECTIONS};
use crate::error::{Error, Result};

/// Reads the text form. The graph still has to be [verified](super::super::verify).
pub fn parse(text: &str) -> Result<Graph> {
    let mut lexer = Lexer::new(text);
    let (token, at) = lexer.next()?;
    let mut parser =
        Parser { lexer, token, at, graph: Graph::default(), names: HashMap::new(), largest: None };
    parser.graph().map_err(|error| parser.lexer.locate(error, parser.at))?;
    Ok(parser.graph)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The token that comes next, and its offset.
    token: Token<'a>,
    at: usize,
    graph: Graph,
    names: HashMap<String, ValueId>,
    /// The largest number of a constant that a node names, and where.
    largest: Option<(u32, usize)>,
}

impl<'a> Parser<'a> {
    fn graph(&mut self) -> Result<()> {
        self.word("graph")?;
        self.graph.name = self.text()?;
        loop {
            match &self.token {
                Token::End => break,
                Token::Word("tokens") => {
                    self.advance()?;
                    self.graph.tokens = self.number()?;
                }
                Token::Word("batch") => self.batch()?,
                Token::Word("lengths") => self.lengths()?,
                Token::Word("input") => self.input()?,
                Token::Word("output") => self.output()?,
                Token::Value(_) => self.node()?,
                Token::Constant(_) => self.constant()?,
                _ => return Err(self.unexpected("`input`, `output`, a value or a constant")),
            }
        }
        match self.largest {
            Some((id, at)) if id as usize >= self.graph.weights.len() => {
                self.at = at;
                Err(invalid("no such constant")
                    .expected(format!("one of `{}` constants", self.graph.weights.len()))
                    .got(format!("`@{id}`")))
            }
            _ => Ok(()),
        }
    }

    fn input(&mut self) -> Result<()> {
        self.advance()?;
        let name = self.text()?;
        let value = self.define()?;
        self.mark(":")?;
        let shape = self.shape()?;
        let value = self.add(value, shape)?;
        let port = self.port(name, value)?;
        self.graph.inputs.push(port);
        Ok(())
    }

    fn output(&mut self) -> Result<()> {
        self.advance()?;
        let name = self.text()?;
        let value = self.value()?;
        let port = self.port(name, value)?;
        self.graph.outputs.push(port);
        Ok(())
    }

    fn node(&mut self) -> Result<()> {
        let output = self.define()?;
        self.mark("=")?;
        let Token::Word(keyword) = self.token else { return Err(self.unexpected("an operation")) };
        let keyword_at = self.at;
        self.advance()?;
        let mut inputs = Vec::new();
        while matches!(self.token, Token::Value(_)) {
            inputs.push(self.value()?);
        }
        let Some(mut op) = self.op(keyword, &mut inputs)? else {
            self.at = keyword_at;
            return Err(invalid(format!("no such operation `{keyword}`")));
        };
        self.mark(":")?;
        let shape = self.shape()?;
        if let (Op::Linear(linear), Shape::Matrix { cols, .. } | Shape::Tokens { cols }) = (&mut op, shape) {
            linear.cols = cols;
        }
        let name = match &mut self.token {
            Token::Path(path) => {
                let path = std::mem::take(path);
                self.advance()?;
                path
            }
            _ => String::new(),
        };
        let output = self.add(output, shape)?;
        self.graph.nodes.push(Node { name, op, inputs, output });
        Ok(())
    }

    /// The attributes of an operation; `None` for an unknown keyword.
    fn op(&mut self, keyword: &str, inputs: &mut Vec<ValueId>) -> Result<Option<Op>> {
        Ok(Some(match keyword {
            "patch_embed" => {
                let patch = self.numbers("height and width such as `16x16`")?;
                let [height, width] = patch[..] else {
                    return Err(self.unexpected("height and width such as `16x16`"));
                };
                let Some(weight) = self.optional("weight")? else { return Err(self.unexpected("`weight=`")) };
                Op::PatchEmbed { patch: [height, width], weight, bias: self.optional("bias")? }
            }
            "constant" => Op::Constant(self.weight()?),
            "positions" => Op::Positions(self.weight()?),
            "embedding" => Op::Embedding { table: self.weight()? },
            "concat_rows" => Op::ConcatRows,
            "concat_cols" => Op::ConcatCols,
            "slice_rows" => {
                let range = self.range()?;
                Op::SliceRows { start: range.start, len: range.len() }
            }
            "slice_cols" => {
                let range = self.range()?;
                Op::SliceCols { start: range.start, len: range.len() }
            }
            "reverse_rows" => Op::ReverseRows,
            "linear" => Op::Linear(self.linear(inputs)?),
            "lstm" => Op::MultiHeadLstm(self.lstm()?),
            "attention" => {
                let heads = self.field("heads", Self::number)?;
                Op::Attention { heads, scale: self.field("scale", Self::float)? }
            }
            "layer_norm" => {
                let eps = self.field("eps", Self::float)?;
                Op::LayerNorm { eps, scale: self.optional("scale")?, shift: self.optional("shift")? }
            }
            "normalize" => Op::Normalize { eps: self.field("eps", Self::float)? },
            "activation" => Op::Activation(self.name_in(&ACTIVATIONS)?),
            "add" => Op::Add,
            "affine" => Op::Affine { scale: self.optional("scale")?, shift: self.optional("shift")? },
            "mean_rows" => Op::MeanRows,
            _ => return Ok(None),
        }))
    }

    /// All but the width, which stands in the node's shape.
    fn linear(&mut self, inputs: &mut Vec<ValueId>) -> Result<Linear> {
        let mut groups = Vec::new();
        while self.accept(&Token::Mark("{"))? {
            let input = self.range()?;
            self.mark("->")?;
            let output = self.range()?;
            self.mark(":")?;
            let weight = self.weight()?;
            let bias = if self.accept(&Token::Mark(","))? {
                self.word("bias")?;
                Some(self.weight()?)
            } else {
                None
            };
            self.mark("}")?;
            groups.push(LinearGroup { input, output, weight, bias });
        }
        let act = if self.token == Token::Word("act") {
            self.field("act", |parser| parser.name_in(&ACTIVATIONS))?
        } else {
            super::Activation::None
        };
        let residual = self.token == Token::Word("residual");
        if residual {
            inputs.push(self.field("residual", Self::value)?);
        }
        Ok(Linear { cols: 0, groups, act, residual })
    }

    fn lstm(&mut self) -> Result<MultiHeadLstm> {
        let mut units = Vec::new();
        while self.accept(&Token::Mark("{"))? {
            self.word("head")?;
            let head = self.number()?;
            let direction = self.name_in(&DIRECTIONS)?;
            let input = self.range()?;
            self.mark("->")?;
            let output = self.range()?;
            self.mark(":")?;
            self.word("w")?;
            let w = self.weight()?;
            self.mark(",")?;
            self.word("r")?;
            let r = self.weight()?;
            self.mark(",")?;
            self.word("bias")?;
            let bias = self.weight()?;
            self.mark("}")?;
            units.push(LstmUnit {
                head,
                direction,
                input,
                output: output.start,
                hidden: output.len(),
                w,
                r,
                bias,
            });
        }
        Ok(MultiHeadLstm { units })
    }

    fn constant(&mut self) -> Result<()> {
        if self.token != Token::Constant(u32::try_from(self.graph.weights.len()).unwrap_or(u32::MAX)) {
            return Err(self.unexpected(&format!("constant `@{}`", self.graph.weights.len())));
        }
        self.advance()?;
        self.mark(":")?;
        let dims_at = self.at;
        let dims = self.numbers("rows and columns such as `4x8`")?;
        let [rows, cols] = dims[..] else {
            self.at = dims_at;
            return Err(invalid("a constant is a matrix")
                .expected("rows and columns such as `4x8`")
                .got(format!("`{dims:?}`")));
        };
        if matches!(self.token, Token::Path(_)) {
            return Err(self
                .unexpected("`=`")
                .hint("this is a summary; print the graph in full to read it back"));
        }
        self.mark("=")?;
        self.mark("[")?;
        let mut data = Vec::new();
        while self.token != Token::Mark("]") {
            data.push(self.float()?);
        }
        if rows.checked_mul(cols) != Some(data.len()) {
            return Err(invalid("constant of the wrong size")
                .expected(format!("`{rows}x{cols}` elements"))
                .got(format!("`{}`", data.len())));
        }
        self.advance()?;
        self.graph.weights.push(Weight { dims: [rows, cols], data: data.into() });
        Ok(())
    }

    /// A name that a value is to have; it must be new.
    fn define(&mut self) -> Result<String> {
        match &mut self.token {
            Token::Value(name) if !self.names.contains_key(name) => {
                let name = std::mem::take(name);
                self.advance()?;
                Ok(name)
            }
            Token::Value(name) => Err(invalid(format!("value `%{name}` is defined twice"))),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn add(&mut self, name: String, shape: Shape) -> Result<ValueId> {
        let id = u32::try_from(self.graph.values.len()).map_err(|_| invalid("too many values"))?;
        self.names.insert(name.clone(), ValueId(id));
        self.graph.values.push(Value { name, shape });
        Ok(ValueId(id))
    }

    fn value(&mut self) -> Result<ValueId> {
        let Token::Value(name) = &self.token else { return Err(self.unexpected("a value")) };
        let id = *self.names.get(name).ok_or_else(|| invalid(format!("no such value `%{name}` so far")))?;
        self.advance()?;
        Ok(id)
    }

    fn weight(&mut self) -> Result<WeightId> {
        let Token::Constant(id) = self.token else { return Err(self.unexpected("a constant")) };
        if self.largest.is_none_or(|(largest, _)| id > largest) {
            self.largest = Some((id, self.at));
        }
        self.advance()?;
        Ok(WeightId(id))
    }

    fn optional(&mut self, field: &'static str) -> Result<Option<WeightId>> {
        if self.token == Token::Word(field) { self.field(field, Self::weight).map(Some) } else { Ok(None) }
    }

    fn field<T>(&mut self, field: &'static str, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.word(field)?;
        self.mark("=")?;
        read(self)
    }

    /// Numbers with `x` between them.
    fn numbers(&mut self, expected: &str) -> Result<Vec<usize>> {
        self.read(expected, |word| word.split('x').map(|n| n.parse().ok()).collect())
    }

    fn number(&mut self) -> Result<usize> {
        self.read("a whole number", |word| word.parse().ok())
    }

    fn range(&mut self) -> Result<Range<usize>> {
        self.read("a range such as `0..4`", |word| {
            let (start, end) = word.split_once("..")?;
            let range = start.parse().ok()?..end.parse().ok()?;
            (range.start <= range.end).then_some(range)
        })
    }

    fn float(&mut self) -> Result<f32> {
        self.read("a number", |word| match word.strip_prefix("nan.") {
            Some(bits) => u32::from_str_radix(bits, 16).ok().map(f32::from_bits).filter(|x| x.is_nan()),
            None => word.parse().ok().filter(|x: &f32| !x.is_nan()),
        })
    }

    fn name_in<T: Copy>(&mut self, table: &[(&str, T)]) -> Result<T> {
        let names: Vec<_> = table.iter().map(|(name, _)| format!("`{name}`")).collect();
        self.read(&format!("one of {}", names.join(", ")), |word| {
            table.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
        })
    }

    /// A word that `convert` understands.
    fn read<T>(&mut self, expected: &str, convert: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let Token::Word(word) = self.token else { return Err(self.unexpected(expected)) };
        let value = convert(word).ok_or_else(|| self.unexpected(expected))?;
        self.advance()?;
        Ok(value)
    }

    fn text(&mut self) -> Result<String> {
        let Token::Text(text) = &mut self.token else { return Err(self.unexpected("a text in quotes")) };
        let text = std::mem::take(text);
        self.advance()?;
        Ok(text)
    }

    fn word(&mut self, word: &'static str) -> Result<()> {
        if self.accept(&Token::Word(word))? { Ok(()) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    fn mark(&mut self, mark: &'static str) -> Result<()> {
        if self.accept(&Token::Mark(mark))? { Ok(()) } else { Err(self.unexpected(&format!("`{mark}`"))) }
    }

    fn accept(&mut self, token: &Token<'_>) -> Result<bool> {
        let accepted = self.token == *token;
        if accepted {
            self.advance()?;
        }
        Ok(accepted)
    }

    fn advance(&mut self) -> Result<()> {
        (self.token, self.at) = self.lexer.next()?;
        Ok(())
    }

    fn unexpected(&self, expected: &str) -> Error {
        invalid("the text form can't be read").expected(expected).got(self.token.show())
    }
}
