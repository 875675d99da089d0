//! The DeiT around the mixers: patch embedding, tokens, blocks, classifier. May import: `config`, `graph`, `mixer`,
//! `weights`.

use std::rc::Rc;

use crate::config::{Gelu, Size};
use crate::graph::{Axis, Element, GraphBuilder, float, i64_tensor, index, int, ints, string, tensor};
use crate::mixer;
use crate::weights::Weights;

const EPSILON: f32 = 1e-6;

/// `image` (batch × channels × image × image) → `logits` (batch × classes).
pub(crate) fn build(weights: &Rc<Weights>, graph: &mut GraphBuilder) {
    let Size { image, channels, depth, classes, .. } = weights.config.size;
    let batch = weights.config.batch.map_or(Axis::Open("batch"), Axis::Fixed);
    let image_axes = [batch, Axis::Fixed(channels), Axis::Fixed(image), Axis::Fixed(image)];
    graph.input("image", Element::F32, &image_axes);
    let mut x = embed(weights, graph);
    for block in 0..depth {
        let scope = format!("blocks.{block}");
        let normed = layer_norm(weights, graph, &format!("{scope}/norm1"), &x);
        let mixed = if weights.config.is_replaced(block) {
            mixer::lstm(weights, graph, block, &normed)
        } else {
            mixer::attention(weights, graph, block, &normed)
        };
        x = graph.node(&scope, "Add", &[&x, &mixed], vec![]);
        let normed = layer_norm(weights, graph, &format!("{scope}/norm2"), &x);
        let out = mlp(weights, graph, &format!("{scope}/mlp"), &normed);
        x = graph.node(&scope, "Add", &[&x, &out], vec![]);
    }
    let x = layer_norm(weights, graph, "norm", &x);
    classify(weights, graph, &x);
    graph.output("logits", &[batch, Axis::Fixed(classes)]);
}

/// `x · W + b`, each named after its module: `1 × T × inputs` → `1 × T × outputs`.
pub(crate) fn linear(
    weights: &Rc<Weights>,
    graph: &mut GraphBuilder,
    scope: &str,
    x: &str,
    [inputs, outputs]: [usize; 2],
    gain: f64,
) -> String {
    let module = scope.replace('/', ".");
    let (source, name) = (Rc::clone(weights), format!("{module}.weight"));
    let weight =
        graph.derived("MatMul", &[inputs, outputs], move || source.linear(&name, inputs, outputs, gain).data);
    let product = graph.node(scope, "MatMul", &[x, &weight], vec![]);
    let bias = vector(weights, graph, &format!("{module}.bias"), &[outputs], 0.0, 0.05);
    graph.node(scope, "Add", &[&bias, &product], vec![])
}

fn vector(
    weights: &Rc<Weights>,
    graph: &mut GraphBuilder,
    name: &str,
    dims: &[usize],
    mean: f32,
    std: f64,
) -> String {
    let (source, key, len) = (Rc::clone(weights), name.to_owned(), dims.iter().product());
    graph.parameter(name.to_owned(), dims, move || source.vector(&key, len, mean, std))
}

