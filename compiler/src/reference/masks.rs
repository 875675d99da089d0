//! Applies mask files for the judge, independently of the compiler's own way. A mask has the name and the layout that
//! its parameter has in PyTorch; the exporter renames, transposes and reorders, so most parameters are found by the
//! node that reads them, whose name holds the module's path. May import: `tensor`, `trace`,
//! `error`.

use ndarray::{ArrayViewMutD, Axis};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tract_onnx::pb::NodeProto;

use super::Model;
use super::tensor::Tensor;
use super::trace::module_of;
use crate::error::{Error, ErrorKind, Result};

/// Where ONNX's gates i, o, f, c stand among PyTorch's i, f, g, o.
const GATES: [usize; 4] = [0, 3, 1, 2];

/// A 0/1 matrix (or vector, or kernel) by the name of its parameter.
struct Mask<'a> {
    name: &'a str,
    shape: Vec<usize>,
    data: Vec<f64>,
}

pub(super) fn apply(model: &mut Model, safetensors: &[u8]) -> Result<usize> {
    let file = SafeTensors::deserialize(safetensors)
        .map_err(|e| Error::new(ErrorKind::BadMask, format!("not a safetensors file: {e}")))?;
    for (name, view) in file.iter() {
        let mask = read(name, &view)?;
        let found = apply_one(model, &mask).map_err(|e| e.at_node(name))?;
        if !found {
            return Err(Error::new(
                ErrorKind::BadMask,
                format!("mask `{name}` fits no parameter of the model"),
            )
            .at_node(name)
            .hint("masks are named after PyTorch's parameters, e.g. `blocks.0.attn.lstm.weight_ih_l0`"));
        }
    }
    Ok(file.len())
}

fn read<'a>(name: &'a str, view: &TensorView<'_>) -> Result<Mask<'a>> {
    let bad = |what: String| Error::new(ErrorKind::BadMask, what).at_node(name);
    let data: Vec<f64> = match view.dtype() {
        Dtype::F32 => {
            let floats = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            floats.map(f64::from).collect()
        }
        Dtype::BOOL | Dtype::U8 => view.data().iter().map(|&b| f64::from(b)).collect(),
        other => {
            let error = bad(format!("mask `{name}` has an unexpected type"));
            return Err(error.expected("F32, BOOL or U8").got(format!("{other:?}")));
        }
    };
    if let Some(value) = data.iter().find(|&&v| v != 0.0 && v != 1.0) {
        return Err(bad(format!("mask `{name}` is no mask")).expected("0 or 1").got(value.to_string()));
    }
    Ok(Mask { name, shape: view.shape().to_vec(), data })
}

/// Whether the mask's parameter is there; it is masked then.
fn apply_one(model: &mut Model, mask: &Mask<'_>) -> Result<bool> {
    if let Some(Tensor::Real(parameter)) = model.constants.get_mut(mask.name) {
        multiply(parameter.view_mut().into_dyn(), mask, &mask.data)?;
        return Ok(true);
    }
    let Some((module, parameter)) = mask.name.rsplit_once('.') else { return Ok(false) };
    if parameter == "weight" {
        return linear(model, module, mask);
    }
    match lstm_parameter(parameter) {
        Some((input, layer, reverse)) => lstm(model, module, input, layer, reverse, mask),
        None => Ok(false),
    }
}

/// `weight` of a Linear: input 1 of its `MatMul` (transposed) or `Gemm`.
fn linear(model: &mut Model, module: &str, mask: &Mask<'_>) -> Result<bool> {
    let readers = nodes_of(&model.nodes, module, &["MatMul", "Gemm"]);
    let [reader] = readers[..] else { return Ok(false) };
    let as_stored =
        reader.op_type == "Gemm" && reader.attribute.iter().any(|a| a.name == "transB" && a.i == 1);
    let stored = reader.input.get(1).map(|name| stored(model, name).to_owned());
    let Some(Tensor::Real(weight)) = stored.and_then(|name| model.constants.get_mut(&name)) else {
        return Ok(false);
    };
    let mut weight = weight.view_mut().into_dyn();
    if !as_stored {
        weight = weight.reversed_axes();
    }
    multiply(weight, mask, &mask.data)?;
    Ok(true)
}

/// The constant behind a value: itself, or what a `Cast` widens to it.
fn stored<'a>(model: &'a Model, name: &'a str) -> &'a str {
    let widens = |node: &&NodeProto| {
        node.op_type == "Cast" && node.output.first().is_some_and(|output| output == name)
    };
    model.nodes.iter().find(widens).and_then(|cast| cast.input.first()).map_or(name, |input| input)
}

/// One direction of input `input` of the LSTM node that is the module's layer.
fn lstm(
    model: &mut Model,
    module: &str,
    input: usize,
    layer: usize,
    reverse: bool,
    mask: &Mask<'_>,
) -> Result<bool> {
    let Some(&reader) = nodes_of(&model.nodes, module, &["LSTM"]).get(layer) else { return Ok(false) };
    let direction = reader.attribute.iter().find(|a| a.name == "direction").map_or(&b"forward"[..], |a| &a.s);
    let index = match (direction, reverse) {
        (b"bidirectional", _) => usize::from(reverse),
        (b"forward", false) | (b"reverse", true) => 0,
        _ => return Ok(false),
    };
    let stored = reader.input.get(input).map(|name| stored(model, name).to_owned());
    let Some(Tensor::Real(weight)) = stored.and_then(|name| model.constants.get_mut(&name)) else {
        return Ok(false);
    };
    let mut weight = weight.view_mut().into_dyn();
    if weight.ndim() != 3 || index >= weight.shape()[0] {
        return Ok(false);
    }
    weight.collapse_axis(Axis(0), index);
    let weight = weight.index_axis_move(Axis(0), 0);
    let gate = mask.data.len() / 4;
    let reordered: Vec<f64> =
        GATES.iter().flat_map(|&g| &mask.data[g * gate..(g + 1) * gate]).copied().collect();
    multiply(weight, mask, &reordered)?;
    Ok(true)
}

/// Input of the LSTM node, layer and direction behind a name such as `weight_hh_l0_reverse`.
fn lstm_parameter(name: &str) -> Option<(usize, usize, bool)> {
    let (name, reverse) = name.strip_suffix("_reverse").map_or((name, false), |name| (name, true));
    let (kind, layer) = name.rsplit_once("_l")?;
    let input = match kind {
        "weight_ih" => 1,
        "weight_hh" => 2,
        _ => return None,
    };
    Some((input, layer.parse().ok()?, reverse))
}

/// Nodes of some operators that belong to a module.
fn nodes_of<'a>(nodes: &'a [NodeProto], module: &str, ops: &[&str]) -> Vec<&'a NodeProto> {
    nodes.iter().filter(|node| ops.contains(&node.op_type.as_str()) && module_of(node) == module).collect()
}

/// `parameter ⊙= data`, which has the mask's shape.
fn multiply(mut parameter: ArrayViewMutD<'_, f64>, mask: &Mask<'_>, data: &[f64]) -> Result<()> {
    if parameter.shape() != mask.shape || parameter.len() != data.len() {
        return Err(Error::new(
            ErrorKind::BadMask,
            format!("mask `{}` has another shape than its parameter", mask.name),
        )
        .expected(format!("{:?}", parameter.shape()))
        .got(format!("{:?}", mask.shape)));
    }
    for (value, live) in parameter.iter_mut().zip(data) {
        *value *= live;
    }
    Ok(())
}
