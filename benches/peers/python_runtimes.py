"""Runs onnxruntime, OpenVINO or ncnn under the workers' protocol (../README.md): RUNTIME:PRECISION MODEL INPUT THREADS."""

import json
import os
import sys
import time

THREADS = int(sys.argv[4])
# Read when the libraries are loaded.
os.environ["OMP_NUM_THREADS"] = str(THREADS)

import numpy


class OnnxRuntime:
    """The model's own precision; all graph optimisations, which is the default."""

    def __init__(self, model, _precision):
        import onnxruntime

        self.version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0]
        self.shape = self.input.shape

    def run(self, image):
        return self.session.run(None, {self.input.name: image})[0]


class OpenVino:
    """Its CPU plugin picks bf16 where the CPU has it, unless a precision is asked for."""

    def __init__(self, model, precision):
        import openvino

        self.version = openvino.__version__.split("-")[0]
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": THREADS,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        if precision != "default":
            settings["INFERENCE_PRECISION_HINT"] = precision
        self.request = core.compile_model(model, "CPU", settings).create_infer_request()
        self.shape = list(self.request.model_inputs[0].shape)

    def run(self, image):
        self.request.infer([image], share_inputs=True)
        return self.request.get_output_tensor(0).data


class Ncnn:
    """From pnnx's files beside the model; f32 storage and arithmetic."""

    def __init__(self, model, _precision):
        import ncnn

        self.version = ncnn.__version__
        self.ncnn = ncnn
        self.net = ncnn.Net()
        option = self.net.opt
        option.num_threads = THREADS
        option.use_fp16_packed = option.use_fp16_storage = option.use_fp16_arithmetic = False
        option.use_bf16_storage = False
        stem = model.removesuffix(".param")
        if self.net.load_param(f"{stem}.param") or self.net.load_model(f"{stem}.bin"):
            raise RuntimeError("ncnn can't load the converted model")
        self.shape = [1, 3, 224, 224]

    def run(self, image):
        extractor = self.net.create_extractor()
        extractor.input("in0", self.ncnn.Mat(image[0]))
        status, out = extractor.extract("out0")
        if status:
            raise RuntimeError(f"ncnn's status is {status}")
        return numpy.array(out)


def timed(count, call):
    """Milliseconds of each call, and what the last gave."""
    times, result = [], None
    for _ in range(count):
        start = time.perf_counter_ns()
        result = call()
        times.append((time.perf_counter_ns() - start) / 1e6)
    return times, result


def peak_rss():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main():
    name, _, precision = sys.argv[1].partition(":")
    kind = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "ncnn": Ncnn}[name]
    model, input_path = sys.argv[2], sys.argv[3]
    load_ms, runtime = timed(1, lambda: kind(model, precision))
    image = numpy.fromfile(input_path, dtype="<f4").reshape(runtime.shape)
    answer = runtime.run(image)
    print(json.dumps({"version": runtime.version, "load_ms": load_ms[0]}), flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        reply = {}
        if command == "run":
            reply["ms"], answer = timed(int(argument), lambda: runtime.run(image))
        elif command == "load":
            reply["ms"], _ = timed(int(argument), lambda: kind(model, precision))
        elif command == "answer":
            numpy.asarray(answer, dtype="<f4").tofile(argument)
        elif command == "memory":
            reply["peak_rss"] = peak_rss()
        else:
            raise ValueError(f"unknown command `{command}`")
        print(json.dumps(reply), flush=True)


main()