/// Image → `1 × T × D`, with the extra tokens first and the positions added.
fn embed(weights: &Rc<Weights>, graph: &mut GraphBuilder) -> String {
    let Size { patch, channels, width, distilled, .. } = weights.config.size;
    let tokens = weights.config.size.tokens();
    let fan_in = (channels * patch * patch) as f64;
    let dims = [width, channels, patch, patch];
    let weight = vector(weights, graph, "patch_embed.proj.weight", &dims, 0.0, 1.0 / fan_in.sqrt());
    let bias = vector(weights, graph, "patch_embed.proj.bias", &[width], 0.0, 0.1);
    let side = index(patch);
    let attributes = vec![
        ints("dilations", &[1, 1]),
        int("group", 1),
        ints("kernel_shape", &[side, side]),
        ints("pads", &[0, 0, 0, 0]),
        ints("strides", &[side, side]),
    ];
    let x = graph.node("patch_embed/proj", "Conv", &["image", &weight, &bias], attributes);

    let shape = graph.node("patch_embed", "Shape", &[&x], vec![]);
    let axis = graph.constant_i64("patch_embed", &[1], &[0]);
    let start = graph.constant_i64("patch_embed", &[1], &[0]);
    let end = graph.constant_i64("patch_embed", &[1], &[2]);
    let kept = graph.node("patch_embed", "Slice", &[&shape, &start, &end, &axis], vec![]);
    let rest = graph.constant_i64("patch_embed", &[1], &[-1]);
    let shape = graph.concat("patch_embed", &[&kept, &rest], 0);
    let x = graph.reshape_to("patch_embed", &x, &shape);
    let patches = graph.transpose("patch_embed", &x, &[0, 2, 1]);

    let mut rows = vec![extra_token(weights, graph, "cls_token", &patches)];
    if distilled {
        rows.push(extra_token(weights, graph, "dist_token", &patches));
    }
    rows.push(patches);
    let x = graph.concat("", &rows.iter().map(String::as_str).collect::<Vec<_>>(), 1);
    let positions = vector(weights, graph, "pos_embed", &[1, tokens, width], 0.0, 0.2);
    graph.node("", "Add", &[&x, &positions], vec![])
}

/// The exporter's chain for `token.expand(batch, -1, -1)`.
fn extra_token(weights: &Rc<Weights>, graph: &mut GraphBuilder, name: &str, patches: &str) -> String {
    let token = vector(weights, graph, name, &[1, 1, weights.config.size.width], 0.0, 0.2);
    let wanted = match weights.config.batch {
        Some(batch) => graph.constant_i64("", &[3], &[index(batch), -1, -1]),
        None => {
            let shape = graph.node("", "Shape", &[patches], vec![]);
            let first = graph.constant_i64("", &[1], &[0]);
            let batch = graph.node("", "Gather", &[&shape, &first], vec![int("axis", 0)]);
            let kept = graph.constant_i64("", &[1], &[-1]);
            graph.concat("", &[&batch, &kept, &kept], 0)
        }
    };
    let rank = graph.constant_i64("", &[1], &[3]);
    let one = tensor("value", i64_tensor(&[1], &[1]));
    let ones = graph.node("", "ConstantOfShape", &[&rank], vec![one]);
    let minus = graph.constant_i64("", &[], &[-1]);
    let unset = graph.node("", "Mul", &[&ones, &minus], vec![]);
    let is_unset = graph.node("", "Equal", &[&wanted, &unset], vec![]);
    let shape = graph.node("", "Where", &[&is_unset, &ones, &wanted], vec![]);
    graph.node("", "Expand", &[&token, &shape], vec![])
}

pub(crate) fn layer_norm(weights: &Rc<Weights>, graph: &mut GraphBuilder, scope: &str, x: &str) -> String {
    let width = weights.config.size.width;
    let module = scope.replace('/', ".");
    let scale = vector(weights, graph, &format!("{module}.weight"), &[width], 1.0, 0.1);
    let shift = vector(weights, graph, &format!("{module}.bias"), &[width], 0.0, 0.1);
    if graph.opset >= 17 && !weights.config.decomposed {
        let attributes = vec![int("axis", -1), float("epsilon", EPSILON)];
        return graph.node(scope, "LayerNormalization", &[x, &scale, &shift], attributes);
    }
    let mean = graph.with_axes(scope, "ReduceMean", x, &[-1], vec![int("keepdims", 1)], 18);
    let centred = graph.node(scope, "Sub", &[x, &mean], vec![]);
    let two = graph.constant_f32(scope, &[], &[2.0]);
    let squared = graph.node(scope, "Pow", &[&centred, &two], vec![]);
    let variance = graph.with_axes(scope, "ReduceMean", &squared, &[-1], vec![int("keepdims", 1)], 18);
    let epsilon = graph.constant_f32(scope, &[], &[EPSILON]);
    let variance = graph.node(scope, "Add", &[&variance, &epsilon], vec![]);
    let deviation = graph.node(scope, "Sqrt", &[&variance], vec![]);
    let normed = graph.node(scope, "Div", &[&centred, &deviation], vec![]);
    let scaled = graph.node(scope, "Mul", &[&normed, &scale], vec![]);
    graph.node(scope, "Add", &[&scaled, &shift], vec![])
}

