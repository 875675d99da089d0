//! ONNX's shape operators (Reshape, Transpose, Slice, Gather, Split, …), brought to five primitive steps that apply to
//! constants and to tokens alike. May import: `error`, `node`, `tensor`.

use ndarray::{ArcArray, Axis, IxDyn, Order};

use super::node::{Attributes, Node};
use super::tensor::{Const, Data, check_rank, elements};
use crate::error::{Error, ErrorKind, Result};

/// A primitive rearrangement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// The same elements in row-major order under other dimensions.
    Reshape(Vec<usize>),
    /// Output axis `i` is input axis `perm[i]`.
    Transpose(Vec<usize>),
    /// The given indices of an axis, in that order, possibly repeated.
    Take { axis: usize, indices: Vec<usize> },
    /// Replaces an axis by several (or none) with the same product.
    SplitAxis { axis: usize, dims: Vec<usize> },
    /// Inserts an axis of size 1.
    InsertAxis(usize),
}

/// What a node does to its first input, by output. `None`: it is not a shape operator.
///
/// `dims` are those of the first input, `params` the other inputs; no output gets more than `max` elements.
pub(super) fn steps(
    node: &Node,
    opset: i64,
    dims: &[usize],
    params: &[Option<&Const>],
    max: usize,
) -> Result<Option<Vec<Vec<Step>>>> {
    let param = |index: usize| params.get(index).copied().flatten();
    let request = Request { opset, dims, outputs: node.outputs().len(), max };
    let one = |steps: Vec<Step>| Ok(Some(vec![steps]));
    match node.op() {
        "Identity" => {
            node.attributes(&[])?;
            one(Vec::new())
        }
        "Dropout" => {
            node.attributes(&["seed", "ratio"])?;
            if param(1).is_some_and(|training| !training.is_zero()) {
                return Err(Error::new(ErrorKind::UnsupportedOp, "dropout in training mode")
                    .hint("export the model in evaluation mode: `model.eval()`"));
            }
            one(Vec::new())
        }
        "Reshape" => one(vec![request.reshape(&node.attributes(&["allowzero"])?, param(0))?]),
        "Flatten" => one(vec![request.flatten(&node.attributes(&["axis"])?)?]),
        "Transpose" => one(vec![request.transpose(&node.attributes(&["perm"])?)?]),
        "Squeeze" => one(request.squeeze(&node.attributes(axes_attribute(opset))?, param(0))?),
        "Unsqueeze" => one(request.unsqueeze(&node.attributes(axes_attribute(opset))?, param(0))?),
        "Expand" => {
            node.attributes(&[])?;
            one(request.expand(required(param(0), "shape")?)?)
        }
        "Slice" => {
            node.attributes(&[])?;
            one(request.slice([param(0), param(1), param(2), param(3)])?)
        }
        "Gather" => one(request.gather(&node.attributes(&["axis"])?, required(param(0), "indices")?)?),
        "Split" => request.split(&node.attributes(&["axis", "split", "num_outputs"])?, param(0)).map(Some),
        _ => Ok(None),
    }
}

fn axes_attribute(opset: i64) -> &'static [&'static str] {
    if opset < 13 { &["axes"] } else { &[] }
}

fn required<'a>(param: Option<&'a Const>, name: &str) -> Result<&'a Const> {
    param.ok_or_else(|| {
        Error::new(
            ErrorKind::UnsupportedOp,
            format!("input `{name}` is missing or depends on the model's input"),
        )
        .at_field(name)
        .hint("export the model with fixed shapes")
    })
}

/// Turns an axis that may count from the end into an index below `rank`.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize> {
    let wanted = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    wanted.and_then(|a| usize::try_from(a).ok()).filter(|a| *a < rank).ok_or_else(|| {
        Error::new(ErrorKind::ShapeMismatch, "there is no such axis")
            .at_field("axis")
            .expected(format!("an axis of a tensor of rank {rank}"))
            .got(axis.to_string())
    })
}

/// Several axes, each at most once.
pub(super) fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut axes: Vec<usize> = list.iter().map(|a| axis(*a, rank)).collect::<Result<_>>()?;
    axes.sort_unstable();
    if axes.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::new(ErrorKind::BrokenModel, "an axis is named twice")
            .at_field("axes")
            .got(format!("{list:?}")));
    }
    Ok(axes)
}

