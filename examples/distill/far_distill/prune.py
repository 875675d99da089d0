"""Structured pruning: hidden units with all that belongs to them, by one threshold over the whole model.

A unit of a mixer is its four gate rows in W and R, its column in R, and its column in the projection that reads it;
a unit of an MLP its row in the first matrix and its column in the second.
"""

import dataclasses
from collections.abc import Iterator

import torch
from torch import nn

from .errors import DistillError
from .mixer import DIRECTIONS, GATES, Mixer
from .replace import blocks_of


@dataclasses.dataclass(frozen=True)
class Group:
    """Hidden units that share matrices: `rows` are (parameter's name, rows a unit), `columns` (name, first column)."""

    block: str
    part: str  # `mixer`, `mlp`
    units: int
    rows: tuple[tuple[str, int], ...]
    columns: tuple[tuple[str, int], ...]

    def squares(self, parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        """The squared norm of each unit's group. What a unit feeds to itself counts as row and as column."""
        total = 0
        for name, times in self.rows:
            total = total + parameters[name].square().sum(dim=1).view(times, self.units).sum(dim=0)
        for name, first in self.columns:
            total = total + parameters[name][:, first : first + self.units].square().sum(dim=0)
        return total

    def cut(self, keep: torch.Tensor, masks: dict[str, torch.Tensor]):
        """Zeros in the masks for what is not kept."""
        for name, times in self.rows:
            masks[name] *= keep.repeat(times)[:, None]
        for name, first in self.columns:
            masks[name][:, first : first + self.units] *= keep


def groups_of(model: nn.Module, mlp: bool = False) -> Iterator[Group]:
    for block in blocks_of(model):
        mixer = block.attention
        if isinstance(mixer, Mixer):
            whole = mixer.form == "monolithic"
            units = mixer.width if whole else mixer.hidden
            pairs = [("lstm", "head_proj")] if whole else [(f"l.{h}", f"hp.{h}") for h in range(mixer.heads)]
            for lstm, projection in pairs:
                lstm, projection = f"{block.name}.attn.{lstm}", f"{block.name}.attn.{projection}.weight"
                for index, way in enumerate(DIRECTIONS):
                    ih, hh = f"{lstm}.weight_ih_l0{way}", f"{lstm}.weight_hh_l0{way}"
                    rows, columns = ((ih, GATES), (hh, GATES)), ((hh, 0), (projection, index * units))
                    yield Group(block.name, "mixer", units, rows, columns)
        if mlp:
            first, second = _mlp(block.module, block.name)
            units = dict(block.module.named_parameters())[first.removeprefix(f"{block.name}.")].shape[0]
            yield Group(block.name, "mlp", units, ((first, 1),), ((second, 0),))


def _mlp(block: nn.Module, name: str) -> tuple[str, str]:
    path = "mlp." if hasattr(block, "mlp") else ""
    module = block.mlp if path else block
    if isinstance(getattr(module, "fc1", None), nn.Linear) and isinstance(getattr(module, "fc2", None), nn.Linear):
        return f"{name}.{path}fc1.weight", f"{name}.{path}fc2.weight"
    raise DistillError("the block has no MLP of two linear layers", where=name, hint="fc1 and fc2, or leave --mlp away")


def hoyer(model: nn.Module, mlp: bool = False) -> torch.Tensor:
    """Hoyer's square over the norms of units' groups, a part at a time: (Σ‖g‖)² / Σ‖g‖², divided by the number of units. It is
    1 where all are alike, and falls the fewer carry all the weight, whatever the scale."""
    parameters = dict(model.named_parameters())
    squares: dict[str, list[torch.Tensor]] = {}
    for group in groups_of(model, mlp):
        squares.setdefault(group.part, []).append(group.squares(parameters))
    total = 0
    for part in squares.values():
        joined = torch.cat(part)
        total = total + (joined + 1e-12).sqrt().sum().square() / (joined.sum() * joined.numel())
    return total


@dataclasses.dataclass(frozen=True)
class Kept:
    """Units that are left in one block's part, a number for each direction and head of a mixer."""

    block: str
    part: str
    kept: tuple[int, ...]
    of: int


@torch.no_grad()
def choose(model: nn.Module, sparsity: float | None = None, threshold: float | None = None, mlp: bool = False):
    """Masks that leave the most important units: all but so large a part, or those at or above a threshold (1 is an ordinary
    unit). Each block keeps at least one. Returns the masks, and what is left."""
    if (sparsity is None) == (threshold is None):
        raise DistillError("give a sparsity or a threshold")
    if sparsity is not None and not 0 <= sparsity < 1:
        raise DistillError(f"a sparsity of {sparsity}", hint="the part of the units that goes: at least 0, below 1")
    parameters = dict(model.named_parameters())
    groups = list(groups_of(model, mlp))
    if not groups:
        raise DistillError("there is nothing to prune: no block is replaced", hint="far-distill replace, or --mlp")
    squares = [group.squares(parameters) for group in groups]
    scores = []
    for group, found in zip(groups, squares):
        peers = torch.cat([other for g, other in zip(groups, squares) if g.part == group.part])
        scores.append((found / peers.mean()).sqrt())
    best: dict[tuple[str, str], torch.Tensor] = {}
    for group, score in zip(groups, scores):
        key = (group.block, group.part)
        best[key] = torch.maximum(best.get(key, score.max()), score.max())
    if threshold is None:
        ordered = torch.cat(scores).sort().values
        gone = round(sparsity * len(ordered))
        threshold = float(ordered[gone])
    masks = {name: torch.ones_like(parameters[name]) for g in groups for name, _ in (*g.rows, *g.columns)}
    left: dict[tuple[str, str], list[int]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for group, score in zip(groups, scores):
        key = (group.block, group.part)
        keep = (score >= threshold) | (score == best[key])
        group.cut(keep.to(score.dtype), masks)
        mixer = next(b.attention for b in blocks_of(model) if b.name == group.block)
        size = mixer.hidden if group.part == "mixer" else group.units
        left.setdefault(key, []).extend(int(part.sum()) for part in keep.split(size))
        sizes[key] = size
    return masks, [Kept(*key, tuple(kept), sizes[key]) for key, kept in left.items()]
