"""What stages train on: samples in groups of one length, so that a batch needs no padding."""

import pathlib
import random

import torch

from .errors import DistillError
from .images import Images, fashion, from_npz
from .loop import processes, rank

Batch = tuple[int, torch.Tensor]  # group, indices in it


class Source:
    """Samples to train on, and a measure of how well a model does on others."""

    groups: list[int]  # samples in each
    augments = False

    def take(self, batch: Batch, augmented: bool = False) -> torch.Tensor:
        """A model's input."""
        raise NotImplementedError

    def labels(self, batch: Batch) -> torch.Tensor | None:
        """Classes, where samples have some."""

    def evaluate(self, model, teacher=None) -> dict[str, float]:
        raise NotImplementedError

    def batches(self, epoch: int, size: int, seed: int) -> list[Batch]:
        """An epoch's batches in random order, those of this process: the same number for each."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        found = []
        for group, count in enumerate(self.groups):
            order = torch.randperm(count, generator=generator)
            found += [(group, part) for part in order.split(size) if len(part) > 1 or count == 1]
        random.Random(seed * 1_000_003 + epoch).shuffle(found)
        return found[rank() : len(found) // processes() * processes() : processes()]

    def in_order(self, size: int) -> list[Batch]:
        return [(g, part) for g, count in enumerate(self.groups) for part in torch.arange(count).split(size)]


class ImageSource(Source):
    """Labelled images: one group. The measure is top-1."""

    augments = True

    def __init__(self, train: Images, test: Images, shift: int = 0):
        self.train, self.test, self.shift = train, test, shift
        self.groups = [len(train)]

    def take(self, batch, augmented=False):
        return self.train.augmented(batch[1], self.shift) if augmented else self.train.normal(batch[1])

    def labels(self, batch):
        return self.train.labels[batch[1]]

    @torch.no_grad()
    def evaluate(self, model, teacher=None):
        device = next(model.parameters()).device
        right = 0
        for indices in torch.arange(len(self.test)).split(500):
            found = model(self.test.normal(indices).to(device)).argmax(dim=1).cpu()
            right += int((found == self.test.labels[indices]).sum())
        return {"top1": right / len(self.test)}


class TextSource(Source):
    """Sentences without labels, grouped by their number of tokens. The measure is the cosine with the teacher's embedding."""

    def __init__(self, train: list[list[int]], test: list[list[int]]):
        self.train, self.test = group_by_length(train), group_by_length(test)
        self.groups = [len(group) for group in self.train]

    def take(self, batch, augmented=False):
        return self.train[batch[0]][batch[1]]

    @torch.no_grad()
    def evaluate(self, model, teacher=None):
        if teacher is None:
            return {}
        device = next(model.parameters()).device
        total, count = 0.0, 0
        for group in self.test:
            for ids in group.split(256):
                ids = ids.to(device)
                total += float((model(ids) * teacher(ids)).sum())
                count += len(ids)
        return {"cosine": total / max(count, 1)}


def group_by_length(sentences: list[list[int]]) -> list[torch.Tensor]:
    groups: dict[int, list[list[int]]] = {}
    for ids in sentences:
        groups.setdefault(len(ids), []).append(ids)
    return [torch.tensor(groups[length]) for length in sorted(groups)]


def open_source(text: str, tokenizer: pathlib.Path | None = None, limit: int | None = None, shift: int = 0) -> Source:
    """`fashion`, `fashion:FOLDER`, `npz:FILE` or `text:FILE`; of these at most `limit` samples."""
    kind, _, path = text.partition(":")
    if kind in ("fashion", "npz"):
        if kind == "npz":
            train, test = from_npz(pathlib.Path(path))
        else:
            train, test = fashion(pathlib.Path(path)) if path else fashion()
        return ImageSource(train.first(limit), test.first(limit), shift) if limit else ImageSource(train, test, shift)
    if kind == "text" and path:
        from .text import read_sentences

        if tokenizer is None:
            raise DistillError("sentences need a tokenizer", hint="--tokenizer FOLDER/tokenizer.json")
        return TextSource(*read_sentences(pathlib.Path(path), tokenizer, limit))
    raise DistillError(f"unknown data `{text}`", hint="fashion, fashion:FOLDER, npz:FILE or text:FILE")