fn mismatch(what: &str, expected: impl std::fmt::Debug, got: impl std::fmt::Debug) -> Error {
    Error::new(ErrorKind::ShapeMismatch, what).expected(format!("{expected:?}")).got(format!("{got:?}"))
}

/// One shape operator that is being brought to steps.
struct Request<'a> {
    opset: i64,
    dims: &'a [usize],
    outputs: usize,
    max: usize,
}

impl Request<'_> {
    fn reshape(&self, attributes: &Attributes<'_>, shape: Option<&Const>) -> Result<Step> {
        let wanted = required(shape, "shape")?.ints()?;
        let allow_zero = attributes.int_or("allowzero", 0)? != 0;
        let total = elements(self.dims)?;
        let mut open = None;
        let mut dims = Vec::with_capacity(wanted.len());
        for (index, dim) in wanted.iter().enumerate() {
            dims.push(match *dim {
                -1 if open.replace(index).is_some() => {
                    return Err(mismatch("more than one open axis", "one -1", &wanted));
                }
                -1 => 1,
                0 if !allow_zero => {
                    *self.dims.get(index).ok_or_else(|| mismatch("no axis to copy", self.dims, &wanted))?
                }
                n => usize::try_from(n).map_err(|_| mismatch("impossible shape", "sizes", &wanted))?,
            });
        }
        if let Some(index) = open {
            let rest = elements(&dims)?;
            dims[index] = total
                .checked_div(rest)
                .ok_or_else(|| mismatch("the open axis has no size", self.dims, &wanted))?;
        }
        if elements(&dims)? != total {
            return Err(mismatch("the shapes have different numbers of elements", self.dims, &wanted)
                .at_field("shape"));
        }
        Ok(Step::Reshape(dims))
    }

    fn flatten(&self, attributes: &Attributes<'_>) -> Result<Step> {
        let at = attributes.int_or("axis", 1)?;
        let at = if at == self.dims.len() as i64 { self.dims.len() } else { axis(at, self.dims.len())? };
        Ok(Step::Reshape(vec![elements(&self.dims[..at])?, elements(&self.dims[at..])?]))
    }

    fn transpose(&self, attributes: &Attributes<'_>) -> Result<Step> {
        let rank = self.dims.len();
        let Some(list) = attributes.ints("perm")? else {
            return Ok(Step::Transpose((0..rank).rev().collect()));
        };
        let perm: Vec<usize> = list.iter().map(|a| axis(*a, rank)).collect::<Result<_>>()?;
        if axes(list, rank)?.len() != rank {
            return Err(mismatch("not a permutation of the axes", (0..rank).collect::<Vec<_>>(), list)
                .at_field("perm"));
        }
        Ok(Step::Transpose(perm))
    }

    /// The axes of Squeeze and Unsqueeze: an attribute until operator set 12, an input since.
    fn axes(
        &self,
        attributes: &Attributes<'_>,
        input: Option<&Const>,
        rank: usize,
    ) -> Result<Option<Vec<usize>>> {
        let list = match (self.opset < 13, input) {
            (true, _) => attributes.ints("axes")?.map(<[i64]>::to_vec),
            (false, input) => input.map(Const::ints).transpose()?,
        };
        list.map(|list| axes(&list, rank)).transpose()
    }

    fn squeeze(&self, attributes: &Attributes<'_>, input: Option<&Const>) -> Result<Vec<Step>> {
        let axes = self.axes(attributes, input, self.dims.len())?;
        let axes = axes.unwrap_or_else(|| (0..self.dims.len()).filter(|a| self.dims[*a] == 1).collect());
        if let Some(wide) = axes.iter().find(|a| self.dims[**a] != 1) {
            return Err(mismatch("a squeezed axis is not of size 1", 1, self.dims[*wide]).at_field("axes"));
        }
        Ok(axes.into_iter().rev().map(|axis| Step::SplitAxis { axis, dims: Vec::new() }).collect())
    }

    fn unsqueeze(&self, attributes: &Attributes<'_>, input: Option<&Const>) -> Result<Vec<Step>> {
        let count = match (attributes.ints("axes")?, input) {
            (Some(list), _) => list.len(),
            (None, input) => required(input, "axes")?.len(),
        };
        check_rank(self.dims.len() + count)?;
        let axes = self.axes(attributes, input, self.dims.len() + count)?;
        Ok(axes.unwrap_or_default().into_iter().map(Step::InsertAxis).collect())
    }

    fn expand(&self, shape: &Const) -> Result<Vec<Step>> {
        expand(self.dims, &super::tensor::shape(&shape.ints()?)?, self.max)
    }

    fn slice(&self, params: [Option<&Const>; 4]) -> Result<Vec<Step>> {
        let starts = required(params[0], "starts")?.ints()?;
        let ends = required(params[1], "ends")?.ints()?;
        let listed =
            params[2].map(Const::ints).transpose()?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let strides = params[3].map(Const::ints).transpose()?.unwrap_or_else(|| vec![1; starts.len()]);
        if ends.len() != starts.len() || listed.len() != starts.len() || strides.len() != starts.len() {
            return Err(mismatch(
                "starts, ends, axes and steps differ in length",
                starts.len(),
                (ends.len(), listed.len(), strides.len()),
            ));
        }
        axes(&listed, self.dims.len())?;
        let mut steps = Vec::new();
        for (index, listed) in listed.iter().enumerate() {
            let axis = axis(*listed, self.dims.len())?;
            let indices = slice_indices(self.dims[axis], starts[index], ends[index], strides[index])?;
            if !indices.iter().copied().eq(0..self.dims[axis]) {
                steps.push(Step::Take { axis, indices });
            }
        }
        Ok(steps)
    }

    fn gather(&self, attributes: &Attributes<'_>, indices: &Const) -> Result<Vec<Step>> {
        let along = axis(attributes.int_or("axis", 0)?, self.dims.len())?;
        let dims = indices.dims().to_vec();
        let mut out = self.dims.to_vec();
        out.splice(along..=along, dims.iter().copied());
        check_size(&out, self.max)?;
        let size = self.dims[along];
        let index = |i: i64| {
            let counted = if i < 0 { i.checked_add(size as i64) } else { Some(i) };
            counted.and_then(|i| usize::try_from(i).ok()).filter(|i| *i < size).ok_or_else(|| {
                mismatch("an index is out of range", -(size as i64)..size as i64, i).at_field("indices")
            })
        };
        let indices = indices.ints()?.into_iter().map(index).collect::<Result<_>>()?;
        let mut steps = vec![Step::Take { axis: along, indices }];
        if dims.len() != 1 {
            steps.push(Step::SplitAxis { axis: along, dims });
        }
        Ok(steps)
    }

    fn split(&self, attributes: &Attributes<'_>, input: Option<&Const>) -> Result<Vec<Vec<Step>>> {
        let axis = axis(attributes.int_or("axis", 0)?, self.dims.len())?;
        let size = self.dims[axis];
        let listed = match (attributes.ints("split")?, input) {
            (Some(list), _) => Some(list.to_vec()),
            (None, input) => input.map(Const::ints).transpose()?,
        };
        let sizes: Vec<usize> = match listed {
            Some(list) => {
                let size = |size: &i64| {
                    usize::try_from(*size).map_err(|_| mismatch("impossible sizes", "sizes", &list))
                };
                list.iter().map(size).collect::<Result<_>>()?
            }
            None => {
                let parts =
                    usize::try_from(attributes.int_or("num_outputs", self.outputs as i64)?).unwrap_or(0);
                if parts != self.outputs || parts == 0 {
                    return Err(mismatch("`num_outputs` is not the number of outputs", self.outputs, parts));
                }
                let part = size.div_ceil(parts);
                (0..parts).map(|i| part.min(size.saturating_sub(i * part))).collect()
            }
        };
        if sizes.len() != self.outputs
            || sizes.iter().try_fold(0usize, |n, s| n.checked_add(*s)) != Some(size)
        {
            return Err(
                mismatch("the parts don't make up the axis", (self.outputs, size), &sizes).at_field("split")
            );
        }
        let mut start = 0;
        let part = |size: usize| {
            start += size;
            vec![Step::Take { axis, indices: (start - size..start).collect() }]
        };
        Ok(sizes.into_iter().map(part).collect())
    }
}

