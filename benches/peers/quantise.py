"""Makes a model of another runtime's own reduced precision: RUNTIME MODEL.onnx OUT. Run with the peers' Python.

Each runtime's documented way, with what it does unless told otherwise. Calibration data are random normal numbers: the models are
random too.
"""

import sys
from pathlib import Path

import numpy

# Images that OpenVINO's quantisation looks at.
IMAGES = 16


def onnxruntime(model, out):
    """Weights int8, activations quantised while it runs; products and LSTMs."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(model, out, weight_type=QuantType.QInt8)


def openvino(model, out):
    """Weights and activations int8, ranges from calibration (`nncf.quantize`)."""
    import nncf
    import openvino as ov

    network = ov.Core().read_model(model)
    numbers = numpy.random.default_rng(0)
    shape = list(network.inputs[0].shape)
    images = [numbers.standard_normal(shape, dtype=numpy.float32) for _ in range(IMAGES)]
    quantised = nncf.quantize(network, nncf.Dataset(images), model_type=nncf.ModelType.TRANSFORMER, subset_size=IMAGES)
    ov.save_model(quantised, out, compress_to_fp16=False)


def openvino_weights(model, out):
    """Weights int8, arithmetic f32 (`nncf.compress_weights`)."""
    import nncf
    import openvino as ov

    network = ov.Core().read_model(model)
    ov.save_model(nncf.compress_weights(network), out, compress_to_fp16=False)


MAKERS = {"onnxruntime": onnxruntime, "openvino": openvino, "openvino-weights": openvino_weights}


def main():
    runtime, model, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    MAKERS[runtime](model, out)


main()
