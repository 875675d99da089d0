"""Rewrites of ONNX files into what other exporters and tools write. None of them changes what a model computes."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def _values(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Every constant of the model by name."""
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return values


def _replace(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]):
    del graph.node[:]
    graph.node.extend(nodes)


def pair_directions(model: onnx.ModelProto):
    """Each bidirectional LSTM becomes a forward and a reverse one, joined along the axis of directions."""
    values, nodes = _values(model), []
    read = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type != "LSTM" or attributes.get("direction") != b"bidirectional":
            nodes.append(node)
            continue
        if read.intersection(node.output[1:]):
            raise ValueError("an LSTM whose last states are read is not split")
        halves = []
        for index, direction in enumerate(("forward", "reverse")):
            inputs = [node.input[0]]
            for name in node.input[1:]:
                # W, R, B and the states have the direction first; absent inputs stay absent.
                part = name and f"{name}.{direction}"
                if name and all(t.name != part for t in model.graph.initializer):
                    half = np.ascontiguousarray(values[name][index : index + 1])
                    model.graph.initializer.append(numpy_helper.from_array(half, part))
                inputs.append(part)
            halves.append(f"{node.output[0]}.{direction}")
            attributes["direction"] = direction
            nodes.append(helper.make_node("LSTM", inputs, [halves[-1]], name=f"{node.name}.{direction}", **attributes))
        nodes.append(helper.make_node("Concat", halves, [node.output[0]], name=f"{node.name}.join", axis=1))
    _replace(model.graph, nodes)


def drop_states(model: onnx.ModelProto):
    """Takes zero initial states away from the LSTMs: ONNX starts from zeros anyway."""
    values = _values(model)
    for node in model.graph.node:
        if node.op_type == "LSTM":
            if any(name in values and values[name].any() for name in node.input[5:]):
                raise ValueError("the LSTM does not start from zeros")
            del node.input[5:]


def to_constant_nodes(model: onnx.ModelProto):
    """Initializers become `Constant` nodes."""
    constants = [
        helper.make_node("Constant", [], [t.name], name=f"{t.name}.constant", value=t) for t in model.graph.initializer
    ]
    _replace(model.graph, constants + list(model.graph.node))
    del model.graph.initializer[:]


def list_as_inputs(model: onnx.ModelProto):
    """Initializers are listed as inputs with a default, as files before IR version 4 had to."""
    for t in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(t.name, t.data_type, t.dims))


def halve_weights(model: onnx.ModelProto):
    """Matrices of f32 are stored as f16 and widened by a `Cast`. They must be f16 numbers already."""
    casts = []
    for t in model.graph.initializer:
        if t.data_type != TensorProto.FLOAT or len(t.dims) < 2:
            continue
        wide = numpy_helper.to_array(t)
        half = wide.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), wide):
            raise ValueError(f"`{t.name}` is not exact in f16")
        name = t.name
        t.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [t.name], [name], name=f"{name}.widen", to=TensorProto.FLOAT))
    _replace(model.graph, casts + list(model.graph.node))


def strip(model: onnx.ModelProto):
    """Removes what only tells where the exporting program stood: stack traces, file names, inferred shapes."""
    model.doc_string = ""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    model.graph.doc_string = ""
    for item in [*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output]:
        item.doc_string = ""
        del item.metadata_props[:]


REWRITES = {
    "pair": pair_directions,
    "drop-states": drop_states,
    "constant-nodes": to_constant_nodes,
    "listed": list_as_inputs,
    "half": halve_weights,
}
