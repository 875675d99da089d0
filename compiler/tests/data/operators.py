#!/usr/bin/env python3
"""Writes operators.json: small seeded cases of ONNX operators with the answers of the `onnx` package's reference.

Run by hand when a case is added; needs `onnx` and `numpy`. What the package's reference does not know (sequence_lens,
clip, activations and input_forget of LSTM) is checked in tests/operators by other means.
"""

import json
import math
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

rng = np.random.default_rng(7)
cases = []


def erf(x):
    return np.vectorize(math.erf)(x)


def gelu(x, approximate):
    if approximate == "tanh":
        return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x / 2 * (1 + erf(x / math.sqrt(2)))


# The package rounds these, or their constants, to 32 bits.
EXACT = {"Erf": erf, "Gelu": gelu}


def real(*shape):
    return rng.normal(size=shape).round(3)


def pack(array):
    kind = {"f": "real", "i": "int", "b": "bool"}[array.dtype.kind]
    return {"kind": kind, "shape": list(array.shape), "data": array.flatten().tolist()}


def case(op, *inputs, opset=17, outputs=1, **attributes):
    inputs = [None if x is None else np.asarray(x) for x in inputs]
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], name="node", **attributes)
    info = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for n, x in zip(names, inputs)
        if x is not None
    ]
    results = [helper.make_tensor_value_info(f"y{i}", TensorProto.UNDEFINED, None) for i in range(outputs)]
    graph = helper.make_graph([node], "case", info, results)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    feeds = {n: x for n, x in zip(names, inputs) if x is not None}
    if op in EXACT:
        answers = [EXACT[op](inputs[0], **attributes)]
    else:
        answers = ReferenceEvaluator(model).run(None, feeds)
    packed = {}
    for a in node.attribute:
        value = helper.get_attribute_value(a)
        if isinstance(value, TensorProto):
            value = {"tensor": pack(numpy_helper.to_array(value))}
        elif isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, list) and value and isinstance(value[0], bytes):
            value = [v.decode() for v in value]
        packed[a.name] = value
    cases.append(
        {
            "op": op,
            "opset": opset,
            "attributes": packed,
            "inputs": [None if x is None else pack(x) for x in inputs],
            "outputs": [pack(np.asarray(y)) for y in answers],
        }
    )


def ints(*values):
    return np.array(values, dtype=np.int64)


for op in ["Add", "Sub", "Mul", "Div"]:
    case(op, real(2, 1, 3), real(4, 1))
    case(op, ints(7, -8, 9), ints(2))
for op in ["Min", "Max"]:
    case(op, real(2, 3), real(3), real(2, 1))
case("Pow", np.abs(real(2, 3)) + 0.1, real(3))
case("Pow", real(3), ints(2))
for op in ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]:
    case(op, ints(1, 2, 3), ints(2))
    case(op, np.array([1.5, 2.0, -1.0]), np.array([2.0]))
case("And", np.array([True, True, False]), np.array([True, False, False]))
case("Or", np.array([True, True, False]), np.array([True, False, False]))
case("Not", np.array([True, False]))
for op in ["Reciprocal", "Erf", "Tanh", "Sigmoid", "Relu", "Exp", "Neg", "Abs"]:
    case(op, real(2, 4) * 2)
for op in ["Sqrt", "Log"]:
    case(op, np.abs(real(5)) + 0.01)
for approximate in ["none", "tanh"]:
    case("Gelu", real(6) * 3, opset=20, approximate=approximate)
case("Where", np.array([[True], [False]]), real(2, 3), real(3))
case("Where", np.array([True, False]), ints(1, 2), ints(3))
case("Cast", np.array([1.7, -1.7, 0.0]), to=TensorProto.INT64)
case("Cast", ints(0, 5), to=TensorProto.BOOL)
case("Cast", ints(0, 5), to=TensorProto.DOUBLE)
case("MatMul", real(2, 3), real(3, 4))
case("MatMul", real(2, 1, 2, 3), real(3, 3, 2))
case("MatMul", real(3), real(3, 2))
case("MatMul", real(4, 2, 3), real(3))
case("MatMul", real(3), real(3))
case("Gemm", real(2, 3), real(3, 4), real(4), alpha=0.5, beta=2.0)
case("Gemm", real(3, 2), real(4, 3), transA=1, transB=1)
case("Conv", real(1, 3, 8, 8), real(4, 3, 4, 4), real(4), strides=[4, 4], kernel_shape=[4, 4])
case("Conv", real(2, 4, 7, 6), real(6, 2, 3, 2), group=2, strides=[2, 1], dilations=[1, 2], pads=[1, 0, 2, 1])
case("Conv", real(1, 1, 5, 6), real(1, 1, 3, 4), auto_pad="SAME_UPPER", strides=[2, 2])
case("Conv", real(1, 1, 5, 6), real(1, 1, 3, 4), auto_pad="VALID")
for op in ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"]:
    case(op, real(2, 3, 4), ints(-1, 0), opset=18, keepdims=0)
    case(op, real(2, 3, 4), opset=18)
for op in ["ReduceMean", "ReduceMax"]:
    case(op, real(2, 3, 4), opset=13, axes=[1], keepdims=1)
