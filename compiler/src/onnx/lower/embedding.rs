//! Tables that token ids are looked up in.

use super::super::recognise::Tensor;
use super::super::view::{View, check_size};
use super::{Call, Importer};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::Op;

impl Importer {
    /// The Gather operator with a constant table and token ids for indices.
    pub(super) fn embedding(&mut self, call: &Call<'_>) -> Result<Tensor> {
        let axis = call.node.attributes(&["axis"])?.int_or("axis", 0)?;
        call.at_most(2)?;
        let table = call.required_constant(0, "data")?;
        let Tensor::Ids { x, input } = call.input(1)? else {
            return Err(Error::new(ErrorKind::Internal, "an embedding without ids"));
        };
        let (rows, cols) = match table.dims() {
            &[rows, cols] if axis == 0 && rows > 0 && cols > 0 => (rows, cols),
            dims => {
                return Err(Error::new(
                    ErrorKind::UnsupportedOp,
                    "token ids pick something else than rows of a table",
                )
                .at_field("axis")
                .expected("axis 0 of a matrix")
                .got(format!("axis {axis} of {dims:?}")));
            }
        };
        if self.lengths == Some(*input) {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "an input is both the attention mask and token ids",
            )
            .hint("give the mask as an input of its own, `attention_mask`"));
        }
        let [column] = &x.cols[..] else {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "token ids are repeated before they are looked up",
            ));
        };
        check_size(x.rows, cols)?;
        self.embedded.insert(*input);
        let weight = self.weight(rows, cols, table.floats()?)?;
        let output = self.emit(Op::Embedding { table: weight }, vec![column.value], x.rows, cols)?;
        let dims = x.dims.iter().copied().chain([cols]).collect();
        let whole = View::whole(output, x.rows, cols, dims, x.tokens.clone()).with_batch(x.batch);
        Ok(Tensor::Tokens(View { reversed: x.reversed, ..whole }))
    }
}