/// Repeats axes of size 1 as often as other dimensions say; no more than `max` elements.
pub(super) fn expand(dims: &[usize], wanted: &[usize], max: usize) -> Result<Vec<Step>> {
    let out = broadcast(dims, wanted)?;
    check_size(&out, max)?;
    let missing = out.len() - dims.len();
    let mut steps = vec![Step::InsertAxis(0); missing];
    for (axis, size) in out.iter().enumerate() {
        if axis.checked_sub(missing).map_or(1, |a| dims[a]) != *size {
            steps.push(Step::Take { axis, indices: vec![0; *size] });
        }
    }
    Ok(steps)
}

/// Refuses a tensor of more than `max` elements.
pub(super) fn check_size(dims: &[usize], max: usize) -> Result<()> {
    if elements(dims)? <= max {
        return Ok(());
    }
    Err(Error::new(ErrorKind::LimitExceeded, "a tensor is too large")
        .expected(format!("at most {max} elements"))
        .got(format!("{dims:?}"))
        .hint("`--limit elements=N` accepts more"))
}

/// The indices that a slice of an axis of `size` takes.
fn slice_indices(size: usize, start: i64, end: i64, step: i64) -> Result<Vec<usize>> {
    let n = size as i64;
    let from_end = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
    let (start, end) = (from_end(start), from_end(end));
    let stride = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    match step {
        0 => Err(mismatch("a slice has no step", "a step other than 0", step).at_field("steps")),
        1.. => Ok((start.clamp(0, n) as usize..end.clamp(0, n) as usize).step_by(stride).collect()),
        _ => {
            // Both bounds moved up by one, so that "before the first" is 0.
            let (first, last) = (start.clamp(-1, n - 1) + 1, end.clamp(-1, n - 1) + 1);
            Ok((last as usize..first as usize).rev().step_by(stride).collect())
        }
    }
}

