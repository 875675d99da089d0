"""Sentences: reading, tokenizing, and what sentence embeddings are judged by."""

import pathlib
import random

import numpy as np
import torch

from .errors import DistillError
from .source import group_by_length

MAX_TOKENS = 64  # longer sentences are cut
HELD_OUT = 1000  # sentences that are not trained on


def open_tokenizer(path: pathlib.Path):
    """`tokenizer.json`, or the folder that has it."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise DistillError("the package `tokenizers` is not installed", hint="pip install tokenizers") from error
    path = path / "tokenizer.json" if path.is_dir() else path
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises plain exceptions
        raise DistillError(f"can't read the tokenizer: {error}", where=str(path)) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def lines_of(path: pathlib.Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DistillError(f"can't read the text: {error}", where=str(path)) from error


def read_sentences(path: pathlib.Path, tokenizer: pathlib.Path, limit: int | None = None):
    """Token ids of the sentences to train on, and of those held out: always the same ones."""
    sentences = sorted(set(lines_of(path)))
    random.Random(0).shuffle(sentences)
    if len(sentences) < 20:
        raise DistillError(f"{len(sentences)} sentences are too few", where=str(path))
    held_out = min(HELD_OUT, len(sentences) // 10)
    sentences = sentences[: held_out + limit] if limit else sentences
    ids = [encoding.ids for encoding in open_tokenizer(tokenizer).encode_batch(sentences)]
    return ids[held_out:], ids[:held_out]


@torch.no_grad()
def embed(model, ids: list[list[int]]) -> np.ndarray:
    """Embeddings of tokenized sentences by a PyTorch model."""
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    # Groups are by length, in order within each: as a stable sort has them.
    rows = np.concatenate([model(part).float().numpy() for group in group_by_length(ids) for part in group.split(128)])
    result = np.empty_like(rows)
    result[order] = rows
    return result


def embed_by_libfar(session, ids: list[list[int]]) -> np.ndarray:
    """The same by an artifact with an open number of tokens."""
    name = session.model.outputs[0].name
    return np.concatenate([session.run(np.array([sentence]))[name] for sentence in ids])


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(ranks(np.asarray(a)), ranks(np.asarray(b)))[0, 1])


def similarity(path: pathlib.Path, embedder) -> float:
    """Spearman's correlation of cosines with people's scores; lines of `score TAB sentence TAB sentence`."""
    rows = [line.split("\t") for line in lines_of(path)]
    if any(len(row) != 3 for row in rows):
        raise DistillError("expected lines of score, sentence, sentence", where=str(path))
    first, second = (embedder([row[i] for row in rows]) for i in (1, 2))
    return spearman((first * second).sum(axis=1), np.array([float(row[0]) for row in rows]))


def probe(train: pathlib.Path, test: pathlib.Path, embedder) -> float:
    """Accuracy of a linear classifier on embeddings; lines of `class sentence`. The classifier is ridge regression onto the
    classes: it has a closed form, so that nothing depends on how it was trained."""

    def read(path):
        pairs = [line.split(" ", 1) for line in lines_of(path)]
        return np.array([int(label) for label, _ in pairs]), embedder([text for _, text in pairs])

    labels, x = read(train)
    expected, y = read(test)
    mean = x.mean(axis=0)
    x, y = (np.hstack([m - mean, np.ones((len(m), 1))]).astype(np.float64) for m in (x, y))
    wanted = np.eye(labels.max() + 1)[labels]
    weights = np.linalg.solve(x.T @ x + 1.0 * np.eye(x.shape[1]), x.T @ wanted)
    return float(((y @ weights).argmax(axis=1) == expected).mean())
