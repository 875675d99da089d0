"""A vision transformer with DeiT's structure and timm's parameter names, of any widths."""

import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional as F


@dataclasses.dataclass(frozen=True)
class VitConfig:
    """The defaults are DeiT-Tiny's."""

    image: tuple[int, int] = (224, 224)
    patch: int = 16
    channels: int = 3
    width: int = 192
    heads: int = 3
    depth: int = 12
    mlp: int = 768
    classes: int = 1000

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return math.prod(side // self.patch for side in self.image) + 1


def attend(q, k, v, bias=None):
    """Scaled dot product of `[B, heads, T, d]`. On CPUs in bf16 PyTorch's fused one is several times slower to train."""
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if bias is not None:
        scores = scores + bias
    return scores.softmax(dim=-1).to(v.dtype) @ v


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.num_heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, self.num_heads, d // self.num_heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(attend(q, k, v).transpose(1, 2).reshape(b, t, d))


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Norms come before what they feed."""

    def __init__(self, c: VitConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(c.width, eps=1e-6)
        self.attn = Attention(c.width, c.heads)
        self.norm2 = nn.LayerNorm(c.width, eps=1e-6)
        self.mlp = Mlp(c.width, c.mlp)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, c: VitConfig):
        super().__init__()
        self.proj = nn.Conv2d(c.channels, c.width, c.patch, c.patch)

    def forward(self, image):
        return self.proj(image).flatten(2).transpose(1, 2)


class Vit(nn.Module):
    """`image` `[B, channels, height, width]` to `logits` `[B, classes]`."""

    def __init__(self, config: VitConfig):
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.tokens, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.head = nn.Linear(config.width, config.classes)
        # Wider than DeiT's 0.02, which is too little for narrow models.
        nn.init.trunc_normal_(self.pos_embed, std=0.3)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.7 * module.in_features**-0.5)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.head.weight, std=0.02)

    def forward(self, image):
        x = self.patch_embed(image)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])
