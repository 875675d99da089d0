#!/usr/bin/env python3
"""Makes the matrix of small models that the compiler's tests run: `compiler/tests/data/forms/`.

One ONNX file a case, and `forms.json`: the inputs, what PyTorch answered, and which cases have the same weights. Run by
hand when a case is added; `requirements.txt` says with what.
"""

import argparse
import dataclasses
import json
import pathlib

import torch

from export import Export, export
from far import Config, Model

FORMS = ("monolithic", "parallel", "older")
SMALL = Config(image=(8, 8), patch=(4, 4), channels=3, width=8, heads=2, hidden=3, depth=2, mlp=10, classes=5)
FOLDER = pathlib.Path(__file__).resolve().parents[2] / "compiler/tests/data/forms"


AS_IT_IS = Export()


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    weights: str  # cases with the same text have the same weights and compute the same function
    config: Config
    how: Export = AS_IT_IS


def cases() -> list[Case]:
    found = []

    def add(name: str, weights: str, how: Export = AS_IT_IS, **changes):
        found.append(Case(name, weights, dataclasses.replace(SMALL, **changes), how))

    def add_shallow(name: str, weights: str, how: Export = AS_IT_IS, **changes):
        add(name, f"{weights}, one block", how, depth=1, **changes)

    # The forms of the recurrence; wide enough that it pays to run heads by themselves.
    wide = {"width": 16, "hidden": 16, "depth": 1}
    for projection in ("head_proj", "proj"):
        for form in FORMS:
            changes = {"form": form, "projection": projection}
            add(f"{form}-{projection}", f"{projection}, wide", **changes, **wide)
            pair = Export(rewrites=("drop-states", "pair"))
            add_shallow(f"{form}-{projection}-pair", projection, pair, **changes)
            add_shallow(f"{form}-{projection}-flip", projection, nodes="flip", **changes)
    # Exporters and operator sets.
    for opset in range(11, 21):
        form = FORMS[opset % 3]
        add_shallow(f"torchscript-{opset}", "head_proj", Export(opset=opset, dynamic_batch=opset % 2 == 0), form=form)
    for opset in range(18, 24):
        form = FORMS[opset % 3]
        add_shallow(f"dynamo-{opset}", "head_proj", Export("dynamo", opset, dynamic_batch=opset % 2 == 0), form=form)
    add_shallow("dynamo-flip", "head_proj", Export("dynamo", 20, dynamic_batch=True), form="parallel", nodes="flip")
    # Functions as one operator and spelled out.
    for exporter, opset in (("torchscript", 14), ("torchscript", 20), ("dynamo", 18), ("dynamo", 22)):
        how = Export(exporter, opset)
        add_shallow(f"gelu-tanh-{exporter}-{opset}", "tanh", how, gelu="tanh")
    add_shallow("primitives-erf-torchscript", "head_proj", primitives=True)
    add_shallow("primitives-erf-dynamo", "head_proj", Export("dynamo", 20), primitives=True)
    add_shallow("primitives-tanh", "tanh", Export("dynamo", 18), primitives=True, gelu="tanh")
    # Initial states.
    for states in ("zeros", "expanded"):
        for exporter, dynamic in (("torchscript", False), ("torchscript", True), ("dynamo", False), ("dynamo", True)):
            shape = "dynamic" if dynamic else "static"
            opset = 18 if exporter == "dynamo" else 16
            how = Export(exporter, opset, dynamic)
            add_shallow(f"states-{states}-{exporter}-{shape}", "head_proj", how, states=states, form="parallel")
    add_shallow("states-dropped", "head_proj", Export(rewrites=("drop-states",)))
    # Where the constants are.
    for form in FORMS[:2]:
        add_shallow(f"external-{form}", "head_proj", Export("dynamo", 20, external_data=True), form=form)
    add_shallow("constant-nodes", "head_proj", Export(rewrites=("constant-nodes",)), form="parallel")
    add_shallow("constants-listed-as-inputs", "head_proj", Export(opset=11, rewrites=("listed",)), form="parallel")
    add_shallow("half-weights", "half", Export(rewrites=("half",)), form="parallel")
    add_shallow("half-weights-monolithic", "half", Export(rewrites=("half",)))
    add_shallow(
        "half-weights-constant-nodes", "half", Export("dynamo", 20, rewrites=("half", "constant-nodes")), form="older"
    )
    # Models.
    every = tuple(range(SMALL.depth))
    for exporter, opset, primitives in (
        ("torchscript", 11, True),
        ("torchscript", 17, False),
        ("torchscript", 18, True),
        ("dynamo", 18, False),
        ("dynamo", 20, True),
        ("dynamo", 23, False),
    ):
        kind = "spelled" if primitives else "sdpa"
        how = Export(exporter, opset, dynamic_batch=opset % 2 == 0)
        add(f"deit-{exporter}-{opset}-{kind}", "deit", how, attention=every, primitives=primitives)
    add("deit-separate-torchscript", "deit-separate", attention=every, qkv="separate")
    how = Export("dynamo", 21, dynamic_batch=True)
    add("deit-separate-dynamo", "deit-separate", how, attention=every, qkv="separate", primitives=True)
    add("hybrid-first", "hybrid-first", attention=(0,))
    add("hybrid-last", "hybrid-last", Export("dynamo", 20), attention=(1,), form="parallel")
    add("distilled", "distilled", distilled=True)
    add("distilled-dynamo", "distilled", Export("dynamo", 22, dynamic_batch=True), distilled=True, form="parallel")
    add("deit-distilled", "deit-distilled", distilled=True, attention=every)
    wide = {"image": (6, 20), "patch": (3, 5), "channels": 1}
    add("other-patches", "other-patches", **wide)
    add("other-patches-dynamo", "other-patches", Export("dynamo", 21), form="older", **wide)
    for name, exporter, opset in (("torchscript", "torchscript", 17), ("dynamo", "dynamo", 20)):
        how = Export(exporter, opset, dynamic_batch=True)
        add(f"mean-{name}", "mean", how, pooling="mean")
        add(f"features-{name}", "features", how, outputs=("features",))
        add(f"tokens-{name}", "tokens", how, outputs=("tokens",))
        several = ("logits", "features", "tokens")
        add(f"several-outputs-{name}", "several", how, outputs=several, pooling="mean")
    return found


