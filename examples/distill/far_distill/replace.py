"""Finds the blocks of a model and their attention, and replaces it. Models are known by their parts, not by their
class: a list `blocks` of modules with an `attn` that has `num_heads` and an output projection `proj`, as timm's ViT
and DeiT."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn

from .errors import DistillError
from .mixer import FORMS, Mixer, Monolithic, Parallel, convert


@dataclasses.dataclass(frozen=True)
class BlockRef:
    """A block of a model."""

    name: str
    module: nn.Module

    @property
    def attention(self) -> nn.Module:
        """The attention, or what stands in its place."""
        return self.module.attn

    @property
    def projection(self) -> nn.Linear:
        """What the mixed heads go through."""
        return self.attention.post_proj if isinstance(self.attention, Mixer) else self.attention.proj


def blocks_of(model: nn.Module) -> list[BlockRef]:
    """A block must be a function of its tokens alone: it is trained on the teacher's input of it."""
    for name in ("rope", "shared_rel_pos"):
        if getattr(model, name, None) is not None:
            hint = "models that add positions to their tokens are read, as ViT and DeiT"
            raise DistillError(f"the model gives its blocks positions (`{name}`)", hint=hint)
    blocks = getattr(model, "blocks", None)
    found = [BlockRef(f"blocks.{i}", block) for i, block in enumerate(blocks or [])]
    for block in found:
        attention = getattr(block.module, "attn", None)
        if isinstance(attention, Mixer):
            continue
        if not (isinstance(getattr(attention, "proj", None), nn.Linear) and hasattr(attention, "num_heads")):
            raise DistillError(
                f"the block has no attention that can be replaced: {type(attention).__name__}",
                where=block.name,
                hint="`attn` with `num_heads` and an output projection `proj`, as timm's ViT and DeiT have",
            )
        for name in ("q_norm", "k_norm", "norm"):
            if not isinstance(getattr(attention, name, nn.Identity()), nn.Identity):
                raise DistillError(f"the attention has a `{name}`", where=block.name, hint="it can't be replaced")
    if not found:
        raise DistillError(
            f"{type(model).__name__} has no list `blocks`", hint="timm's ViT and DeiT have, BERT as loaded here"
        )
    return found


def replace(model: nn.Module, form: str = "monolithic", names: Sequence[str] | None = None) -> nn.Module:
    """Replaces the attention of these blocks (all, unless said), in place. Output projections are taken over.
    A block that is replaced already is converted to the form."""
    if form not in FORMS:
        raise DistillError(f"unknown form `{form}`", hint=f"one of {', '.join(FORMS)}")
    blocks = {block.name: block for block in blocks_of(model)}
    for name in blocks if names is None else names:
        if name not in blocks:
            raise DistillError(f"there is no block `{name}`", hint=f"the model has {', '.join(blocks)}")
        block = blocks[name]
        old = block.attention
        if isinstance(old, Mixer):
            block.module.attn = convert(old, form)
            continue
        projection = old.proj
        width, heads = projection.in_features, old.num_heads
        if width % heads or projection.out_features != width:
            raise DistillError(
                f"{heads} heads over {width} channels", where=name, hint="heads of equal width are expected"
            )
        mixer = {"monolithic": Monolithic, "parallel": Parallel}[form](width, heads)
        with torch.no_grad():
            mixer.post_proj.weight.copy_(projection.weight)
            mixer.post_proj.bias.copy_(0 if projection.bias is None else projection.bias)
            # Channels reach the heads as they are until training finds something better.
            mixer.pre_proj.weight.copy_(torch.eye(width))
            mixer.pre_proj.bias.zero_()
        block.module.attn = mixer.to(projection.weight.device).train(old.training)
    return model


def parse_blocks(text: str | None) -> list[str] | None:
    """`0,2,4-6` as blocks' names."""
    if text is None:
        return None
    try:
        indices: list[int] = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            indices.extend(range(int(first), int(last or first) + 1))
    except ValueError as error:
        raise DistillError(f"can't read the blocks `{text}`", hint="numbers and ranges, as 0,2,4-6") from error
    return [f"blocks.{i}" for i in indices]
