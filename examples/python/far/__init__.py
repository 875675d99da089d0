"""Runs compiled FAR models (model.far) through libfar: numpy in, numpy out.

    import far
    model = far.Model("model.far")
    session = model.session(threads=2)
    logits = session.run(image)["logits"]
    print(model.labels[logits.argmax()])

libfar.so is found by the environment variable FAR_LIBRARY (a file), else as the system's loader finds it. Python's lock is
released while a model runs, so that other threads go on; a session is for one thread at a time, a model for any number.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from dataclasses import dataclass

import numpy as np

__all__ = ["FarError", "Image", "Model", "Port", "Session"]

_ABI = 1
_RANK = 8
_CHANNELS = 4
_KEY_SIZE = 32
_DTYPES = {1: np.dtype(np.float32), 2: np.dtype(np.int32), 3: np.dtype(np.int64)}
_NUMBERS = {dtype: number for number, dtype in _DTYPES.items()}
_ABSENT = 115


class _ModelOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("abi_version", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("logger", ctypes.c_void_p),
        ("public_key", ctypes.c_char_p),
        ("signature", ctypes.c_char_p),
        ("signature_size", ctypes.c_size_t),
    ]


class _SessionOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("threads", ctypes.c_uint32),
        ("isa", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
        ("cpu_count", ctypes.c_uint32),
        ("cpus", ctypes.c_void_p),
        ("pool", ctypes.c_void_p),
        ("logger", ctypes.c_void_p),
    ]


class _TensorInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_int32),
        ("rank", ctypes.c_uint32),
        ("dims", ctypes.c_uint64 * _RANK),
        ("element_count", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("dim_kinds", ctypes.c_int32 * _RANK),
    ]


class _Tensor(ctypes.Structure):
    """far_input and far_output, which are alike."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("dtype", ctypes.c_int32),
        ("rank", ctypes.c_uint32),
        ("dims", ctypes.POINTER(ctypes.c_uint64)),
    ]


class _ImageInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("input", ctypes.c_size_t),
        ("channels", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("layout", ctypes.c_int32),
        ("color", ctypes.c_int32),
        ("resize", ctypes.c_int32),
        ("resize_value", ctypes.c_uint32),
        ("filter", ctypes.c_int32),
        ("scale", ctypes.c_float),
        ("mean", ctypes.c_float * _CHANNELS),
        ("std_dev", ctypes.c_float * _CHANNELS),
        ("reserved", ctypes.c_uint32),
    ]


class FarError(RuntimeError):
    """What libfar says is wrong; `status` is its number in far.h."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def _load() -> ctypes.CDLL:
    path = os.environ.get("FAR_LIBRARY") or ctypes.util.find_library("far") or "libfar.so.1"
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"libfar.so can't be loaded ({error}); name it in FAR_LIBRARY") from error
    library.far_last_error.restype = ctypes.c_char_p
    library.far_abi_version.restype = ctypes.c_uint32
    for free in (library.far_model_free, library.far_session_free):
        free.restype = None
        free.argtypes = [ctypes.c_void_p]
    if library.far_abi_version() != _ABI:
        raise ImportError(f"libfar.so has ABI {library.far_abi_version()}, this package is for {_ABI}")
    return library


_far = _load()


def _check(status: int) -> None:
    if status:
        raise FarError(status, _far.far_last_error().decode())


@dataclass(frozen=True)
class Port:
    """An input or output. Dimensions are the most where one varies; `varies` says which do."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    varies: tuple[bool, ...]
    kinds: tuple[int, ...]


