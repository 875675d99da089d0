#!/usr/bin/env python3
"""Exports DeiT and FAR-DeiT models to ONNX, in any form and by either of PyTorch's exporters.

    python export.py --arch deit-tiny --form parallel -o far-tiny.onnx
    python export.py --arch deit-small --attention 0,1 --exporter dynamo --opset 20 --dynamic-batch -o hybrid.onnx

Weights are random unless `--state FILE.pt` names a state dict of the same form. Needs `torch` and `onnx`; the newer
exporter also `onnxscript`.
"""

import argparse
import dataclasses
import pathlib
import shutil
import tempfile

import onnx
import torch

import rewrite
from far import DEIT, Config, Model
from quiet import quiet


@dataclasses.dataclass(frozen=True)
class Export:
    """How a model is written to a file."""

    exporter: str = "torchscript"  # `torchscript`, `dynamo`
    opset: int = 17
    dynamic_batch: bool = False
    external_data: bool = False  # weights in a file of their own, as the newer exporter does unless told otherwise
    rewrites: tuple[str, ...] = ()  # of rewrite.REWRITES, in order


def export(model: Model, how: Export, path: pathlib.Path):
    """Writes the model to `path`, and its weights beside it if so wanted. Raises what the exporter raises where it can't."""
    c = model.c
    model.eval()
    # A batch of 1 would be taken for a constant by the newer exporter.
    image = torch.zeros(2 if how.dynamic_batch else 1, c.channels, *c.image)
    names = {"input_names": ["image"], "output_names": list(c.outputs)}
    with tempfile.TemporaryDirectory() as folder, quiet():
        written = pathlib.Path(folder, path.name)
        if how.exporter == "dynamo":
            names |= {"opset_version": how.opset, "external_data": how.external_data}
            shapes = {"dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},)} if how.dynamic_batch else {}
            torch.onnx.export(model, (image,), written, dynamo=True, **names, **shapes)
        else:
            axes = {name: {0: "batch"} for name in ("image", *c.outputs)}
            shapes = {"dynamic_axes": axes} if how.dynamic_batch else {}
            torch.onnx.export(model, (image,), written, dynamo=False, opset_version=how.opset, **names, **shapes)
        exported = onnx.load(written, load_external_data=False)
        for data in pathlib.Path(folder).glob(f"{path.name}.*"):
            shutil.copy(data, path.parent)
    for name in how.rewrites:
        rewrite.REWRITES[name](exported)
    rewrite.strip(exported)
    opset = next(s.version for s in exported.opset_import if s.domain in ("", "ai.onnx"))
    if opset != how.opset:
        raise ValueError(f"the exporter wrote opset {opset} instead of {how.opset}")
    onnx.save(exported, path)
    onnx.checker.check_model(path, full_check=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    blocks = lambda text: tuple(int(i) for i in text.split(",") if i)
    size = lambda text: tuple(int(i) for i in text.split("x"))
    parser.add_argument("--arch", choices=DEIT, default="deit-tiny", help="widths to start from")
    for name in ("width", "heads", "hidden", "depth", "mlp", "classes", "channels"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--image", type=size, metavar="HxW")
    parser.add_argument("--patch", type=size, metavar="HxW")
    parser.add_argument("--distilled", action="store_true")
    parser.add_argument("--attention", type=blocks, metavar="I,J", help="blocks that keep their attention")
    parser.add_argument("--form", choices=["monolithic", "parallel", "older"])
    parser.add_argument("--projection", choices=["head_proj", "proj"])
    parser.add_argument("--nodes", choices=["bidirectional", "flip"])
    parser.add_argument("--states", choices=["absent", "zeros", "expanded"])
    parser.add_argument("--qkv", choices=["joined", "separate"])
    parser.add_argument("--pooling", choices=["token", "mean"])
    parser.add_argument("--outputs", type=lambda text: tuple(text.split(",")), help="of logits,features,tokens")
    parser.add_argument("--gelu", choices=["erf", "tanh"])
    parser.add_argument("--primitives", action="store_true", help="spell out LayerNorm, GELU and attention")
    parser.add_argument("--exporter", choices=["torchscript", "dynamo"], default="torchscript")
    parser.add_argument("--opset", type=int, default=17)
    parser.add_argument("--dynamic-batch", action="store_true")
    parser.add_argument("--external-data", action="store_true", help="weights in a file of their own (dynamo only)")
    parser.add_argument("--rewrite", action="append", default=[], choices=rewrite.REWRITES, help="after the export")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=pathlib.Path, metavar="FILE.pt", help="a state dict of the same form")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    return parser.parse_args()


def main():
    args = arguments()
    fields = {field.name for field in dataclasses.fields(Config)}
    chosen = {name: value for name, value in vars(args).items() if name in fields and value not in (None, False)}
    model = Model(dataclasses.replace(DEIT[args.arch], **chosen), args.seed)
    if args.state:
        model.load_state_dict(torch.load(args.state, weights_only=True))
    how = Export(args.exporter, args.opset, args.dynamic_batch, args.external_data, tuple(args.rewrite))
    export(model, how, args.output)


if __name__ == "__main__":
    main()
