//! Sizes in the text form: extents of calls, ports, shapes. May import: the rest of `ir`.

use super::super::super::shape::invalid;
use super::super::super::{Batch, Dim, Dtype, Port, Shape, ValueId};
use super::super::DTYPES;
use super::super::lex::Token;
use super::Parser;
use crate::error::Result;

impl Parser<'_> {
    /// `8` or `1..8`.
    pub(super) fn batch(&mut self) -> Result<()> {
        self.advance()?;
        self.graph.batch = self.read("a number, or a range from 1, such as `1..8`", |word| {
            let open = word.strip_prefix("1..");
            let most = open.unwrap_or(word).parse().ok()?;
            Some(Batch { most, fixed: open.is_none() })
        })?;
        Ok(())
    }

    pub(super) fn lengths(&mut self) -> Result<()> {
        self.advance()?;
        let at = self.at;
        let name = self.text()?;
        let index = self.graph.inputs.iter().position(|port| port.name == name);
        if index.is_none() {
            self.at = at;
            return Err(invalid(format!("no such input `{name}` so far")));
        }
        self.graph.lengths = index;
        Ok(())
    }

    /// Dimensions and type of a port.
    pub(super) fn port(&mut self, name: String, value: ValueId) -> Result<Port> {
        let mut dims = Vec::new();
        if !self.accept(&Token::Word("scalar"))? {
            self.word("dims")?;
            dims = self.read("dimensions such as `1x3x224x224`", |word| {
                let dim = |dim: &str| match dim {
                    "B" => Some(Dim::Batch),
                    "T" => Some(Dim::Tokens),
                    size => size.parse().ok().map(Dim::Fixed),
                };
                word.split('x').map(dim).collect()
            })?;
        }
        let dtype = match self.token {
            Token::Word(word) => DTYPES.iter().find(|(name, _)| *name == word).map(|(_, dtype)| *dtype),
            _ => None,
        };
        if dtype.is_some() {
            self.advance()?;
        }
        Ok(Port { name, value, dims, dtype: dtype.unwrap_or(Dtype::F32) })
    }

    pub(super) fn shape(&mut self) -> Result<Shape> {
        let at = self.at;
        let word = self.read("a shape such as `4x8`", |word| Some(word.to_owned()))?;
        let number = |part: &str| part.parse().ok();
        let shape = match word.split('x').collect::<Vec<_>>()[..] {
            ["T", "id"] => Some(Shape::TokenIds),
            ["T", cols] => number(cols).map(|cols| Shape::Tokens { cols }),
            [rows, "id"] => number(rows).map(|rows| Shape::Ids { rows }),
            [rows, cols] => number(rows).zip(number(cols)).map(|(rows, cols)| Shape::Matrix { rows, cols }),
            [channels, height, width] => {
                let both = number(height).zip(number(width));
                number(channels).zip(both).map(|(channels, (height, width))| Shape::Image {
                    channels,
                    height,
                    width,
                })
            }
            _ => None,
        };
        shape.ok_or_else(|| {
            self.at = at;
            invalid("no such shape")
                .expected("two or three dimensions, such as `4x8`, `Tx8` or `Txid`")
                .got(format!("`{word}`"))
        })
    }
}
