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
    """Paths of programs and files."""

    def __init__(self, peers):
        metadata = _output(["cargo", "metadata", "--format-version", "1", "--no-deps"])
        self.target = Path(json.loads(metadata)["target_directory"])
        self.files = self.target / "peers"
        self.files.mkdir(parents=True, exist_ok=True)
        _call(["cargo", "build", "-q", "--release", "--bins", "-p", "far-bench"])
        # As on a board: the profile of the SDK, and libc linked in.
        worker = ["cargo", "rustc", "-q", "--profile", "board", "-p", "far-bench-worker", "--bin", "far-bench-worker"]
        _call([*worker, "--", "-Ctarget-feature=+crt-static", "-Crelocation-model=static"])
        self.input = self._image()
        self.python = self._environment() if PYTHON_PEERS & set(peers) else None
        if RUST_PEERS & set(peers):
            manifest = HERE / "runners" / "Cargo.toml"
            _call(["cargo", "build", "-q", "--release", "--manifest-path", manifest, "--target-dir", self.files])

    def models(self, parts):
        """Writes and compiles the models whose names contain one of the texts; returns their names."""
        return _output([self.target / "release" / "far-bench-models", "-o", self.files, *parts]).split()

    def report(self, name):
        """What the compiler says about a model."""
        return json.loads((self.files / f"{name}.report.json").read_text())

    def limits(self, cpu):
        """What that core can do at most, measured now."""
        peak = self.target / "release" / "far-peak"
        return json.loads(_output(["taskset", "-c", str(cpu), peak, "--json"]))

    def worker(self, runtime, name):
        """The command line of a worker, and the model file it is to load."""
        onnx = self.files / f"{name}.onnx"
        if runtime == "far":
            return [self.target / "board" / "far-bench-worker"], self.files / f"{name}.far"
        if runtime in RUST_PEERS:
            return [self.files / "release" / runtime], onnx
        command = [self.python, HERE / "python_runtimes.py", runtime]
        return command, self._for_ncnn(onnx) if runtime == "ncnn" else onnx

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
            status = subprocess.run(arguments, cwd=folder, capture_output=True).returncode
            if status or not converted.exists():
                raise PrepareError(f"pnnx can't convert it (status {status})")
        return converted

    def _image(self):
        """An image of 3×224×224 random numbers, always the same."""
        path = self.files / "input.f32"
        numbers = random.Random(0)
        path.write_bytes(array.array("f", (numbers.uniform(-2, 2) for _ in range(3 * 224 * 224))).tobytes())
        return path


PYTHON_PEERS = {"onnxruntime", "openvino", "ncnn"}
RUST_PEERS = {"rten", "tract"}
PEERS = ["onnxruntime", "openvino", "ncnn", "rten", "tract"]


def _call(command):
    if subprocess.run(command, cwd=WORKSPACE).returncode:
        raise PrepareError(f"failed: {' '.join(map(str, command))}")


def _output(command):
    result = subprocess.run(command, cwd=WORKSPACE, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise PrepareError(f"failed: {' '.join(map(str, command))}")
    return result.stdout
