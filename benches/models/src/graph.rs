//! Builds a graph node by node under the names that PyTorch's exporter gives. Tensors of weights are made only when the
//! file is written. May import: `onnx`.

use std::collections::HashMap;

use crate::onnx::{
    Attribute, AttributeType, BOOL, Dimension, FLOAT, INT32, INT64, Node, Tensor, TensorShape, TensorType,
    Type, ValueInfo,
};

/// A tensor of weights that is made when it is needed.
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) dims: Vec<usize>,
    pub(crate) fill: Box<dyn Fn() -> Vec<f32>>,
}

/// A graph under construction. Methods that add a node return the name of its output.
pub(crate) struct GraphBuilder {
    pub(crate) opset: i64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) inputs: Vec<ValueInfo>,
    pub(crate) outputs: Vec<ValueInfo>,
    /// The tensor of the sequences' lengths that LSTMs are given, if any.
    pub(crate) lengths: Option<String>,
    used: HashMap<String, usize>,
    anonymous: usize,
}

impl GraphBuilder {
    pub(crate) fn new(opset: i64) -> Self {
        Self {
            opset,
            nodes: Vec::new(),
            parameters: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            lengths: None,
            used: HashMap::new(),
            anonymous: 0,
        }
    }

    /// A node of a module: `scope` is the module's path with slashes, empty for the model itself.
    pub(crate) fn node(
        &mut self,
        scope: &str,
        op: &str,
        inputs: &[&str],
        attributes: Vec<Attribute>,
    ) -> String {
        self.node_with_outputs(scope, op, inputs, attributes, 1).swap_remove(0)
    }

    pub(crate) fn node_with_outputs(
        &mut self,
        scope: &str,
        op: &str,
        inputs: &[&str],
        attributes: Vec<Attribute>,
        outputs: usize,
    ) -> Vec<String> {
        let path = if scope.is_empty() { format!("/{op}") } else { format!("/{scope}/{op}") };
        let earlier = self.used.entry(path.clone()).or_default();
        let name = if *earlier == 0 { path } else { format!("{path}_{earlier}") };
        *earlier += 1;
        let output: Vec<String> = (0..outputs).map(|i| format!("{name}_output_{i}")).collect();
        self.nodes.push(Node {
            input: inputs.iter().map(|&i| i.to_owned()).collect(),
            output: output.clone(),
            name,
            op_type: op.to_owned(),
            attribute: attributes,
        });
        output
    }

    /// Gives the last node's only output the name of a model output, and declares that.
    pub(crate) fn output(&mut self, name: &str, axes: &[Axis]) {
        let node = self.nodes.last_mut().expect("an output needs a node");
        node.output = vec![name.to_owned()];
        self.outputs.push(value_info(name, Element::F32, axes));
    }

    pub(crate) fn input(&mut self, name: &str, element: Element, axes: &[Axis]) {
        self.inputs.push(value_info(name, element, axes));
    }

    pub(crate) fn constant_i64(&mut self, scope: &str, dims: &[usize], values: &[i64]) -> String {
        self.node(scope, "Constant", &[], vec![tensor("value", i64_tensor(dims, values))])
    }

    pub(crate) fn constant_f32(&mut self, scope: &str, dims: &[usize], values: &[f32]) -> String {
        self.node(scope, "Constant", &[], vec![tensor("value", f32_tensor("", dims, values))])
    }

    /// A parameter that keeps its name in PyTorch.
    pub(crate) fn parameter(
        &mut self,
        name: String,
        dims: &[usize],
        fill: impl Fn() -> Vec<f32> + 'static,
    ) -> String {
        self.parameters.push(Parameter { name: name.clone(), dims: dims.to_vec(), fill: Box::new(fill) });
        name
    }

    /// A parameter that the exporter transposed or reordered, and renamed after the operator that reads it.
    pub(crate) fn derived(
        &mut self,
        op: &str,
        dims: &[usize],
        fill: impl Fn() -> Vec<f32> + 'static,
    ) -> String {
        let name = self.fresh(op);
        self.parameter(name, dims, fill)
    }

    /// A node that the exporter inserted outside of any module; `reader` is the operator that will read its output.
    pub(crate) fn loose(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<Attribute>,
        reader: &str,
    ) -> String {
        let output = self.fresh(reader);
        self.nodes.push(Node {
            input: inputs.iter().map(|&i| i.to_owned()).collect(),
            output: vec![output.clone()],
            name: format!("{op}_{}", self.nodes.len()),
            op_type: op.to_owned(),
            attribute: attributes,
        });
        output
    }

    pub(crate) fn loose_i64(&mut self, dims: &[usize], values: &[i64], reader: &str) -> String {
        self.loose("Constant", &[], vec![tensor("value", i64_tensor(dims, values))], reader)
    }

    /// The next name of the exporter's for a value that belongs to no module.
    fn fresh(&mut self, op: &str) -> String {
        self.anonymous += 1;
        format!("onnx::{op}_{}", self.anonymous)
    }

