"""FAR-Fashion: a DeiT-shaped teacher on Fashion-MNIST, its FAR student, and the student half pruned; written as
`examples/models/far-fashion` has them. What is there already is not trained again."""

import json
import pathlib

import numpy as np
import torch

from .. import masks as masks_of
from .. import models
from ..distill import Joint, train_joint
from ..export import export, round_to_half
from ..images import FASHION, fashion
from ..loop import Settings
from ..masks import Attached
from ..prune import choose
from ..replace import replace
from ..source import ImageSource
from ..vit import Vit, VitConfig
from .stages import Stages

CONFIG = VitConfig(image=(28, 28), patch=4, channels=1, width=96, heads=3, depth=4, mlp=384, classes=10)
SHIPPED = 1000  # test images
# Of a dead unit's weights, what is left in the model that is right only with its masks.
REMAINDER = 0.1

TEACHER = Settings(epochs=13, batch=64, rate=1.2e-3)
BLOCKS = Settings(epochs=1, batch=128, rate=3e-3, decay=0.01)
FAR = Settings(epochs=4, batch=64, rate=1e-3)
SPARSE = Settings(epochs=1, batch=64, rate=7e-4)
TUNE = Settings(epochs=2, batch=64, rate=9e-4)
HOYER = 20.0
SPARSITY = 0.5
# The model whose MLPs are pruned too.
SLIM_TUNE = Settings(epochs=3, batch=64, rate=9e-4)
SLIM_SPARSITY = 0.6


def train(folder: pathlib.Path, quick: bool = False, data: pathlib.Path = FASHION, seed: int = 0) -> dict[str, float]:
    """Trains what is not there yet. Returns top-1 on the test images, by model."""
    training, test = fashion(data)
    if quick:
        training, test = training.first(4096), test.first(1000)
    source = ImageSource(training, test)
    stages = Stages(folder, source, quick, seed)
    torch.manual_seed(seed)

    def teacher():
        model = Vit(CONFIG)
        train_joint("teacher", model, None, source, stages.settings(TEACHER), stages.run)
        return model

    deit = stages.made("deit", teacher)
    blocks = stages.blocks(deit, BLOCKS)
    far = stages.joint("far", blocks, deit, FAR, Joint())
    sparse = stages.joint("sparse", far, deit, SPARSE, Joint(hoyer=HOYER))
    pruned = stages.joint("pruned", sparse, deit, TUNE, Joint(), choose(sparse, SPARSITY)[0])
    sparse = stages.joint("slim-sparse", far, deit, SPARSE, Joint(hoyer=HOYER, mlp=True))
    slim = stages.joint("slim", sparse, deit, SLIM_TUNE, Joint(), slim_masks(sparse))
    found = {"deit": deit, "far": far, "pruned": pruned, "slim": slim}
    return {name: source.evaluate(model)["top1"] for name, model in found.items()}


def slim_masks(sparse):
    """Of the model whose MLPs are pruned too."""
    return choose(sparse, SLIM_SPARSITY, mlp=True)[0]


@torch.no_grad()
def with_dead_weights(folder: pathlib.Path):
    """The pruned model in the monolithic form with a part of what its dead units were, and its masks: it is right only with them."""
    sparse, dense = (
        replace(models.load(str(folder / f"{name}.safetensors")), "monolithic") for name in ("sparse", "pruned")
    )
    masks, _ = choose(sparse, SPARSITY)
    before, after = (dict(model.named_parameters()) for model in (sparse, dense))
    for name, mask in masks.items():
        after[name] += REMAINDER * (1 - mask) * before[name]
    return dense.eval(), masks


@torch.no_grad()
def write(folder: pathlib.Path, output: pathlib.Path, data: pathlib.Path = FASHION):
    """The models as ONNX with weights in f16, PyTorch's answers, and the first thousand test images."""
    _, test = fashion(data)
    shipped = test.first(SHIPPED)
    images = shipped.normal(slice(None))
    dense, masks = with_dead_weights(folder)
    output.mkdir(parents=True, exist_ok=True)
    masks_of.write(masks, output / "far-pruned-dense.masks.safetensors")
    deit, far, slim, sparse = (
        models.load(str(folder / f"{name}.safetensors")) for name in ("deit", "far", "slim", "slim-sparse")
    )
    found = {}
    for name, model, form, its in (
        ("deit", deit, None, None),
        ("far-parallel", far, "parallel", None),
        ("far-pruned-dense", dense, "monolithic", masks),
        ("far-slim", slim, "parallel", slim_masks(sparse)),
    ):
        export(model, output / f"{name}.onnx", form, half=True)
        round_to_half(model)
        Attached(model, its)
        logits = model(images)
        np.save(output / f"{name}.logits.npy", logits.numpy())
        found[name] = {
            "top1_of_10000": ImageSource(test, test).evaluate(model)["top1"],
            "top1_of_1000": float((logits.argmax(dim=1) == shipped.labels).float().mean()),
            "parameters": models.parameters(model, its),
        }
    np.save(output / "images.npy", images.numpy())
    np.save(output / "labels.npy", shipped.labels.numpy())
    (folder / "info.json").write_text(json.dumps(found, indent=1) + "\n")
    return found