/// The shape that two shapes have together by ONNX's (NumPy's) rule.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    (0..rank)
        .map(|axis| match (size(a, axis), size(b, axis)) {
            (1, n) | (n, 1) => Ok(n),
            (m, n) if m == n => Ok(n),
            _ => Err(mismatch("shapes don't fit together", a, b)),
        })
        .collect()
}

/// The shape of tensors joined along an axis; they agree in all others.
pub(super) fn concat_dims(parts: &[&[usize]], axis: usize) -> Result<Vec<usize>> {
    let mut dims = parts[0].to_vec();
    for part in &parts[1..] {
        let fits = part.len() == dims.len() && (0..dims.len()).all(|i| i == axis || part[i] == dims[i]);
        if !fits {
            return Err(mismatch("tensors that are joined differ in another axis", parts[0], part));
        }
        dims[axis] = dims[axis].saturating_add(part[axis]);
    }
    Ok(dims)
}

/// Applies steps to a constant.
pub(super) fn apply(constant: &Const, steps: &[Step]) -> Const {
    fn array<T: Clone>(array: ArcArray<T, IxDyn>, steps: &[Step]) -> ArcArray<T, IxDyn> {
        steps.iter().fold(array, |array, step| {
            let reshaped = |dims: &[usize]| {
                let shaped = array.to_shape((IxDyn(dims), Order::RowMajor));
                shaped.expect("as many elements as before").into_owned().into_shared()
            };
            match step {
                Step::Reshape(dims) => reshaped(dims),
                Step::SplitAxis { axis, dims } => {
                    let mut all = array.shape().to_vec();
                    all.splice(axis..=axis, dims.iter().copied());
                    reshaped(&all)
                }
                Step::Transpose(perm) => array.permuted_axes(IxDyn(perm)),
                Step::Take { axis, indices } => array.select(Axis(*axis), indices).into_shared(),
                Step::InsertAxis(axis) => array.insert_axis(Axis(*axis)),
            }
        })
    }
    let data = match &constant.data {
        Data::F32(a) => Data::F32(array(a.clone(), steps)),
        Data::F16(a) => Data::F16(array(a.clone(), steps)),
        Data::I64(a) => Data::I64(array(a.clone(), steps)),
        Data::Bool(a) => Data::Bool(array(a.clone(), steps)),
    };
    Const { data, origin: constant.origin.clone() }
}
