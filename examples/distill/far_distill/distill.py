"""Distillation as FAR does it: first each block by itself, on the teacher's own input of that block; then all together."""

import contextlib
import dataclasses
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from .answers import Answers, Responses, error_of
from .bert import Bert
from .loop import Run, Settings, autocast, fit
from .masks import Attached
from .mixer import Mixer
from .prune import hoyer
from .replace import BlockRef, blocks_of
from .source import Source


class Heads:
    """Notes what went through a block's output projection: the mixed heads of attention or mixer."""

    def __init__(self, block: BlockRef):
        self.last: torch.Tensor | None = None
        self._handle = block.projection.register_forward_pre_hook(self._note)

    def _note(self, _module, arguments):
        self.last = arguments[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._handle.remove()


class _Stop(Exception):
    """Ends a model's run early."""


def first_input(model: nn.Module, sample: torch.Tensor) -> torch.Tensor:
    """What the first block of a model is given for a sample."""
    found = []

    def stop(_module, arguments):
        found.append(arguments[0])
        raise _Stop

    handle = blocks_of(model)[0].module.register_forward_pre_hook(stop)
    try:
        model(sample)
    except _Stop:
        pass
    finally:
        handle.remove()
    return found[0]


@torch.no_grad()
def _embed(teacher: nn.Module, source: Source, settings: Settings) -> list[torch.Tensor]:
    """Inputs of the first block, by group, in f16."""
    parts: list[list[torch.Tensor]] = [[] for _ in source.groups]
    for batch in source.in_order(512):
        parts[batch[0]].append(first_input(teacher, source.take(batch).to(settings.device)).half().cpu())
    return [torch.cat(part) for part in parts]


@torch.no_grad()
def _answers(block: BlockRef, inputs: list[torch.Tensor], settings: Settings, quiet: bool):
    """The teacher's mixed heads and the block's response, by group, in f16."""
    mixed, responses = [], []
    with Heads(block) as heads:
        for group in tqdm(inputs, f"{block.name}: teacher", disable=quiet or None, leave=False):
            pairs = []
            for x in group.split(512):
                with autocast(settings):
                    response = block.module(x.float().to(settings.device))
                pairs.append((heads.last.half().cpu(), response.half().cpu()))
            mixed.append(torch.cat([pair[0] for pair in pairs]))
            responses.append(torch.cat([pair[1] for pair in pairs]))
    return mixed, responses


def train_blocks(
    student: nn.Module,
    teacher: nn.Module,
    source: Source,
    settings: Settings,
    run: Run,
    progress: Callable[[str], None] | None = None,
):
    """Trains each mixer alone: cosine to the teacher's mixed heads, and error of the block's response in parts of what the
    block adds. The teacher's activations are computed once a block and kept in f16."""
    teacher.eval().requires_grad_(False)
    student.requires_grad_(False)
    inputs = _embed(teacher, source, settings)
    for theirs, ours in zip(blocks_of(teacher), blocks_of(student)):
        mixed, responses = _answers(theirs, inputs, settings, run.quiet or not run.main)
        if isinstance(ours.attention, Mixer) and not isinstance(theirs.attention, Mixer):
            ours.attention.requires_grad_(True)
            _train_block(ours, (inputs, mixed, responses), source, settings, run)
            ours.attention.requires_grad_(False)
            if progress:
                progress(ours.name)
        inputs = responses
    student.requires_grad_(True)


def _train_block(block: BlockRef, cache, source: Source, settings: Settings, run: Run):
    inputs, mixed, responses = cache
    # Blocks of post-norm models don't add to their input: then this is the scale of the difference all the same.
    sample = [(r[:256].float() - x[:256].float()).square().mean() for x, r in zip(inputs, responses)]
    scale = float(torch.stack(sample).mean())
    attached = Attached(block.attention)

    def loss(module, batch, _epoch):
        group, indices = batch
        x, heads, response = (kept[group][indices].float().to(settings.device) for kept in (inputs, mixed, responses))
        with Heads(block) as seen:
            found = module(x)
            angle = 1 - F.cosine_similarity(seen.last.float(), heads, dim=-1).mean()
        error = F.mse_loss(found.float(), response) / scale
        return angle + error, {"cosine": 1 - angle.detach(), "error": error.detach()}

    def batches(epoch):
        return source.batches(epoch, settings.batch, settings.seed)

    fit(block.name, block.module, batches, loss, settings, run, after_step=attached.apply)
    attached.detach()


@dataclasses.dataclass(frozen=True)
class Joint:
    """What the whole model is trained for. Embeddings (outputs of length one) have their cosine in the place of logits."""

    logits: float = 1.0  # weight of the divergence from the teacher's logits, or of the cosine to its embedding
    temperature: float = 2.0
    task: float = 1.0  # weight of the task's own loss, where there are labels
    responses: float = 0.0  # weight of the error of blocks' responses to the teacher's, each model on its own inputs
    hoyer: float = 0.0  # weight of the group regulariser
    mlp: bool = False  # the regulariser looks at MLPs too


def train_joint(
    stage: str,
    student: nn.Module,
    teacher: nn.Module | Answers | None,
    source: Source,
    settings: Settings,
    run: Run,
    joint: Joint = Joint(),
    masks: dict[str, torch.Tensor] | None = None,
):
    """Trains all of a model, with a teacher or without; with masks dead weights stay zero. A text model's embeddings stay as
    they are: most words are too rare to learn from."""
    student.requires_grad_(True)
    if isinstance(student, Bert):
        student.embeddings.requires_grad_(False)
    answers = Answers(teacher, source, joint.responses > 0) if isinstance(teacher, nn.Module) else teacher
    attached = Attached(student, masks)

    def loss(module, batch, _epoch):
        x = source.take(batch, augmented=source.augments).to(settings.device)
        with Responses(student) if joint.responses else contextlib.nullcontext() as seen:
            found = module(x).float()
        parts = {}
        labels = source.labels(batch)
        if labels is not None and joint.task:
            parts["task"] = joint.task * F.cross_entropy(found, labels.to(settings.device))
        if answers is not None and (joint.logits or joint.responses):
            wanted, responses = answers(batch, x)
            if joint.logits:
                parts["teacher"] = joint.logits * _apart(found, wanted, labels is None, joint.temperature)
            if joint.responses:
                parts["responses"] = joint.responses * error_of(seen.last, responses)
        if joint.hoyer:
            parts["hoyer"] = joint.hoyer * hoyer(student, joint.mlp)
        total = torch.stack(list(parts.values())).sum()
        return total, {name: part.detach() for name, part in parts.items()}

    def batches(epoch):
        return source.batches(epoch, settings.batch, settings.seed)

    def evaluate():
        return source.evaluate(student, answers and answers.teacher)

    fit(stage, student, batches, loss, settings, run, evaluate=evaluate, after_step=attached.apply)
    attached.detach()
    student.requires_grad_(True)


def _apart(found, wanted, embeddings: bool, temperature: float):
    if embeddings:
        return 1 - F.cosine_similarity(found, wanted, dim=-1).mean()
    found, wanted = (F.log_softmax(x / temperature, dim=-1) for x in (found, wanted))
    return F.kl_div(found, wanted, log_target=True, reduction="batchmean") * temperature**2