case("ReduceSum", real(2, 3), opset=18, noop_with_empty_axes=1)
case("ReduceSum", real(2, 3), opset=11, axes=[-1])
case("Softmax", real(2, 3, 4), axis=1)
case("Softmax", real(2, 3, 4) * 100)
case("LayerNormalization", real(2, 3, 4), real(4), real(4), epsilon=1e-6)
case("LayerNormalization", real(2, 3, 4), real(3, 4), None, axis=1, outputs=3)
case("Identity", real(2))
case("Reshape", real(2, 3, 4), ints(0, -1))
case("Reshape", real(2, 3, 4), ints(4, 3, 2))
case("Reshape", np.zeros((0, 3)), ints(3, 0), allowzero=1)
case("Flatten", real(2, 3, 4), axis=2)
case("Flatten", real(2, 3, 4), axis=0)
case("Flatten", real(2, 3, 4), axis=-1)
case("Squeeze", real(1, 3, 1, 2), ints(0, -2))
case("Squeeze", real(1, 3, 1))
case("Squeeze", real(1, 3, 1), opset=11, axes=[2])
case("Unsqueeze", real(2, 3), ints(0, -1))
case("Unsqueeze", real(2, 3), opset=11, axes=[1])
case("Transpose", real(2, 3, 4))
case("Transpose", real(2, 3, 4), perm=[1, 0, 2])
case("Expand", real(3, 1), ints(2, 1, 4))
case("Expand", real(3, 4), ints(1))
case("Shape", real(2, 3, 4), start=-2)
case("Shape", real(2, 3, 4), start=0, end=2)
case("Constant", value=numpy_helper.from_array(np.array([[1, -2]], dtype=np.int64)))
case("Constant", value_floats=[1.5, 2.0])
case("Constant", value_int=3)
case("ConstantOfShape", ints(2, 3), value=numpy_helper.from_array(np.array([7], dtype=np.int64)))
case("ConstantOfShape", ints(2))
case("Range", np.array(1), np.array(8), np.array(3))
case("Range", np.array(3.0), np.array(-1.0), np.array(-1.5))
case("Concat", real(2, 1), real(2, 3), axis=-1)
case("Concat", ints(1), ints(2, 3), axis=0)
case("Split", real(6, 2), outputs=3)
case("Split", real(2, 5), ints(2, 3), outputs=2, axis=1)
case("Split", real(5), outputs=2, opset=18, num_outputs=2)
case("Split", real(4), outputs=2, opset=11, split=[1, 3])
case("Slice", real(5, 4), ints(1), ints(-1))
case("Slice", real(5, 4), ints(-1, 3), ints(-100, 0), ints(0, 1), ints(-2, -1))
case("Slice", real(5, 4), ints(0, 1), ints(100, 3), ints(1, 0), ints(3, 1))
case("Gather", real(3, 4), np.array(1), axis=1)
case("Gather", real(3, 4), np.array([[0, -1], [2, 2]]), axis=0)


def lstm(direction, steps=4, batch=1, inputs=3, hidden=2, states=False, peepholes=False, outputs=3, **attributes):
    d = 2 if direction == "bidirectional" else 1
    layout = attributes.get("layout", 0)
    swap = (lambda x: x.swapaxes(0, 1)) if layout else (lambda x: x)
    case(
        "LSTM",
        swap(real(steps, batch, inputs)),
        real(d, 4 * hidden, inputs),
        real(d, 4 * hidden, hidden),
        real(d, 8 * hidden),
        None,
        swap(real(d, batch, hidden)) if states else None,
        swap(real(d, batch, hidden)) if states else None,
        real(d, 3 * hidden) if peepholes else None,
        direction=direction,
        hidden_size=hidden,
        outputs=outputs,
        **attributes,
    )


for direction in ["forward", "reverse", "bidirectional"]:
    lstm(direction)
    lstm(direction, batch=2, states=True, peepholes=True)
lstm("bidirectional", hidden=3, outputs=1)
lstm("reverse", steps=1)
lstm("forward", batch=2, states=True, layout=1)

case("Sum", real(2, 1, 3), real(4, 1), real(3))
case("Sum", real(2))
case("Attention", real(2, 3, 4, 5), real(2, 3, 6, 5), real(2, 3, 6, 2), opset=23)
case("Attention", real(1, 4, 3, 2), real(1, 2, 5, 2), real(1, 2, 5, 2), opset=23, scale=0.25)
case("Attention", real(1, 4, 6), real(1, 5, 6), real(1, 5, 6), opset=23, q_num_heads=3, kv_num_heads=3)
masked = np.array([True, True, False, True, False])
case("Attention", real(1, 2, 3, 4), real(1, 2, 5, 4), real(1, 2, 5, 4), masked, opset=23)
case("Attention", real(2, 2, 3, 4), real(2, 2, 5, 4), real(2, 2, 5, 4), real(2, 1, 1, 5), opset=23)

out = pathlib.Path(__file__).with_name("operators.json")
out.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
print(f"{len(cases)} cases of {len({c['op'] for c in cases})} operators, onnx {onnx.__version__}")