def as_json(values: torch.Tensor) -> dict:
    # Nine digits tell every f32 from its neighbours.
    return {"dims": list(values.shape), "data": [float(f"{v:.9g}") for v in values.flatten().tolist()]}


@torch.no_grad()
def answers(case: Case, model: Model) -> dict:
    """An input and what PyTorch makes of it."""
    c = case.config
    image = torch.randn(1, c.channels, *c.image, generator=torch.Generator().manual_seed(1))
    outputs = model(image)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return {
        "input": as_json(image),
        "outputs": {name: as_json(values) for name, values in zip(c.outputs, outputs)},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=pathlib.Path, default=FOLDER)
    parser.add_argument("--only", default="", help="cases whose names contain this; nothing is written for others")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    told = []
    for case in cases():
        if args.only not in case.name:
            continue
        model = Model(case.config).eval()
        if "half" in case.how.rewrites:
            for parameter in model.parameters():
                parameter.data = parameter.data.half().float()
        path = args.output / f"{case.name}.onnx"
        try:
            export(model, case.how, path)
        except Exception as error:
            raise RuntimeError(f"{case.name} can't be exported") from error
        how = {"exporter": case.how.exporter, "opset": case.how.opset, "dynamic_batch": case.how.dynamic_batch}
        told.append({"name": case.name, "weights": case.weights, **how, **answers(case, model)})
        print(f"{case.name}: {path.stat().st_size} bytes", flush=True)
    lines = ",\n".join(json.dumps(case) for case in told)
    (args.output / "forms.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
