"""Everything that a comparison needs, made once below the target folder: other runtimes, workers, models, an image."""

import array
import json
import random
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKSPACE = HERE.parent.parent


class PrepareError(Exception):
    """Something that a comparison needs could not be made."""


class Tools:
    """Paths of programs and files, for one precision."""

    def __init__(self, peers, precision):
        self.precision = precision
        metadata = _output(["cargo", "metadata", "--format-version", "1", "--no-deps"])
        self.target = Path(json.loads(metadata)["target_directory"])
        self.files = self.target / "peers"
        self.files.mkdir(parents=True, exist_ok=True)
        _call(["cargo", "build", "-q", "--release", "--bins", "-p", "far-bench"])
        # As on a board: the profile of the SDK, and libc linked in.
        worker = ["cargo", "rustc", "-q", "--profile", "board", "-p", "far-bench-worker", "--bin", "far-bench-worker"]
        _call([*worker, "--", "-Ctarget-feature=+crt-static", "-Crelocation-model=static"])
        self.input = self._image()
        self.python = self._environment() if precision != "f32" or set(peers) - RUST_PEERS else None
        if RUST_PEERS & set(peers):
            manifest = HERE / "runners" / "Cargo.toml"
            _call(["cargo", "build", "-q", "--release", "--manifest-path", manifest, "--target-dir", self.files])

    def models(self, parts):
        """Writes and compiles the models whose names contain one of the texts, in f32 too; returns their names."""
        program = self.target / "release" / "far-bench-models"
        precisions = ",".join(dict.fromkeys(["f32", self.precision]))
        return _output([program, "--dtype", precisions, "-o", self.files, *parts]).split()

    def report(self, name, precision):
        """What the compiler says about a model."""
        return json.loads((self.files / f"{name}.{precision}.report.json").read_text())

    def limits(self, cpu):
        """What that core can do at most, measured now."""
        peak = self.target / "release" / "far-peak"
        return json.loads(_output(["taskset", "-c", str(cpu), peak, "--json"]))

    def worker(self, runtime, name):
        """The command line of a worker, and the model file it is to load. `far-f32` is libfar without reduced precision,
        `peak` no runtime but the multiply-adds that the cores can do."""
        onnx = self.files / f"{name}.onnx"
        if runtime == "peak":
            return [self.target / "release" / "far-peak-worker"], self.precision
        if runtime in ("far", "far-f32"):
            precision = self.precision if runtime == "far" else "f32"
            return [self.target / "board" / "far-bench-worker"], self.files / f"{name}.{precision}.far"
        if runtime in RUST_PEERS:
            return [self.files / "release" / runtime], onnx
        if runtime == "ncnn":
            return self._python_worker("ncnn", "f32"), self._for_ncnn(onnx)
        quantiser, precision = PEERS[self.precision][runtime]
        model = self._quantised(quantiser, onnx) if quantiser else onnx
        return self._python_worker(runtime.split("-")[0], precision), model

    def reference(self, name):
        """The worker whose answer is the right one."""
        return self._python_worker("onnxruntime", "f32"), self.files / f"{name}.onnx"

    def _python_worker(self, runtime, precision):
        return [self.python, HERE / "python_runtimes.py", f"{runtime}:{precision}"]

    def _quantised(self, quantiser, onnx):
        """The model in int8, as a runtime does it; kept until the model or what makes it changes."""
        folder = self.files / "int8" / quantiser
        out = folder / f"{onnx.stem}.{'onnx' if quantiser == 'onnxruntime' else 'xml'}"
        made_of = [onnx, HERE / "quantise.py", self.target / "peers-venv" / "installed.txt"]
        if not out.exists() or any(out.stat().st_mtime < path.stat().st_mtime for path in made_of):
            folder.mkdir(parents=True, exist_ok=True)
            print(f"{onnx.stem}: quantising for {quantiser}", file=sys.stderr)
            unfinished = out.with_name(f"unfinished-{out.name}")
            command = [self.python, HERE / "quantise.py", quantiser, onnx, unfinished]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                said = made.stderr.strip().splitlines()
                raise PrepareError(f"can't be quantised: {said[-1] if said else made.returncode}")
            # OpenVINO looks for the weights by the name of the model.
            if out.suffix == ".xml":
                unfinished.with_suffix(".bin").replace(out.with_suffix(".bin"))
            unfinished.replace(out)
        return out

    def _environment(self):
        """A virtual environment with the requirements; made anew when they change."""
        folder, requirements = self.target / "peers-venv", HERE / "requirements.txt"
        python, installed = folder / "bin" / "python", folder / "installed.txt"
        if not installed.exists() or installed.read_text() != requirements.read_text():
            print("installing other runtimes", file=sys.stderr)
            venv.create(folder, clear=True, with_pip=True)
            _call([python, "-m", "pip", "install", "-q", "--no-deps", "-r", requirements])
            installed.write_text(requirements.read_text())
        return python

    def _for_ncnn(self, onnx):
        """Converts a model by pnnx, the only way into ncnn; kept until the model changes."""
        folder = self.files / "ncnn" / onnx.stem
        # pnnx makes file names of its own where a model's name has hyphens.
        copy, converted = folder / "model.onnx", folder / "model.ncnn.param"
        if not converted.exists() or converted.stat().st_mtime < onnx.stat().st_mtime:
            folder.mkdir(parents=True, exist_ok=True)
            copy.unlink(missing_ok=True)
            copy.symlink_to(onnx)
            pnnx = next((self.target / "peers-venv").glob("lib/*/site-packages/pnnx/pnnx"))
            arguments = [pnnx, "model.onnx", "inputshape=[1,3,224,224]", "fp16=0"]
            status = subprocess.run(arguments, cwd=folder, capture_output=True, check=False).returncode
            if status or not converted.exists():
                raise PrepareError(f"pnnx can't convert it (status {status})")
        return converted

    def _image(self):
        """An image of 3×224×224 random numbers, always the same."""
        path = self.files / "input.f32"
        numbers = random.Random(0)
        path.write_bytes(array.array("f", (numbers.uniform(-2, 2) for _ in range(3 * 224 * 224))).tobytes())
        return path


RUST_PEERS = {"rten", "tract"}
# By precision, the runtimes that have it: what quantises the model for them, and what precision they are asked for besides
# (`default`: nothing is asked for). OpenVINO computes in bf16 what is not quantised, unless told otherwise.
PEERS = {
    "f32": {runtime: (None, "f32") for runtime in ("onnxruntime", "openvino", "ncnn", "rten", "tract")},
    "int8": {
        "onnxruntime": ("onnxruntime", "default"),
        "openvino": ("openvino", "default"),
        "openvino-f32": ("openvino", "f32"),
        "openvino-weights": ("openvino-weights", "default"),
    },
    "bf16": {"openvino": (None, "bf16")},
}


def _call(command):
    if subprocess.run(command, cwd=WORKSPACE, check=False).returncode:
        raise PrepareError(f"failed: {' '.join(map(str, command))}")


def _output(command):
    result = subprocess.run(command, cwd=WORKSPACE, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        raise PrepareError(f"failed: {' '.join(map(str, command))}")
    return result.stdout
