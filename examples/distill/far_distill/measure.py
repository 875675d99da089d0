"""What is left of a model after farc: answers and times through libfar, here and on a board's CPU under QEMU."""

import dataclasses
import functools
import json
import pathlib
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Hashable

import numpy as np

from .errors import DistillError

RUNS = 200  # timed, of each call
TURN = 5  # of these in a row, after one that isn't


@dataclasses.dataclass(frozen=True)
class Compiled:
    artifact: pathlib.Path
    multiply_adds: int
    artifact_bytes: int


@dataclasses.dataclass(frozen=True)
class Measured:
    """Of one model on one target in one precision."""

    model: str
    target: str
    dtype: str
    samples: int
    top1: float | None
    cosine: float | None  # the least, between an answer and the reference's
    difference: float | None  # the largest from the reference, in parts of its range
    multiply_adds: int
    artifact_bytes: int
    milliseconds: float | None  # the median of runs on one thread; none under QEMU


def compile_model(
    farc: str, onnx: pathlib.Path, target: str, dtype: str, folder: pathlib.Path, masks=None, tokens=None
):
    """By `farc compile`."""
    artifact = folder / f"{onnx.stem}-{target}-{dtype}.far"
    command = [farc, "compile", str(onnx), "--target", target, "--dtype", dtype, "-o", str(artifact), "--json"]
    command += ["--masks", str(masks)] if masks else []
    command += ["--max-tokens", str(tokens)] if tokens else []
    totals = json.loads(_run(command))["totals"]
    return Compiled(artifact, totals["multiply_adds"], totals["artifact_bytes"])


def _run(command: list[str]) -> str:
    try:
        found = subprocess.run(command, text=True, capture_output=True, check=False)
    except OSError as error:
        raise DistillError(f"can't run it: {error.strerror}", where=command[0], hint="name the file") from error
    if found.returncode:
        raise DistillError(f"{shlex.join(command[:3])} …: {found.stderr.strip() or found.stdout.strip()}")
    return found.stdout


def open_session(artifact: pathlib.Path):
    """A session of libfar with one thread."""
    try:
        import far
    except ImportError as error:
        hint = "pip install ./examples/python, and name libfar.so in FAR_LIBRARY"
        raise DistillError(f"libfar's Python package is missing: {error}", hint=hint) from error
    return far.Model(artifact).session(threads=1)


def answers(session, inputs: np.ndarray) -> np.ndarray:
    """The first output for each input."""
    name = session.model.outputs[0].name
    return np.concatenate([session.run(x[None])[name] for x in inputs])


def answers_under(runner: str, artifact: pathlib.Path, inputs: np.ndarray) -> np.ndarray:
    """The same by the board's command `far`, run by `qemu-… far`."""
    with tempfile.TemporaryDirectory() as folder:
        source, result = pathlib.Path(folder, "x.npy"), pathlib.Path(folder, "y.npy")
        np.save(source, inputs)
        _run([*shlex.split(runner), "run", str(artifact), "--input", str(source), "--output", str(result)])
        return np.load(result)


def times_in_turns(calls: dict[Hashable, Callable[[], object]], runs: int = RUNS) -> dict[Hashable, float]:
    """Each call's median, in milliseconds: a few of one, then of the next, so that whatever else the machine does meets all alike."""
    times: dict[Hashable, list[float]] = {name: [] for name in calls}
    for _ in range(-(-runs // TURN)):
        for name, call in calls.items():
            call()  # brings its weights into the caches
            for _ in range(TURN):
                begun = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(of) * 1e3 for name, of in times.items()}


def onnxruntime_call(onnx: pathlib.Path, x: np.ndarray) -> Callable[[], object] | None:
    """A run by onnxruntime on one thread; none where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    return functools.partial(session.run, None, {session.get_inputs()[0].name: x})


def compare(found: np.ndarray, reference: np.ndarray | None, labels: np.ndarray | None):
    """Top-1, least cosine and largest difference, as far as they can be known."""
    top1 = None if labels is None else float((found.argmax(axis=1) == labels[: len(found)]).mean())
    if reference is None:
        return top1, None, None
    wanted = reference[: len(found)]
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return (
        top1,
        float(((found * wanted).sum(axis=1) / norms).min()),
        float(np.abs(found - wanted).max() / np.ptp(wanted)),
    )
