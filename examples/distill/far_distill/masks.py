"""Masks: 0/1 matrices by parameter name, as farc reads them (docs/masks.md)."""

import pathlib

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from .errors import DistillError
from .mixer import Mixer


def write(masks: dict[str, torch.Tensor], path: pathlib.Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: mask.to(torch.bool).contiguous() for name, mask in masks.items()}, path)


def read(path: pathlib.Path, model: nn.Module) -> dict[str, torch.Tensor]:
    """Masks of this model. A name or a shape that is not the model's is an error."""
    try:
        masks = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DistillError(f"can't read the masks: {error}", where=str(path)) from error
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters:
            hint = "masks are of one form: monolithic or parallel"
            raise DistillError(f"the model has no parameter `{name}`", where=str(path), hint=hint)
        if mask.shape != parameters[name].shape:
            shapes = f"{list(mask.shape)} for a parameter of {list(parameters[name].shape)}"
            raise DistillError(f"`{name}`: a mask of {shapes}", where=str(path))
        if not ((mask == 0) | (mask == 1)).all():
            raise DistillError(f"`{name}` has elements other than 0 and 1", where=str(path))
    return masks


def all_masks(model: nn.Module, masks: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """Masks together with the zeros that keep the heads of monolithic mixers apart."""
    found: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, Mixer):
            found |= {f"{name}.{rest}" if name else rest: mask for rest, mask in module.structure().items()}
    for name, mask in (masks or {}).items():
        found[name] = found[name] * mask if name in found else mask
    return found


class Attached:
    """Masks at work on a model's parameters: dead weights are zero, take no gradient, and stay zero after `apply`.
    The zeros that keep the heads of a monolithic mixer apart are masked always."""

    def __init__(self, model: nn.Module, masks: dict[str, torch.Tensor] | None = None):
        found = all_masks(model, masks)
        parameters = dict(model.named_parameters())
        self._pairs = [(parameters[name], mask.to(parameters[name])) for name, mask in found.items()]
        self._handles = [p.register_hook(mask.mul) for p, mask in self._pairs if p.requires_grad]
        self.apply()

    @torch.no_grad()
    def apply(self):
        for parameter, mask in self._pairs:
            parameter.mul_(mask)

    def detach(self):
        for handle in self._handles:
            handle.remove()
