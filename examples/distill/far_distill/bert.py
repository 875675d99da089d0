"""Sentence encoders of BERT's kind: post-norm blocks, mean pooling, an embedding of length one. Weights are those of
checkpoints as Hugging Face's libraries write them."""

import dataclasses

import torch
from torch import nn
from torch.nn import functional as F

from .errors import DistillError
from .vit import attend


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The defaults are MiniLM-L6's."""

    vocabulary: int = 30522
    positions: int = 512
    types: int = 2
    width: int = 384
    heads: int = 12
    depth: int = 6
    mlp: int = 1536
    eps: float = 1e-12

    @staticmethod
    def from_json(config: dict) -> "BertConfig":
        """Of a checkpoint's `config.json`."""
        for key, expected in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
            if config.get(key, expected) != expected:
                raise DistillError(f"`{key}` is `{config[key]}`", hint=f"only `{expected}` is supported")
        names = {
            "vocabulary": "vocab_size",
            "positions": "max_position_embeddings",
            "types": "type_vocab_size",
            "width": "hidden_size",
            "heads": "num_attention_heads",
            "depth": "num_hidden_layers",
            "mlp": "intermediate_size",
            "eps": "layer_norm_eps",
        }
        missing = [name for name in names.values() if name not in config]
        if missing:
            raise DistillError(f"config.json has no `{missing[0]}`", hint="a checkpoint of a BERT encoder is expected")
        return BertConfig(**{ours: config[theirs] for ours, theirs in names.items()})


class SelfAttention(nn.Module):
    """Attention with its output projection."""

    def __init__(self, c: BertConfig):
        super().__init__()
        self.num_heads = c.heads
        self.query = nn.Linear(c.width, c.width)
        self.key = nn.Linear(c.width, c.width)
        self.value = nn.Linear(c.width, c.width)
        self.proj = nn.Linear(c.width, c.width)

    def forward(self, x, mask=None):
        b, t, d = x.shape
        layers = (self.query, self.key, self.value)
        q, k, v = (layer(x).view(b, t, self.num_heads, d // self.num_heads).transpose(1, 2) for layer in layers)
        bias = None if mask is None else (1.0 - mask[:, None, None].to(q.dtype)) * -1e4
        return self.proj(attend(q, k, v, bias).transpose(1, 2).reshape(b, t, d))


class Layer(nn.Module):
    """Norms come after each sum."""

    def __init__(self, c: BertConfig):
        super().__init__()
        self.attn = SelfAttention(c)
        self.norm1 = nn.LayerNorm(c.width, eps=c.eps)
        self.fc1 = nn.Linear(c.width, c.mlp)
        self.fc2 = nn.Linear(c.mlp, c.width)
        self.norm2 = nn.LayerNorm(c.width, eps=c.eps)

    def forward(self, x, mask=None):
        x = self.norm1(x + self.attn(x, mask=mask))
        return self.norm2(x + self.fc2(F.gelu(self.fc1(x))))


class Embeddings(nn.Module):
    def __init__(self, c: BertConfig):
        super().__init__()
        self.words = nn.Embedding(c.vocabulary, c.width)
        self.positions = nn.Embedding(c.positions, c.width)
        self.types = nn.Embedding(c.types, c.width)
        self.norm = nn.LayerNorm(c.width, eps=c.eps)

    def forward(self, ids):
        return self.norm(self.words(ids) + self.positions.weight[: ids.shape[1]] + self.types.weight[0])


class Bert(nn.Module):
    """`input_ids` `[B, T]` (and where lengths differ a mask of ones and zeros) to `embedding` `[B, width]`."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(Layer(config) for _ in range(config.depth))

    def forward(self, ids, mask=None):
        x = self.embeddings(ids)
        for block in self.blocks:
            x = block(x, mask)
        return self.pool(x, mask)

    @staticmethod
    def pool(x, mask=None):
        if mask is None:
            return F.normalize(x.mean(dim=1), dim=-1)
        weight = mask[:, :, None].to(x.dtype)
        return F.normalize((x * weight).sum(dim=1) / weight.sum(dim=1), dim=-1)


_RENAMED = {
    "embeddings.word_embeddings": "embeddings.words",
    "embeddings.position_embeddings": "embeddings.positions",
    "embeddings.token_type_embeddings": "embeddings.types",
    "embeddings.LayerNorm": "embeddings.norm",
}
_RENAMED_IN_LAYER = {
    "attention.self.query": "attn.query",
    "attention.self.key": "attn.key",
    "attention.self.value": "attn.value",
    "attention.output.dense": "attn.proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "output.LayerNorm": "norm2",
}


def rename(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A BERT checkpoint's parameters by the names used here. What the encoder does not need (pooler, heads) is left out."""
    renamed = {}
    for name, tensor in state.items():
        module, _, kind = name.removeprefix("bert.").rpartition(".")
        if module.startswith("encoder.layer."):
            _, _, index, rest = module.split(".", 3)
            ours = _RENAMED_IN_LAYER.get(rest)
            module = ours and f"blocks.{index}.{ours}"
        else:
            module = _RENAMED.get(module)
        if module:
            renamed[f"{module}.{kind}"] = tensor.float()
    return renamed