pub(crate) fn mlp(weights: &Rc<Weights>, graph: &mut GraphBuilder, scope: &str, x: &str) -> String {
    let Size { width, mlp, .. } = weights.config.size;
    let x = linear(weights, graph, &format!("{scope}/fc1"), x, [width, mlp], 1.0);
    let x = gelu(weights.config.gelu, weights.config.decomposed, graph, &format!("{scope}/act"), &x);
    linear(weights, graph, &format!("{scope}/fc2"), &x, [mlp, width], 0.8)
}

fn gelu(form: Gelu, decomposed: bool, graph: &mut GraphBuilder, scope: &str, x: &str) -> String {
    if graph.opset >= 20 && !decomposed {
        let approximate = match form {
            Gelu::Erf => "none",
            Gelu::Tanh => "tanh",
        };
        return graph.node(scope, "Gelu", &[x], vec![string("approximate", approximate)]);
    }
    match form {
        Gelu::Erf => {
            let root_two = graph.constant_f32(scope, &[], &[std::f32::consts::SQRT_2]);
            let scaled = graph.node(scope, "Div", &[x, &root_two], vec![]);
            let erf = graph.node(scope, "Erf", &[&scaled], vec![]);
            let one = graph.constant_f32(scope, &[], &[1.0]);
            let sum = graph.node(scope, "Add", &[&erf, &one], vec![]);
            let product = graph.node(scope, "Mul", &[x, &sum], vec![]);
            let half = graph.constant_f32(scope, &[], &[0.5]);
            graph.node(scope, "Mul", &[&product, &half], vec![])
        }
        Gelu::Tanh => {
            let half = graph.constant_f32(scope, &[], &[0.5]);
            let halved = graph.node(scope, "Mul", &[x, &half], vec![]);
            let three = graph.constant_f32(scope, &[], &[3.0]);
            let cube = graph.node(scope, "Pow", &[x, &three], vec![]);
            let cubic = graph.constant_f32(scope, &[], &[0.044_715]);
            let cube = graph.node(scope, "Mul", &[&cube, &cubic], vec![]);
            let sum = graph.node(scope, "Add", &[x, &cube], vec![]);
            let factor = graph.constant_f32(scope, &[], &[(2.0 / std::f64::consts::PI).sqrt() as f32]);
            let scaled = graph.node(scope, "Mul", &[&sum, &factor], vec![]);
            let tanh = graph.node(scope, "Tanh", &[&scaled], vec![]);
            let one = graph.constant_f32(scope, &[], &[1.0]);
            let tanh = graph.node(scope, "Add", &[&tanh, &one], vec![]);
            graph.node(scope, "Mul", &[&halved, &tanh], vec![])
        }
    }
}

/// `1 × T × D` → `1 × classes`: the class token's answer, or its mean with the distillation token's.
fn classify(weights: &Rc<Weights>, graph: &mut GraphBuilder, x: &str) {
    let head = |graph: &mut GraphBuilder, module: &str, token: i64| {
        let Size { width, classes, .. } = weights.config.size;
        let at = graph.constant_i64("", &[], &[token]);
        let row = graph.node("", "Gather", &[x, &at], vec![int("axis", 1)]);
        let std = 1.0 / (width as f64).sqrt();
        let weight = vector(weights, graph, &format!("{module}.weight"), &[classes, width], 0.0, std);
        let bias = vector(weights, graph, &format!("{module}.bias"), &[classes], 0.0, 0.05);
        let attributes = vec![float("alpha", 1.0), float("beta", 1.0), int("transB", 1)];
        graph.node(module, "Gemm", &[&row, &weight, &bias], attributes)
    };
    let class = head(graph, "head", 0);
    if weights.config.size.distilled {
        let distilled = head(graph, "head_dist", 1);
        let sum = graph.node("", "Add", &[&class, &distilled], vec![]);
        let two = graph.constant_f32("", &[], &[2.0]);
        graph.node("", "Div", &[&sum, &two], vec![]);
    }
}
