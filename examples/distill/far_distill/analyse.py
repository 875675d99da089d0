"""How far a student's blocks do what the teacher's do."""

import base64
import dataclasses
import html
import io
import pathlib

import numpy as np
import torch
from torch import nn

from .errors import DistillError
from .mixer import Mixer
from .replace import blocks_of
from .text import spearman

TOKENS = 2000  # that the kernel alignment looks at


@dataclasses.dataclass(frozen=True)
class BlockReport:
    block: str
    replaced: bool
    alone: float  # cosine of what the block adds, on the teacher's own input
    response: float  # cosine of the block's output, each model on its own input
    cka: float  # linear centred kernel alignment of the outputs
    relations: float  # rank correlation of how alike tokens are to one another
    teacher_map: np.ndarray  # cosines between the tokens of one sample
    student_map: np.ndarray


def cka(a: torch.Tensor, b: torch.Tensor) -> float:
    """Linear centred kernel alignment of two sets of features, a row a token."""
    a, b = ((x - x.mean(dim=0)).double() for x in (a, b))
    cross = (a.T @ b).square().sum()
    own = (a.T @ a).norm() * (b.T @ b).norm()
    return float(cross / own)


def relations(x: torch.Tensor) -> torch.Tensor:
    """Cosines between all tokens, `[B, T, T]`. The mean token is taken out: it is common to all and says nothing of relations."""
    x = nn.functional.normalize(x - x.mean(dim=1, keepdim=True), dim=-1)
    return x @ x.transpose(1, 2)


@torch.no_grad()
def analyse(student: nn.Module, teacher: nn.Module, sample: torch.Tensor) -> list[BlockReport]:
    """Compares both models on a batch of samples."""
    theirs, ours = trace(teacher.eval(), sample), trace(student.eval(), sample)
    reports = []
    for index, (block, (x, wanted), (_, found)) in enumerate(zip(blocks_of(student), theirs, ours, strict=True)):
        alone = block.module(x)
        upper = torch.triu_indices(x.shape[1], x.shape[1], 1)
        maps = [relations(y) for y in (wanted, found)]
        pairs = [m[:, upper[0], upper[1]].numpy() for m in maps]
        flat = [y.reshape(-1, y.shape[-1])[:TOKENS] for y in (wanted, found)]
        reports.append(
            BlockReport(
                f"blocks.{index}",
                isinstance(block.attention, Mixer),
                float(nn.functional.cosine_similarity(alone - x, wanted - x, dim=-1).mean()),
                float(nn.functional.cosine_similarity(found, wanted, dim=-1).mean()),
                cka(*flat),
                float(np.mean([spearman(a, b) for a, b in zip(*pairs)])),
                maps[0][0].numpy(),
                maps[1][0].numpy(),
            )
        )
    return reports


def trace(model: nn.Module, sample: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Input and output of each block."""
    found = []
    note = lambda _module, arguments, output: found.append((arguments[0].float(), output.float()))
    handles = [block.module.register_forward_hook(note) for block in blocks_of(model)]
    try:
        model(sample)
    finally:
        for handle in handles:
            handle.remove()
    return found


def table(reports: list[BlockReport]) -> str:
    lines = [f"{'block':12}{'':10}{'alone':>8}{'response':>10}{'CKA':>8}{'relations':>11}"]
    for r in reports:
        kind = "mixer" if r.replaced else "attention"
        lines.append(f"{r.block:12}{kind:10}{r.alone:8.4f}{r.response:10.4f}{r.cka:8.4f}{r.relations:11.4f}")
    return "\n".join(lines)


def picture(values: np.ndarray, scale: int = 4) -> bytes:
    """A map of cosines as PNG: blue is -1, white 0, red 1."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DistillError("the package `pillow` is not installed", hint="pip install pillow") from error
    v = np.clip(values, -1, 1)[..., None]
    red, blue = np.array([178, 24, 43]), np.array([33, 102, 172])
    colours = np.where(v >= 0, 255 + v * (red - 255), 255 - v * (blue - 255)).astype(np.uint8)
    colours = colours.repeat(scale, axis=0).repeat(scale, axis=1)
    file = io.BytesIO()
    Image.fromarray(colours).save(file, "png")
    return file.getvalue()


_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.25rem .8rem;text-align:right;border-bottom:1px solid #8884}
td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:.5rem 1rem .5rem 0}
img{image-rendering:pixelated;max-width:100%}:root{color-scheme:light dark}"""


def write_page(reports: list[BlockReport], title: str, folder: pathlib.Path):
    """`index.html`, which needs nothing else, and each block's pair of maps as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, figures = [], []
    for r in reports:
        gap = np.zeros((len(r.teacher_map), 2))
        both = picture(np.hstack([r.teacher_map, gap, r.student_map]))
        (folder / f"{r.block}.png").write_bytes(both)
        data = base64.b64encode(both).decode()
        numbers = "".join(f"<td>{value:.4f}</td>" for value in (r.alone, r.response, r.cka, r.relations))
        rows.append(f"<tr><td>{r.block}{'' if r.replaced else ' (attention)'}</td>{numbers}</tr>")
        figures.append(
            f'<figure><img alt="token relations of {r.block}" src="data:image/png;base64,{data}">'
            f"<figcaption>{r.block}: teacher, student</figcaption></figure>"
        )
    (folder / "index.html").write_text(
        f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>
<h1>{html.escape(title)}</h1>
<table><tr><th>block</th><th>alone</th><th>response</th><th>CKA</th><th>relations</th></tr>{"".join(rows)}</table>
<p>alone: cosine of what the block adds, given the teacher's input. response: cosine of its output, each model on its own input. CKA:
linear centred kernel alignment of these outputs. relations: rank correlation of the cosines between tokens.</p>
<h2>How alike tokens are</h2><p>Cosines between the tokens of one sample after each block: red alike, blue opposite.</p>
{"".join(figures)}</html>
""",
        encoding="utf-8",
    )
