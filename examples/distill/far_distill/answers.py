"""What a teacher answers to a batch, and how far a student's blocks are from it."""

import torch
from torch import nn
from torch.nn import functional as F

from .replace import blocks_of
from .source import Batch, Source


class Responses:
    """Notes what each block of a model answers."""

    def __init__(self, model: nn.Module):
        self._blocks = blocks_of(model)
        self.last: list[torch.Tensor] = []

    def __enter__(self):
        self._handles = [block.module.register_forward_hook(self._note) for block in self._blocks]
        return self

    def _note(self, _module, _arguments, response):
        self.last.append(response)

    def __exit__(self, *_):
        for handle in self._handles:
            handle.remove()


class Answers:
    """The teacher's output for a batch, and its blocks' responses where they are wanted. `kept`, each sample's are computed
    once and held in f16: only for sources that do not augment."""

    def __init__(self, teacher: nn.Module, source: Source, responses: bool = False, kept: bool = False):
        self.teacher = teacher.eval().requires_grad_(False)
        self._source, self._responses, self._kept = source, responses, kept and not source.augments
        self._known: dict[int, torch.Tensor] = {}  # by group: which samples are held
        self._held: dict[int, list[torch.Tensor]] = {}

    def __call__(self, batch: Batch, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        group, indices = batch
        if self._kept and group in self._known and self._known[group][indices].all():
            found = [held[indices].to(x.device).float() for held in self._held[group]]
        else:
            found = self._compute(x)
            if self._kept:
                self._keep(group, indices, found)
        return found[0], found[1:]

    @torch.no_grad()
    def _compute(self, x) -> list[torch.Tensor]:
        if not self._responses:
            return [self.teacher(x).float()]
        with Responses(self.teacher) as seen:
            output = self.teacher(x)
        return [output.float(), *(response.float() for response in seen.last)]

    def _keep(self, group: int, indices, found: list[torch.Tensor]):
        if group not in self._known:
            count = self._source.groups[group]
            self._known[group] = torch.zeros(count, dtype=torch.bool)
            self._held[group] = [torch.empty(count, *part.shape[1:], dtype=torch.half) for part in found]
        for held, part in zip(self._held[group], found):
            held[indices] = part.half().cpu()
        self._known[group][indices] = True


def error_of(found: list[torch.Tensor], wanted: list[torch.Tensor]):
    """The squared error of responses in parts of the teacher's variance over tokens, the mean of blocks."""
    errors = [
        F.mse_loss(ours.float(), its) / (its - its.mean(dim=(0, 1))).square().mean().clamp(min=1e-6)
        for ours, its in zip(found, wanted, strict=True)
    ]
    return torch.stack(errors).mean()
