//! The operators, one short function each, by ONNX's own definition and in no hurry. Nothing here is shared with the
//! kernels or the importer, or their mistakes would judge themselves. May import: `node`, `tensor`, `error`.

mod arrange;
mod attention;
mod conv;
mod elementwise;
mod index;
mod lstm;
mod matmul;
mod reduce;

use super::node::Node;
use super::tensor::Tensor;
use crate::error::{Error, ErrorKind, Result};

/// Most multiply-adds of one node.
const MAX_WORK: usize = 1 << 38;

/// Runs a node's operator; outputs in the node's order.
pub(super) fn run(node: &Node<'_>) -> Result<Vec<Tensor>> {
    let outputs = match node.op() {
        "LSTM" => lstm::lstm(node)?,
        "LayerNormalization" => reduce::layer_normalization(node)?,
        "Split" => index::split(node)?,
        _ => vec![run_single(node)?],
    };
    node.finish(&outputs)?;
    Ok(outputs)
}

/// Operators with one output.
fn run_single(node: &Node<'_>) -> Result<Tensor> {
    match node.op() {
        "Add" | "Sum" | "Sub" | "Mul" | "Div" | "Min" | "Max" => elementwise::arithmetic(node),
        "Pow" => elementwise::pow(node),
        "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" => elementwise::compare(node),
        "And" | "Or" | "Not" => elementwise::logic(node),
        "Sqrt" | "Reciprocal" | "Erf" | "Tanh" | "Sigmoid" | "Relu" | "Exp" | "Log" | "Floor" | "Ceil" => {
            elementwise::function(node)
        }
        "Neg" | "Abs" => elementwise::sign(node),
        "Gelu" => elementwise::gelu(node),
        "Clip" => elementwise::clip(node),
        "IsNaN" => elementwise::is_nan(node),
        "Where" => elementwise::select(node),
        "Cast" => elementwise::cast(node),
        "MatMul" => matmul::matmul(node),
        "Attention" => attention::attention(node),
        "Gemm" => matmul::gemm(node),
        "Conv" => conv::conv(node),
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceL2" => reduce::reduce(node),
        "LpNormalization" => reduce::lp_normalization(node),
        "Softmax" => reduce::softmax(node),
        "Identity" => Ok(node.input(0)?.clone()),
        "Reshape" => arrange::reshape(node),
        "Flatten" => arrange::flatten(node),
        "Squeeze" => arrange::squeeze(node),
        "Unsqueeze" => arrange::unsqueeze(node),
        "Transpose" => arrange::transpose(node),
        "Expand" => arrange::expand(node),
        "Shape" => arrange::shape(node),
        "Size" => Tensor::int(&[], vec![i64::try_from(node.input(0)?.len()).unwrap_or(i64::MAX)]),
        "Constant" => arrange::constant(node),
        "ConstantOfShape" => arrange::constant_of_shape(node),
        "Range" => arrange::range(node),
        "Concat" => index::concat(node),
        "Slice" => index::slice(node),
        "Gather" => index::gather(node),
        other => Err(Error::new(ErrorKind::UnsupportedOp, format!("unknown operator `{other}`"))
            .hint("the reference knows the operators of exported Transformers and LSTMs")),
    }
}

/// Refuses a product of sizes that nobody would wait for.
fn check_work(factors: &[usize]) -> Result<()> {
    let work = factors.iter().try_fold(1usize, |n, &f| n.checked_mul(f.max(1)).filter(|&n| n <= MAX_WORK));
    match work {
        Some(_) => Ok(()),
        None => Err(Error::new(ErrorKind::LimitExceeded, "a node with too many multiply-adds")
            .expected(format!("at most {MAX_WORK}"))
            .got(format!("{factors:?} multiplied"))),
    }
}
