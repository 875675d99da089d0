"""Compile models by farc and run them through libfar, here and under QEMU, on the same inputs.

For each MODEL.onnx its masks (MODEL.masks.safetensors) and PyTorch's answers (MODEL.logits.npy)
are taken where they lie beside it. Other targets than `host` need a runner, as --runner
"raspberry-pi-5=qemu-aarch64 -cpu cortex-a76 path/to/far".
"""

import dataclasses
import functools
import json
import pathlib
import tempfile

import numpy as np

from ..errors import DistillError
from ..measure import (
    Measured,
    answers,
    answers_under,
    compare,
    compile_model,
    onnxruntime_call,
    open_session,
    times_in_turns,
)


def arguments(parser):
    parser.add_argument("models", nargs="+", type=pathlib.Path, metavar="MODEL.onnx")
    parser.add_argument(
        "--inputs",
        type=pathlib.Path,
        required=True,
        metavar="X.npy",
        help="samples along the first axis; token ids make a call of as many tokens",
    )
    parser.add_argument("--labels", type=pathlib.Path, metavar="Y.npy", help="the class of each")
    parser.add_argument("--targets", default="host", help="as farc names them, with commas (%(default)s)")
    parser.add_argument("--dtypes", default="f32,int8", help="(%(default)s)")
    parser.add_argument("--runner", action="append", default=[], metavar="TARGET=COMMAND")
    parser.add_argument("--foreign", type=int, default=100, metavar="N", help="samples under QEMU (%(default)s)")
    parser.add_argument("--farc", default="farc", metavar="FILE", help="the compiler (%(default)s)")
    parser.add_argument("--json", action="store_true")


def _array(path: pathlib.Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DistillError(f"can't read the array: {error}", where=str(path)) from error


def run(args):
    inputs = _array(args.inputs)
    labels = _array(args.labels) if args.labels else None
    tokens = inputs.shape[1] if inputs.dtype.kind in "iu" and inputs.ndim == 2 else None
    runners = dict(runner.split("=", 1) for runner in args.runner if "=" in runner)
    found = []
    calls = {}  # by their place in `found`; onnxruntime's by the model
    with tempfile.TemporaryDirectory() as folder:
        for onnx in args.models:
            masks, logits = onnx.with_suffix(".masks.safetensors"), onnx.with_suffix(".logits.npy")
            reference = _array(logits) if logits.exists() else None
            if call := onnxruntime_call(onnx, inputs[:1]):
                calls[onnx] = call
            for target in args.targets.split(","):
                for dtype in args.dtypes.split(","):
                    made = compile_model(
                        args.farc,
                        onnx,
                        target,
                        dtype,
                        pathlib.Path(folder),
                        masks if masks.exists() else None,
                        tokens,
                    )
                    if target == "host":
                        session = open_session(made.artifact)
                        answered = answers(session, inputs)
                        calls[len(found)] = functools.partial(session.run, inputs[:1])
                    elif target in runners:
                        answered = answers_under(runners[target], made.artifact, inputs[: args.foreign])
                    else:
                        raise DistillError(f"no runner for `{target}`", hint=f'--runner "{target}=qemu-… path/to/far"')
                    measures = compare(answered, reference, labels)
                    found.append(
                        Measured(
                            onnx.stem,
                            target,
                            dtype,
                            len(answered),
                            *measures,
                            made.multiply_adds,
                            made.artifact_bytes,
                            None,
                        )
                    )
        times = times_in_turns(calls)
    peers = {onnx.stem: times.get(onnx) for onnx in args.models}
    found = [dataclasses.replace(m, milliseconds=times.get(i)) for i, m in enumerate(found)]
    if args.json:
        print(json.dumps({"libfar": [dataclasses.asdict(m) for m in found], "onnxruntime_ms": peers}))
        return
    print(
        "| model | target | dtype | samples | top-1 | least cosine | largest difference | multiply-adds | bytes | ms |"
    )
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for m in found:
        cells = (
            _cell(m.top1, ".2%"),
            _cell(m.cosine, ".6f"),
            _cell(m.difference, ".1e"),
            f"{m.multiply_adds:,}",
            f"{m.artifact_bytes:,}",
        )
        row = (m.model, m.target, m.dtype, m.samples, *cells, _cell(m.milliseconds, ".3f"))
        print(f"| {' | '.join(map(str, row))} |")
    for name, milliseconds in peers.items():
        if milliseconds is not None:
            print(f"onnxruntime, f32: {name} {milliseconds:.3f} ms")


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
