//! The patch embedding: a convolution whose stride is its kernel.

use super::super::node::unsupported;
use super::super::rearrange::{self, Step};
use super::super::recognise::Tensor;
use super::super::view::{View, check_size};
use super::{Call, Importer};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::Op;

impl Importer {
    /// The Conv operator.
    pub(super) fn conv(&mut self, call: &Call<'_>) -> Result<Tensor> {
        const HINT: &str = "only a patch embedding is supported: kernel = stride, no padding, no groups";
        let attributes =
            call.node.attributes(&["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"])?;
        call.at_most(3)?;
        let Tensor::Image { value, dims: [elements, channels, height, width] } = *call.input(0)? else {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "a convolution reads something else than the image",
            )
            .hint(HINT));
        };
        let weight = call.required_constant(1, "W")?;
        let [cols, depth, ph, pw] = *weight.dims() else {
            return Err(Error::new(
                ErrorKind::ShapeMismatch,
                "the weights of a convolution have the wrong rank",
            )
            .at_field("W")
            .expected(format!("[D, {channels}, height, width]"))
            .got(format!("{:?}", weight.dims())));
        };
        if depth != channels || cols == 0 || ph == 0 || pw == 0 {
            return Err(Error::new(
                ErrorKind::ShapeMismatch,
                "the weights of a convolution don't fit the image",
            )
            .at_field("W")
            .expected(format!("[D, {channels}, height, width]"))
            .got(format!("{:?}", weight.dims())));
        }
        attributes.only_int("group", 1, HINT)?;
        if let Some(mode) = attributes.string("auto_pad")?.filter(|mode| !matches!(*mode, "NOTSET" | "VALID"))
        {
            return Err(unsupported("auto_pad", "NOTSET", mode, HINT));
        }
        let kernel = [ph as i64, pw as i64];
        let wanted: [(&str, &[i64], &[i64]); 4] = [
            ("kernel_shape", &kernel, &kernel),
            ("strides", &kernel, &[1, 1]),
            ("dilations", &[1, 1], &[1, 1]),
            ("pads", &[0, 0, 0, 0], &[0, 0, 0, 0]),
        ];
        for (name, wanted, default) in wanted {
            let got = attributes.ints(name)?.unwrap_or(default);
            if got != wanted {
                return Err(unsupported(name, format!("{wanted:?}"), format!("{got:?}"), HINT));
            }
        }
        if height % ph != 0 || width % pw != 0 {
            return Err(Error::new(ErrorKind::ShapeMismatch, "the image is not a whole number of patches")
                .expected(format!("multiples of {ph} and {pw}"))
                .got(format!("{height} and {width}")));
        }
        let (across, down) = (width / pw, height / ph);
        check_size(across.saturating_mul(down), cols)?;
        let bias = match call.constant(2, "B")? {
            Some(bias) if bias.len() != cols => {
                return Err(Error::new(
                    ErrorKind::ShapeMismatch,
                    "the bias of a convolution has the wrong size",
                )
                .at_field("B")
                .expected(cols.to_string())
                .got(bias.len().to_string()));
            }
            None => None,
            Some(bias) => Some(self.vector(bias.floats()?)?),
        };
        let flat = Step::Reshape(vec![cols, depth * ph * pw]);
        let weight = rearrange::apply(weight, &[flat, Step::Transpose(vec![1, 0])]).floats()?;
        let weight = self.weight(depth * ph * pw, cols, weight)?;
        let op = Op::PatchEmbed { patch: [ph, pw], weight, bias };
        let output = self.emit(op, vec![value], down * across, cols)?;
        let view = View::whole(output, down * across, cols, vec![elements, cols, down, across], 2..4);
        Ok(Tensor::Tokens(view.with_batch((elements > 1).then_some(0))))
    }
}
