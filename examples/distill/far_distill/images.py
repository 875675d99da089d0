"""Labelled images, whole in memory: a batch is an index into a tensor."""

import dataclasses
import gzip
import pathlib

import numpy as np
import torch
from torch.nn import functional as F

from .errors import DistillError

# Where Debian's package `dataset-fashion-mnist` puts its files, and the pixels' mean and standard deviation.
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
FASHION_NORMAL = (0.2860, 0.3530)


@dataclasses.dataclass(frozen=True)
class Images:
    """Pixels `[N, channels, height, width]` in u8, and the class of each."""

    pixels: torch.Tensor
    labels: torch.Tensor
    mean: float
    std: float

    def __len__(self) -> int:
        return len(self.labels)

    def normal(self, indices) -> torch.Tensor:
        """Images as a model takes them."""
        return self._normalise(self.pixels[indices])

    def augmented(self, indices, shift: int = 0) -> torch.Tensor:
        """The same, each perhaps mirrored, and moved by up to so many pixels."""
        pixels = self.pixels[indices]
        count, _, height, width = pixels.shape
        if shift:
            windows = F.pad(pixels, (shift,) * 4).unfold(2, height, 1).unfold(3, width, 1)
            dy, dx = torch.randint(0, 2 * shift + 1, (2, count))
            pixels = windows[torch.arange(count), :, dy, dx]
        mirrored = torch.rand(count) < 0.5
        return self._normalise(torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels))

    def _normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.float() / 255 - self.mean) / self.std

    def first(self, count: int) -> "Images":
        return dataclasses.replace(self, pixels=self.pixels[:count], labels=self.labels[:count])


def fashion(folder: pathlib.Path = FASHION) -> tuple[Images, Images]:
    """Fashion-MNIST: 60,000 images to train on, 10,000 to test with."""

    def read(name: str, header: int) -> np.ndarray:
        path = folder / name
        try:
            return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)
        except OSError as error:
            hint = "apt-get install dataset-fashion-mnist, or name the folder that has its files"
            raise DistillError(
                f"can't read Fashion-MNIST: {error.strerror or error}", where=str(path), hint=hint
            ) from error

    def part(prefix: str) -> Images:
        pixels = torch.from_numpy(read(f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28).copy())
        labels = torch.from_numpy(read(f"{prefix}-labels-idx1-ubyte.gz", 8).astype(np.int64))
        return Images(pixels, labels, *FASHION_NORMAL)

    return part("train"), part("t10k")


def from_npz(path: pathlib.Path) -> tuple[Images, Images]:
    """Arrays `train_images`, `train_labels`, `test_images`, `test_labels`; images u8 `[N, channels, height, width]`."""
    try:
        arrays = np.load(path, allow_pickle=False)
        sets = [(arrays[f"{part}_images"], arrays[f"{part}_labels"]) for part in ("train", "test")]
    except (OSError, KeyError, ValueError) as error:
        hint = "an npz file with train_images, train_labels, test_images, test_labels"
        raise DistillError(f"can't read the images: {error}", where=str(path), hint=hint) from error
    for images, labels in sets:
        if images.dtype != np.uint8 or images.ndim != 4 or labels.shape != images.shape[:1]:
            raise DistillError(
                f"images of {images.dtype} {list(images.shape)} with labels {list(labels.shape)}",
                where=str(path),
                hint="u8 [N, channels, height, width], and a label for each",
            )
    mean, std = sets[0][0].mean() / 255, sets[0][0].std() / 255
    return tuple(Images(torch.from_numpy(i), torch.from_numpy(l.astype(np.int64)), mean, std) for i, l in sets)
