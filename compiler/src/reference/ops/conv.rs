//! `Conv` over images.

use ndarray::{Array2, ArrayView4, Axis, Ix1, Ix4, Slice};

use super::check_work;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::node::Node;
use crate::reference::tensor::{Tensor, checked_len};

/// One spatial axis: where a kernel stands, and how often.
struct Span {
    stride: usize,
    dilation: usize,
    pad: usize,
    input: usize,
    output: usize,
}

impl Span {
    /// Input coordinate of a tap; `None` in the padding.
    fn at(&self, output: usize, tap: usize) -> Option<usize> {
        (output * self.stride + tap * self.dilation).checked_sub(self.pad).filter(|&i| i < self.input)
    }
}

/// `N × C × H × W` and `M × C/group × kH × kW` to `N × M × H' × W'`.
pub(super) fn conv(node: &Node<'_>) -> Result<Tensor> {
    let images = |index: usize| -> Result<ArrayView4<'_, f64>> {
        let x = node.input(index)?.as_real()?;
        let shape = x.shape().to_vec();
        x.into_dimensionality::<Ix4>()
            .map_err(|_| node.shape_error(format!("input {index} must be of images"), "4 dimensions", &shape))
    };
    let (x, w) = (images(0)?, images(1)?);
    let (batch, channels, _, _) = x.dim();
    let (maps, per_group, kernel_h, kernel_w) = w.dim();
    let group = usize::try_from(node.int("group", 1)?).unwrap_or(0);
    if group == 0 || !maps.is_multiple_of(group) || per_group.checked_mul(group) != Some(channels) {
        return Err(node.shape_error(
            "groups don't fit",
            format!("{channels} channels"),
            &(group, w.shape()),
        ));
    }
    let bias = match node.optional(2) {
        None => vec![0.0; maps],
        Some(bias) => match bias.as_real()?.into_dimensionality::<Ix1>() {
            Ok(bias) if bias.len() == maps => bias.to_vec(),
            _ => return Err(node.shape_error("bias does not fit", format!("[{maps}]"), bias.shape())),
        },
    };
    let [rows, cols] = spans(node, [x.dim().2, x.dim().3], [kernel_h, kernel_w])?;
    let shape = [batch, maps, rows.output, cols.output];
    checked_len(&shape)?;
    check_work(&[batch, maps, rows.output, cols.output, per_group, kernel_h, kernel_w])?;

    // Each group's kernels as rows, and what they see at each place as columns: the products are one matrix product.
    let taps = checked_len(&[per_group, kernel_h, kernel_w])?;
    let places = checked_len(&[rows.output, cols.output])?;
    checked_len(&[taps, places])?;
    let maps_of_group = maps / group;
    let mut out = Vec::new();
    for (n, g) in (0..batch).flat_map(|n| (0..group).map(move |g| (n, g))) {
        let seen = Array2::from_shape_fn([taps, places], |(tap, place)| {
            let (channel, within) = (tap / (kernel_h * kernel_w), tap % (kernel_h * kernel_w));
            let y = rows.at(place / cols.output, within / kernel_w);
            let x_at = cols.at(place % cols.output, within % kernel_w);
            y.zip(x_at).map_or(0.0, |(y, x_at)| x[[n, g * per_group + channel, y, x_at]])
        });
        let first = g * maps_of_group;
        let kernels: Vec<f64> =
            w.slice_axis(Axis(0), Slice::from(first..first + maps_of_group)).iter().copied().collect();
        let kernels = Array2::from_shape_vec([maps_of_group, taps], kernels)
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        for (map, row) in kernels.dot(&seen).outer_iter().enumerate() {
            out.extend(row.iter().map(|sum| sum + bias[first + map]));
        }
    }
    Tensor::real(&shape, out)
}

fn spans(node: &Node<'_>, input: [usize; 2], kernel: [usize; 2]) -> Result<[Span; 2]> {
    let list = |name: &'static str, default: &[i64]| -> Result<Vec<usize>> {
        let given = node.int_list(name)?.unwrap_or(default);
        let sizes: Vec<usize> = given.iter().filter_map(|&v| usize::try_from(v).ok()).collect();
        if given.len() != default.len() || sizes.len() != given.len() || sizes.iter().any(|&v| v > 1 << 20) {
            return Err(node.bad_attribute(name, &format!("has unexpected values {given:?}")));
        }
        Ok(sizes)
    };
    let (strides, dilations, pads) =
        (list("strides", &[1, 1])?, list("dilations", &[1, 1])?, list("pads", &[0, 0, 0, 0])?);
    if let Some(given) = node.int_list("kernel_shape")?
        && !given.iter().map(|&v| usize::try_from(v).ok()).eq(kernel.map(Some))
    {
        return Err(node.shape_error("kernel_shape is not the weight's", format!("{kernel:?}"), given));
    }
    let auto = node.string("auto_pad", "NOTSET")?;
    let span = |axis: usize| -> Result<Span> {
        let (stride, dilation, kernel) = (strides[axis], dilations[axis], kernel[axis]);
        if stride == 0 || dilation == 0 || kernel == 0 || kernel > 1 << 20 {
            return Err(node.shape_error(
                "a stride, dilation or kernel",
                "1 to 2^20",
                &(stride, dilation, kernel),
            ));
        }
        let reach = (kernel - 1) * dilation + 1;
        let [before, after] = match auto {
            "NOTSET" => [pads[axis], pads[axis + 2]],
            "VALID" => [0, 0],
            "SAME_UPPER" | "SAME_LOWER" => {
                let windows = input[axis].div_ceil(stride);
                let total = (windows.saturating_sub(1) * stride + reach).saturating_sub(input[axis]);
                let (small, large) = (total / 2, total.div_ceil(2));
                if auto == "SAME_UPPER" { [small, large] } else { [large, small] }
            }
            other => return Err(node.bad_attribute("auto_pad", &format!("is `{other}`"))),
        };
        let padded = input[axis] + before + after;
        let output = padded.checked_sub(reach).map_or(0, |room| room / stride + 1);
        Ok(Span { stride, dilation, pad: before, input: input[axis], output })
    };
    Ok([span(0)?, span(1)?])
}
