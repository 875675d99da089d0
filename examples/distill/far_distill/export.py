"""ONNX in the forms that farc reads, by PyTorch's TorchScript exporter."""

import pathlib
import tempfile

import onnx
import torch
from torch import nn

from far_export.quiet import quiet
from far_export.rewrite import halve_weights, strip

from . import models
from .bert import Bert
from .masks import Attached
from .mixer import Mixer
from .replace import blocks_of, replace

OPSET = 17


def export(
    model: nn.Module,
    path: pathlib.Path,
    form: str | None = None,
    masks: dict[str, torch.Tensor] | None = None,
    half: bool = False,
):
    """Writes the model: its replaced blocks in this form (unless said, as they are), with the masks' zeros, with matrices stored
    in f16 if so wanted. Images have batch 1; text has batch 1 and any number of tokens."""
    model = models.copy(model).cpu().eval()
    if masks:
        Attached(model, masks)
    replaced = [block.name for block in blocks_of(model) if isinstance(block.attention, Mixer)]
    if form and replaced:
        replace(model, form, replaced)
    if half:
        round_to_half(model)
    if isinstance(model, Bert):
        sample = torch.arange(7)[None] + 3
        names = {"input_names": ["input_ids"], "output_names": ["embedding"]}
        names |= {"dynamic_axes": {"input_ids": {1: "tokens"}}}
    else:
        sample = torch.zeros(1, *_image_shape(model))
        names = {"input_names": ["image"], "output_names": ["logits"]}
    with tempfile.TemporaryDirectory() as folder, quiet(), torch.no_grad():
        written = pathlib.Path(folder, "model.onnx")
        torch.onnx.export(model, (sample,), written, dynamo=False, opset_version=OPSET, **names)
        exported = onnx.load(written)
    strip(exported)
    if half:
        halve_weights(exported)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(exported, path)
    onnx.checker.check_model(path, full_check=True)


@torch.no_grad()
def round_to_half(model: nn.Module):
    """Makes matrices, and the biases that ONNX stacks into matrices, numbers of f16, so that they can be stored as such."""
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 or "bias_ih" in name or "bias_hh" in name:
            parameter.copy_(parameter.half().float())


def _image_shape(model: nn.Module) -> tuple[int, int, int]:
    if hasattr(model, "config"):
        return (model.config.channels, *model.config.image)
    return (model.patch_embed.proj.in_channels, *model.patch_embed.img_size)
