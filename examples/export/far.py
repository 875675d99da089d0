"""DeiT and FAR-DeiT in plain PyTorch: one set of weights, every form in which the LSTMs can be written down.

A FAR block's mixer is held as `HeadWeights`, head by head and direction by direction. The modules below are ways of
computing the same function from them:

    Monolithic   one LSTM over all heads; its matrices are block diagonal within each gate
    Parallel     one LSTM a head; hidden states are joined head by head
    Older        one LSTM a head; all forward hidden states, then all reverse ones
"""

import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional as F

GATES = 4  # i, f, g, o


@dataclasses.dataclass(frozen=True)
class Config:
    """What a model is, and how it is written down. The second half changes nothing of what it computes."""

    image: tuple[int, int] = (224, 224)
    patch: tuple[int, int] = (16, 16)
    channels: int = 3
    width: int = 192
    heads: int = 3
    hidden: int = 64  # units of one head in one direction
    depth: int = 12
    mlp: int = 768
    classes: int = 1000
    distilled: bool = False  # a second token and a second head; the answer is the mean of both
    attention: tuple[int, ...] = ()  # blocks that keep their attention
    projection: str = "head_proj"  # after the LSTMs: `head_proj` and post_proj, or a single `proj`
    pooling: str = "token"  # `token` (class token), `mean` of the patches
    outputs: tuple[str, ...] = ("logits",)  # of `logits`, `features` (pooled), `tokens`
    gelu: str = "erf"  # `erf`, `tanh`

    form: str = "monolithic"  # `monolithic`, `parallel`, `older`
    nodes: str = "bidirectional"  # `bidirectional`, `flip` (flip, forward LSTM, flip)
    qkv: str = "joined"  # `joined` in one linear layer, `separate`
    states: str = "absent"  # initial states: `absent`, `zeros`, `expanded` zeros
    primitives: bool = False  # LayerNorm, GELU and attention spelled out

    @property
    def tokens(self) -> int:
        """Patches, class token and distillation token."""
        return math.prod(i // p for i, p in zip(self.image, self.patch)) + 1 + self.distilled


DEIT = {
    "deit-tiny": Config(),
    "deit-small": Config(width=384, heads=6, mlp=1536),
    "deit-base": Config(width=768, heads=12, mlp=3072),
}


class LayerNorm(nn.LayerNorm):
    """`nn.LayerNorm`, or its formula."""

    def __init__(self, width: int, primitives: bool):
        super().__init__(width, eps=1e-6)
        self.primitives = primitives

    def forward(self, x):
        if not self.primitives:
            return super().forward(x)
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        return centred / torch.sqrt(variance + self.eps) * self.weight + self.bias


def gelu(x, kind: str, primitives: bool):
    if not primitives:
        return F.gelu(x, approximate="none" if kind == "erf" else "tanh")
    if kind == "erf":
        return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


class Lstm(nn.Module):
    """A bidirectional LSTM, `[B, T, inputs]` to `[B, T, 2·hidden]`: forward, then reverse."""

    def __init__(self, inputs: int, hidden: int, config: Config):
        super().__init__()
        self.hidden, self.states = hidden, config.states
        if config.nodes == "bidirectional":
            self.both = nn.LSTM(inputs, hidden, bidirectional=True, batch_first=True)
        else:
            self.both = None
            self.forwards = nn.LSTM(inputs, hidden, batch_first=True)
            self.backwards = nn.LSTM(inputs, hidden, batch_first=True)

    def forward(self, x):
        if self.both is not None:
            return self.run(self.both, x, 2)
        reverse = self.run(self.backwards, torch.flip(x, [1]), 1)
        return torch.cat([self.run(self.forwards, x, 1), torch.flip(reverse, [1])], dim=-1)

    def run(self, lstm, x, directions: int):
        if self.states == "absent":
            return lstm(x)[0]
        if self.states == "zeros":
            zeros = x.new_zeros(directions, x.shape[0], self.hidden)
        else:
            zeros = torch.zeros(directions, 1, self.hidden).expand(-1, x.shape[0], -1).contiguous()
        return lstm(x, (zeros, zeros))[0]

    @torch.no_grad()
    def set(self, forwards: list[torch.Tensor], backwards: list[torch.Tensor]):
        """`weight_ih`, `weight_hh`, `bias_ih`, `bias_hh` of each direction, in PyTorch's order of gates."""
        names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
        for name, forward, backward in zip(names, forwards, backwards):
            pair = (self.both, self.both) if self.both is not None else (self.forwards, self.backwards)
            getattr(pair[0], name).copy_(forward)
            getattr(pair[1], name + ("_reverse" if self.both is not None else "")).copy_(backward)


@dataclasses.dataclass
class HeadWeights:
    """The LSTMs of one mixer, `[direction][head]` a list of four tensors, and what follows them."""

    lstms: list[list[list[torch.Tensor]]]
    head_proj: list[nn.Linear]  # by head, 2·hidden to hidden; empty with a single projection
    proj: nn.Linear  # post_proj, or proj over the hidden states head by head

    @staticmethod
    def seeded(c: Config, generator: torch.Generator) -> "HeadWeights":
        def noise(*shape):
            return (torch.rand(shape, generator=generator) * 2 - 1) / math.sqrt(c.hidden)

        def linear(inputs, outputs):
            layer = nn.Linear(inputs, outputs)
            layer.weight.data, layer.bias.data = noise(outputs, inputs), noise(outputs)
            return layer

        rows = GATES * c.hidden
        shapes = [(rows, c.width // c.heads), (rows, c.hidden), (rows,), (rows,)]
        lstms = [[[noise(*shape) for shape in shapes] for _ in range(c.heads)] for _ in range(2)]
        if c.projection == "proj":
            return HeadWeights(lstms, [], linear(2 * c.heads * c.hidden, c.width))
        hp = [linear(2 * c.hidden, c.hidden) for _ in range(c.heads)]
        return HeadWeights(lstms, hp, linear(c.heads * c.hidden, c.width))

    def forward_then_reverse(self, hidden: int) -> torch.Tensor:
        """Columns of the projection for hidden states in the order: all forward heads, all reverse heads."""
        heads = len(self.lstms[0])
        at = torch.arange(2 * heads * hidden).view(heads, 2, hidden)
        return at.transpose(0, 1).reshape(-1)

    def dense_head_proj(self, hidden: int) -> nn.Linear:
        """All `head_proj` as one linear layer over all forward, then all reverse hidden states."""
        heads = len(self.head_proj)
        layer = nn.Linear(2 * heads * hidden, heads * hidden)
        weight = torch.block_diag(*[hp.weight.data for hp in self.head_proj])
        layer.weight.data = weight[:, self.forward_then_reverse(hidden)].contiguous()
        layer.bias.data = torch.cat([hp.bias.data for hp in self.head_proj])
        return layer

    def monolithic(self, direction: int) -> list[torch.Tensor]:
        """The LSTM of all heads: block diagonal within each gate."""
        heads = self.lstms[direction]

        def gate(kind, index):
            return [head[kind].chunk(GATES)[index] for head in heads]

        matrices = [torch.cat([torch.block_diag(*gate(kind, g)) for g in range(GATES)]) for kind in (0, 1)]
        biases = [torch.cat([torch.cat(gate(kind, g)) for g in range(GATES)]) for kind in (2, 3)]
        return matrices + biases


class Mixer(nn.Module):
    """What stands in the place of attention, in the form that the configuration asks for."""

    def __init__(self, c: Config, weights: HeadWeights):
        super().__init__()
        self.c = c
        self.pre_proj = nn.Linear(c.width, c.width)
        if c.form == "monolithic":
            self.lstm = Lstm(c.width, c.heads * c.hidden, c)
            self.lstm.set(weights.monolithic(0), weights.monolithic(1))
        else:
            self.l = nn.ModuleList(Lstm(c.width // c.heads, c.hidden, c) for _ in range(c.heads))
            for lstm, forwards, backwards in zip(self.l, *weights.lstms):
                lstm.set(forwards, backwards)
        by_head = c.form == "parallel"
        if c.projection == "proj":
            self.proj = weights.proj
            if not by_head:
                order = weights.forward_then_reverse(c.hidden)
                self.proj.weight.data = self.proj.weight.data[:, order].contiguous()
            return
        self.hp = nn.ModuleList(weights.head_proj) if by_head else None
        self.head_proj = None if by_head else weights.dense_head_proj(c.hidden)
        self.post_proj = weights.proj

    def forward(self, x):
        x = self.pre_proj(x)
        if self.c.form == "monolithic":
            heads = [self.lstm(x)]
        else:
            heads = [lstm(part) for lstm, part in zip(self.l, x.chunk(self.c.heads, dim=-1))]
        if self.c.form == "older":
            hidden = self.c.hidden
            heads = [h[..., :hidden] for h in heads] + [h[..., hidden:] for h in heads]
        if self.c.projection == "proj":
            return self.proj(torch.cat(heads, dim=-1))
        if self.hp is not None:
            return self.post_proj(torch.cat([hp(h) for hp, h in zip(self.hp, heads)], dim=-1))
        return self.post_proj(self.head_proj(torch.cat(heads, dim=-1)))


class Attention(nn.Module):
    """The attention of a block that was not replaced."""

    def __init__(self, c: Config):
        super().__init__()
        self.heads, self.primitives = c.heads, c.primitives
        names = ("qkv",) if c.qkv == "joined" else ("query", "key", "value")
        for name in names:
            setattr(self, name, nn.Linear(c.width, c.width * 3 // len(names)))
        self.proj = nn.Linear(c.width, c.width)

    def forward(self, x):
        b, t, d = x.shape
        if hasattr(self, "qkv"):
            q, k, v = self.qkv(x).reshape(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            layers = (self.query, self.key, self.value)
            q, k, v = (layer(x).view(b, t, self.heads, d // self.heads).transpose(1, 2) for layer in layers)
        if self.primitives:
            scores = (q * (d // self.heads) ** -0.5) @ k.transpose(-2, -1)
            y = scores.softmax(dim=-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(b, t, d))


class Mlp(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.fc1 = nn.Linear(c.width, c.mlp)
        self.fc2 = nn.Linear(c.mlp, c.width)

    def forward(self, x):
        return self.fc2(gelu(self.fc1(x), self.c.gelu, self.c.primitives))


class Block(nn.Module):
    def __init__(self, c: Config, mixer: nn.Module):
        super().__init__()
        self.norm1 = LayerNorm(c.width, c.primitives)
        self.attn = mixer
        self.norm2 = LayerNorm(c.width, c.primitives)
        self.mlp = Mlp(c)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    """`image` `[B, channels, height, width]` to the outputs of the configuration, in its order."""

    def __init__(self, c: Config, seed: int = 0):
        super().__init__()
        self.c = c
        generator = torch.Generator().manual_seed(seed)
        self.patch_embed = nn.Conv2d(c.channels, c.width, c.patch, c.patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, c.width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, c.width)) if c.distilled else None
        self.pos_embed = nn.Parameter(torch.zeros(1, c.tokens, c.width))
        kept = set(c.attention)
        mixers = {i: HeadWeights.seeded(c, generator) for i in range(c.depth) if i not in kept}
        self.blocks = nn.ModuleList(
            Block(c, Attention(c) if i in kept else Mixer(c, mixers[i])) for i in range(c.depth)
        )
        self.norm = LayerNorm(c.width, c.primitives)
        self.head = nn.Linear(c.width, c.classes) if "logits" in c.outputs else None
        self.head_dist = nn.Linear(c.width, c.classes) if "logits" in c.outputs and c.distilled else None
        self.initialise(generator)

    @torch.no_grad()
    def initialise(self, generator):
        """Fills what the mixers have not, the same for every form. Random, for a model must not be symmetric."""
        mixers = tuple(f"blocks.{i}.attn." for i in range(self.c.depth) if i not in self.c.attention)
        for name, parameter in self.named_parameters():
            if name.startswith(mixers) and "pre_proj" not in name:
                continue
            noise = torch.rand(parameter.shape, generator=generator) * 2 - 1
            is_matrix = parameter.dim() > 1 and name.endswith("weight")
            parameter.copy_(noise / math.sqrt(parameter[0].numel() if is_matrix else 4))
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)

    def forward(self, image):
        x = self.patch_embed(image).flatten(2).transpose(1, 2)
        prefix = [self.cls_token] if self.dist_token is None else [self.cls_token, self.dist_token]
        x = torch.cat([token.expand(x.shape[0], -1, -1) for token in prefix] + [x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        tokens = self.norm(x)
        pooled = tokens[:, 0] if self.c.pooling == "token" else tokens[:, len(prefix) :].mean(dim=1)
        found = {"tokens": lambda: tokens, "features": lambda: pooled, "logits": lambda: self.classify(tokens, pooled)}
        outputs = tuple(found[name]() for name in self.c.outputs)
        return outputs if len(outputs) > 1 else outputs[0]

    def classify(self, tokens, pooled):
        if self.head_dist is None:
            return self.head(pooled)
        return (self.head(tokens[:, 0]) + self.head_dist(tokens[:, 1])) / 2