    /// `axes` as the operator set wants it: an input from `since` on, an attribute before.
    pub(crate) fn with_axes(
        &mut self,
        scope: &str,
        op: &str,
        input: &str,
        axes: &[i64],
        mut attributes: Vec<Attribute>,
        since: i64,
    ) -> String {
        if self.opset >= since {
            let axes = self.constant_i64(scope, &[axes.len()], axes);
            self.node(scope, op, &[input, &axes], attributes)
        } else {
            attributes.push(ints("axes", axes));
            self.node(scope, op, &[input], attributes)
        }
    }

    pub(crate) fn squeeze(&mut self, scope: &str, input: &str, axis: i64) -> String {
        self.with_axes(scope, "Squeeze", input, &[axis], vec![], 13)
    }

    /// Cuts into `count` pieces of `len` along `axis`.
    pub(crate) fn split(
        &mut self,
        scope: &str,
        input: &str,
        axis: i64,
        count: usize,
        len: usize,
    ) -> Vec<String> {
        let sizes = vec![index(len); count];
        if self.opset >= 13 {
            let sizes = self.constant_i64(scope, &[count], &sizes);
            self.node_with_outputs(scope, "Split", &[input, &sizes], vec![int("axis", axis)], count)
        } else {
            let attributes = vec![int("axis", axis), ints("split", &sizes)];
            self.node_with_outputs(scope, "Split", &[input], attributes, count)
        }
    }

    pub(crate) fn reshape(&mut self, scope: &str, input: &str, shape: &[i64]) -> String {
        let shape = self.constant_i64(scope, &[shape.len()], shape);
        self.reshape_to(scope, input, &shape)
    }

    pub(crate) fn reshape_to(&mut self, scope: &str, input: &str, shape: &str) -> String {
        let attributes = if self.opset >= 14 { vec![int("allowzero", 0)] } else { vec![] };
        self.node(scope, "Reshape", &[input, shape], attributes)
    }

    pub(crate) fn transpose(&mut self, scope: &str, input: &str, perm: &[i64]) -> String {
        self.node(scope, "Transpose", &[input], vec![ints("perm", perm)])
    }

    pub(crate) fn concat(&mut self, scope: &str, inputs: &[&str], axis: i64) -> String {
        self.node(scope, "Concat", inputs, vec![int("axis", axis)])
    }
}

pub(crate) fn int(name: &str, value: i64) -> Attribute {
    Attribute { i: Some(value), ..attribute(name, AttributeType::Int) }
}

pub(crate) fn float(name: &str, value: f32) -> Attribute {
    Attribute { f: Some(value), ..attribute(name, AttributeType::Float) }
}

pub(crate) fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

pub(crate) fn string(name: &str, value: &str) -> Attribute {
    Attribute { s: Some(value.as_bytes().to_vec()), ..attribute(name, AttributeType::String) }
}

pub(crate) fn tensor(name: &str, value: Tensor) -> Attribute {
    Attribute { t: Some(value), ..attribute(name, AttributeType::Tensor) }
}

fn attribute(name: &str, kind: AttributeType) -> Attribute {
    Attribute { name: name.to_owned(), r#type: kind.into(), ..Default::default() }
}

/// A size as ONNX's signed dimension.
pub(crate) fn index(value: usize) -> i64 {
    i64::try_from(value).expect("the limits of `Config` keep sizes small")
}

pub(crate) fn i64_tensor(dims: &[usize], values: &[i64]) -> Tensor {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Tensor { dims: signed(dims), data_type: INT64, name: String::new(), raw_data: Some(bytes) }
}

pub(crate) fn f32_tensor(name: &str, dims: &[usize], values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Tensor { dims: signed(dims), data_type: FLOAT, name: name.to_owned(), raw_data: Some(bytes) }
}

fn signed(dims: &[usize]) -> Vec<i64> {
    dims.iter().map(|&d| index(d)).collect()
}

/// An axis of an input or output.
#[derive(Clone, Copy)]
pub(crate) enum Axis {
    Fixed(usize),
    /// Of any size, by name.
    Open(&'static str),
}

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    I32,
    I64,
    Bool,
}

impl Element {
    /// ONNX's number of it.
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::F32 => FLOAT,
            Self::I32 => INT32,
            Self::I64 => INT64,
            Self::Bool => BOOL,
        }
    }
}

fn value_info(name: &str, element: Element, axes: &[Axis]) -> ValueInfo {
    let dim = |axis: &Axis| match *axis {
        Axis::Fixed(size) => Dimension { dim_value: Some(index(size)), dim_param: None },
        Axis::Open(name) => Dimension { dim_value: None, dim_param: Some(name.to_owned()) },
    };
    let shape = TensorShape { dim: axes.iter().map(dim).collect() };
    let tensor = TensorType { elem_type: element.number(), shape: Some(shape) };
    ValueInfo { name: name.to_owned(), r#type: Some(Type { tensor_type: Some(tensor) }) }
}