@dataclass(frozen=True)
class Image:
    """How a picture of `height` by `width` becomes an input: `(value * scale - mean) / std`, in this order of channels."""

    input: str
    height: int
    width: int
    color: str
    layout: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        """The input for a picture of the right size: uint8, height by width (by channels, RGB)."""
        pixels = np.asarray(pixels, np.float32)
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], len(self.mean), axis=2)
        if self.color == "gray" and pixels.shape[2] == 3:
            pixels = pixels @ np.array([[0.299], [0.587], [0.114]], np.float32)
        if self.color == "bgr":
            pixels = pixels[:, :, ::-1]
        if pixels.shape != (self.height, self.width, len(self.mean)):
            raise ValueError(f"expected {self.height}x{self.width} pixels, got {pixels.shape}")
        values = (pixels * np.float32(self.scale) - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        values = values if self.layout == "nhwc" else values.transpose(2, 0, 1)
        return np.ascontiguousarray(values[None], np.float32)


class Model:
    """A validated artifact, from a file or from bytes.

    With `key`, the 32 bytes of a public key, it must be signed by that key: by the contents of a file of signatures in
    `signature`, or by the file beside the artifact's, of its name and .sig.
    """

    def __init__(self, source: str | os.PathLike | bytes, *, key: bytes | None = None, signature: bytes | None = None):
        if key is not None and len(key) != _KEY_SIZE:
            raise ValueError(f"key: expected {_KEY_SIZE} bytes, got {len(key)}")
        signature_size = 0 if signature is None else len(signature)
        size = ctypes.sizeof(_ModelOptions)
        options = _ModelOptions(size, _ABI, 0, None, key, signature, signature_size)
        self._handle = ctypes.c_void_p()
        if isinstance(source, bytes):
            size = ctypes.c_size_t(len(source))
            _check(_far.far_model_open_memory(source, size, ctypes.byref(options), ctypes.byref(self._handle)))
        else:
            path = os.fsencode(source)
            _check(_far.far_model_open(path, ctypes.byref(options), ctypes.byref(self._handle)))
        self.inputs = self._ports("input")
        self.outputs = self._ports("output")

    def __del__(self):
        if getattr(self, "_handle", None):
            _far.far_model_free(self._handle)
            self._handle = None

    def _ports(self, side: str) -> list[Port]:
        count = ctypes.c_size_t()
        _check(getattr(_far, f"far_model_{side}_count")(self._handle, ctypes.byref(count)))
        ports = []
        for index in range(count.value):
            info = _TensorInfo(ctypes.sizeof(_TensorInfo))
            _check(getattr(_far, f"far_model_{side}_info")(self._handle, ctypes.c_size_t(index), ctypes.byref(info)))
            kinds = tuple(info.dim_kinds[: info.rank])
            shape = tuple(info.dims[: info.rank])
            varies = tuple(kind != 0 for kind in kinds)
            ports.append(Port(info.name.decode(), _DTYPES[info.dtype], shape, varies, kinds))
        return ports

    def _text(self, function) -> str:
        text = ctypes.c_char_p()
        _check(function(self._handle, ctypes.byref(text)))
        return text.value.decode()

    @property
    def name(self) -> str:
        return self._text(_far.far_model_name)

    @property
    def description(self) -> str:
        return self._text(_far.far_model_description)

    @property
    def labels(self) -> list[str]:
        """Names of the classes; none where the artifact has none."""
        names = ctypes.POINTER(ctypes.c_char_p)()
        count = ctypes.c_size_t()
        _check(_far.far_model_labels(self._handle, None, ctypes.byref(names), ctypes.byref(count)))
        return [names[i].decode() for i in range(count.value)]

    @property
    def info(self) -> dict[str, str]:
        """Licence, author and so on."""
        count = ctypes.c_size_t()
        _check(_far.far_model_info_count(self._handle, ctypes.byref(count)))
        pairs = {}
        for index in range(count.value):
            key, value = ctypes.c_char_p(), ctypes.c_char_p()
            pair = (ctypes.byref(key), ctypes.byref(value))
            _check(_far.far_model_info(self._handle, ctypes.c_size_t(index), *pair))
            pairs[key.value.decode()] = value.value.decode()
        return pairs

    @property
    def image(self) -> Image | None:
        """How a picture becomes an input; None where the artifact doesn't say."""
        info = _ImageInfo(ctypes.sizeof(_ImageInfo))
        status = _far.far_model_image_info(self._handle, ctypes.byref(info))
        if status == _ABSENT:
            return None
        _check(status)
        color = {1: "rgb", 2: "bgr", 3: "gray"}[info.color]
        layout = {1: "nchw", 2: "nhwc"}[info.layout]
        mean, std = tuple(info.mean[: info.channels]), tuple(info.std_dev[: info.channels])
        name = self.inputs[info.input].name
        return Image(name, info.height, info.width, color, layout, info.scale, mean, std)

    def session(self, threads: int = 0) -> Session:
        """What runs need; 0 threads are one on each CPU."""
        return Session(self, threads)


class Session:
    """Arena, scratch memory and threads of a model. One run at a time."""

    def __init__(self, model: Model, threads: int = 0):
        self.model = model
        options = _SessionOptions(ctypes.sizeof(_SessionOptions), threads)
        self._handle = ctypes.c_void_p()
        _check(_far.far_session_new(model._handle, ctypes.byref(options), ctypes.byref(self._handle)))

    def __del__(self):
        if getattr(self, "_handle", None):
            _far.far_session_free(self._handle)
            self._handle = None

    def run(self, *inputs: np.ndarray, **named: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the model on its inputs, in order or by name; its outputs by name.

        Inputs are made contiguous and of the port's type where that loses nothing. Where the batch or the number of tokens
        varies, the inputs' shapes say how large the call is.
        """
        ports = self.model.inputs
        by_name = dict(zip((port.name for port in ports), inputs), **named)
        if len(inputs) > len(ports) or set(by_name) != {port.name for port in ports}:
            raise ValueError(f"expected the inputs {[port.name for port in ports]}, got {sorted(by_name)}")
        arrays, sizes = [], {}
        for port in ports:
            array = np.ascontiguousarray(
                np.asarray(by_name[port.name]).astype(port.dtype, casting="same_kind", copy=False)
            )
            if array.ndim != len(port.shape):
                raise ValueError(f"input {port.name}: expected {len(port.shape)} dimensions, got {array.ndim}")
            sizes.update((kind, length) for kind, length in zip(port.kinds, array.shape) if kind)
            arrays.append(array)
        results = {}
        for port in self.model.outputs:
            shape = [sizes[kind] if kind else length for kind, length in zip(port.kinds, port.shape)]
            results[port.name] = np.empty(shape, port.dtype)
        ins = (_Tensor * len(arrays))(*map(_tensor, arrays))
        outs = (_Tensor * len(results))(*map(_tensor, results.values()))
        # ctypes releases Python's lock during the call.
        counts = (ctypes.c_size_t(len(ins)), ctypes.c_size_t(len(outs)))
        _check(_far.far_session_run(self._handle, ins, counts[0], outs, counts[1]))
        return results


def _tensor(array: np.ndarray) -> _Tensor:
    dims = (ctypes.c_uint64 * array.ndim)(*array.shape)
    pointer = ctypes.cast(dims, ctypes.POINTER(ctypes.c_uint64))
    size = ctypes.sizeof(_Tensor)
    return _Tensor(size, None, array.ctypes.data, array.nbytes, _NUMBERS[array.dtype], array.ndim, pointer)
