#!/usr/bin/env python3
"""Writes the ONNX backend's own node cases for some operators into a folder, in a form that tests/conformance reads.

    cases.py FOLDER

Needs `onnx`. What is changed, and that nothing else is:

- Inputs after the first are weights: they become constants of the model. A case has them as inputs so that it can be one
  node; in a model that is compiled they are known.
- A batch of several sequences of an LSTM is given one sequence at a time.
"""

import json
import pathlib
import re
import sys
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

OPERATORS = ("LSTM", "LayerNormalization", "Gelu", "MatMul", "Gemm", "Softmax")
# Where the batch is: in the inputs and outputs of an LSTM of layout 0, and of layout 1.
BATCH_AXES = {
    "X": (1, 0), "sequence_lens": (0, 0), "initial_h": (1, 0), "initial_c": (1, 0),
    "Y": (2, 0), "Y_h": (1, 0), "Y_c": (1, 0),
}  # fmt: skip


def sequences(model: onnx.ModelProto, inputs: list, outputs: list) -> tuple[list, list]:
    """Inputs and outputs of each sequence of an LSTM's batch, the batch axis kept."""
    layout = next((a.i for node in model.graph.node for a in node.attribute if a.name == "layout"), 0)
    axes = [BATCH_AXES.get(value.name, (None,) * 2)[layout] for value in [*model.graph.input, *model.graph.output]]
    values = inputs + outputs
    count = values[0].shape[axes[0]]
    runs = []
    for index in range(count):
        one = [v if axis is None else np.take(v, [index], axis) for v, axis in zip(values, axes)]
        runs.append((one[: len(inputs)], one[len(inputs) :]))
    for value, axis in zip(model.graph.input, axes):
        if axis is not None:
            value.type.tensor_type.shape.dim[axis].dim_value = 1
    for value, axis in zip(model.graph.output, axes[len(inputs) :]):
        value.type.tensor_type.shape.dim[axis].dim_value = 1
    return runs


def with_constants(model: onnx.ModelProto, inputs: list, runs: list):
    """Makes all inputs but the first constants."""
    for at, value in list(enumerate(model.graph.input))[1:]:
        if any(not np.array_equal(run[0][at], runs[0][0][at]) for run in runs):
            raise ValueError(f"the sequences of a batch have a `{value.name}` each")
        model.graph.initializer.append(numpy_helper.from_array(runs[0][0][at], value.name))
    del model.graph.input[1:]


def pack(array: np.ndarray) -> dict:
    return {"dims": list(array.shape), "data": array.astype(np.float64).flatten().tolist()}


def chosen() -> list:
    """The cases and their operators, by name. Those that spell an operator out are named after the plain case."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other operators' cases overflow on purpose
        cases = {case.name: case for case in collect_testcases() if case.model is not None}
    found = []
    for name in sorted(cases):
        plain = cases.get(re.sub(r"_expanded(_ver\d+)?$", "", name))
        nodes = plain.model.graph.node if plain else []
        if len(nodes) == 1 and nodes[0].op_type in OPERATORS:
            found.append((nodes[0].op_type, cases[name]))
    return found


def main(folder: pathlib.Path):
    told = []
    for operator, case in chosen():
        ((inputs, outputs),) = case.data_sets
        model, runs = case.model, [(list(inputs), list(outputs))]
        if operator == "LSTM":
            runs = sequences(model, list(inputs), list(outputs))
        with_constants(model, inputs, runs)
        onnx.save(model, folder / f"{case.name}.onnx")
        several = len(outputs) > 1
        if several:
            del model.graph.output[1:]
            onnx.save(model, folder / f"{case.name}.first.onnx")
        told.append({
            "operator": operator,
            "name": case.name,
            "several_outputs": several,
            "runs": [{"input": pack(i[0]), "outputs": [pack(o) for o in out]} for i, out in runs],
        })  # fmt: skip
    index = {"version": onnx.__version__, "cases": told}
    (folder / "index.json").write_text(json.dumps(index))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
