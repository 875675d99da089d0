"""The training loop that all stages share: mixed precision, one-cycle rate, several processes, logs, resuming."""

import contextlib
import csv
import dataclasses
import os
import pathlib
import sys
import time
import zipfile
from collections.abc import Callable

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from .errors import DistillError


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train; the same for every stage."""

    epochs: int = 10
    batch: int = 128
    rate: float = 1e-3  # at its peak
    decay: float = 0.05
    warmup: float = 0.1  # part of the steps until the peak
    clip: float = 1.0  # of the gradient's norm
    seed: int = 0
    amp: bool = True  # matrix products in bf16
    device: str = "cpu"


class Run:
    """A folder with what a training leaves: CSV logs, TensorBoard events, and checkpoints to go on from."""

    def __init__(self, folder: pathlib.Path, quiet: bool = False):
        self.folder, self.quiet = folder, quiet
        self.main = rank() == 0
        if self.main:
            folder.mkdir(parents=True, exist_ok=True)
        self._board = None
        if self.main:
            with contextlib.suppress(ImportError):  # without the package there are CSV files only
                from torch.utils.tensorboard import SummaryWriter

                self._board = SummaryWriter(folder / "tensorboard")

    def log(self, stage: str, epoch: int, values: dict[str, float]):
        if not self.main:
            return
        path = self.folder / f"{stage}.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["epoch", *values])
            writer.writerow([epoch, *(f"{value:.6g}" for value in values.values())])
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(f"{stage}/{name}", value, epoch)
            self._board.flush()
        if not self.quiet:
            shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            tqdm.write(f"{stage} epoch {epoch}: {shown}", file=sys.stderr)

    def restart(self, stage: str):
        """Forgets what an earlier training of this stage logged."""
        if self.main:
            (self.folder / f"{stage}.csv").unlink(missing_ok=True)


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


@contextlib.contextmanager
def process_group(device: str):
    """Joins the other processes that `torchrun` has started, if it has."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) < 2:
        yield device
        return
    on_gpu = device == "cuda"
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        if on_gpu:
            device = f"cuda:{int(os.environ['LOCAL_RANK'])}"
            torch.cuda.set_device(device)
        yield device
    finally:
        distributed.destroy_process_group()


def autocast(settings: Settings):
    return torch.autocast(torch.device(settings.device).type, torch.bfloat16, enabled=settings.amp)


Batches = Callable[[int], list]
Loss = Callable[[nn.Module, object, int], tuple[torch.Tensor, dict[str, float]]]


def fit(
    stage: str,
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    settings: Settings,
    run: Run,
    *,
    evaluate: Callable[[], dict[str, float]] | None = None,
    after_step: Callable[[], None] | None = None,
):
    """Trains what of `model` requires gradients. Goes on from `STAGE.checkpoint` where one is in the run's folder."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise DistillError("nothing to train: no parameter takes gradients", where=stage)
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=settings.rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    steps = settings.epochs * len(batches(0))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.rate, total_steps=steps + 1, pct_start=settings.warmup, cycle_momentum=False
    )
    path = run.folder / f"{stage}.checkpoint"
    first = _resume(path, model, optimizer, schedule, settings)
    if first == 0:
        run.restart(stage)
    wrapped = DistributedDataParallel(model) if processes() > 1 else model
    for epoch in range(first, settings.epochs):
        torch.manual_seed(settings.seed * 7919 + epoch)
        model.train()
        begun, sums, count = time.monotonic(), {}, 0
        items = batches(epoch)
        bar = tqdm(
            items, f"{stage} {epoch + 1}/{settings.epochs}", disable=run.quiet or not run.main or None, leave=False
        )
        for batch in bar:
            optimizer.zero_grad(set_to_none=True)
            with autocast(settings):
                value, found = loss(wrapped, batch, epoch)
            value.backward()
            nn.utils.clip_grad_norm_(parameters, settings.clip)
            optimizer.step()
            schedule.step()
            if after_step:
                after_step()
            count += 1
            for name, number in {"loss": value.detach(), **found}.items():
                sums[name] = sums.get(name, 0.0) + float(number)
        values = {name: total / count for name, total in sums.items()}
        if evaluate:
            model.eval()
            with autocast(settings):
                values |= evaluate()
        run.log(stage, epoch + 1, values | {"rate": schedule.get_last_lr()[0], "seconds": time.monotonic() - begun})
        if run.main:
            _save(path, model, optimizer, schedule, settings, epoch + 1)
    model.eval()


def _save(path: pathlib.Path, model, optimizer, schedule, settings, epoch: int):
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "settings": dataclasses.asdict(settings),
        "epoch": epoch,
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _resume(path: pathlib.Path, model, optimizer, schedule, settings) -> int:
    """The epoch to go on with."""
    if not path.exists():
        return 0
    hint = "take another folder with --folder, or delete the file"
    try:
        state = torch.load(path, map_location=settings.device, weights_only=True)
        if state["settings"] != dataclasses.asdict(settings):
            raise DistillError("the checkpoint is of a training with other settings", where=str(path), hint=hint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        return state["epoch"]
    except (RuntimeError, KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise DistillError(f"can't go on from the checkpoint: {error}", where=str(path), hint=hint) from error
