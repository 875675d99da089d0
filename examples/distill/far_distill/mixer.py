"""What FAR puts in the place of attention: a multi-head bidirectional LSTM, in the two forms that it is trained in.

    x ── pre_proj ── LSTMs ── head_proj ── post_proj

`Monolithic` holds all heads in one LSTM whose matrices are block diagonal within each gate, `Parallel` an LSTM a
head. They compute the same function; `convert` makes one of the other.
"""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .errors import DistillError

GATES = 4  # i, f, g, o in PyTorch's order
DIRECTIONS = ("", "_reverse")
FORMS = ("monolithic", "parallel")


class Mixer(nn.Module):
    """What both forms share. Each head has as many hidden units a direction as it has channels."""

    form: str

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.width, self.heads, self.hidden = width, heads, width // heads
        self.pre_proj = nn.Linear(width, width)
        self.post_proj = nn.Linear(width, width)

    def forward(self, x, mask=None, **given):
        """In attention's place. Of what else attention is `given` (timm's `attn_mask`, `is_causal`) nothing may be set."""
        for name, value in given.items():
            if value is not None and value is not False:
                raise DistillError(
                    f"attention is given `{name}`", hint="a bidirectional LSTM reads all tokens, in order"
                )
        return self.post_proj(self.mixed(x, mask))

    def mixed(self, x, mask=None):
        """The heads' answers side by side, as attention has them before its output projection."""
        lengths = None if mask is None else mask.sum(dim=1)
        return self.heads_of(self.pre_proj(x), lengths)

    def heads_of(self, x, lengths):
        raise NotImplementedError

    def structure(self) -> dict[str, torch.Tensor]:
        """0/1 matrices by the names of parameters whose zeros are what keeps the heads apart."""
        return {}


def run_lstm(lstm: nn.LSTM, x, lengths=None):
    """Hidden states. Of sequences of different lengths each one's reverse direction begins at its own end."""
    if lengths is None:
        return lstm(x)[0]
    packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]


class Parallel(Mixer):
    form = "parallel"

    def __init__(self, width: int, heads: int):
        super().__init__(width, heads)
        self.l = nn.ModuleList(
            nn.LSTM(self.hidden, self.hidden, bidirectional=True, batch_first=True) for _ in range(heads)
        )
        self.hp = nn.ModuleList(nn.Linear(2 * self.hidden, self.hidden) for _ in range(heads))

    def heads_of(self, x, lengths):
        parts = x.chunk(self.heads, dim=-1)
        return torch.cat([hp(run_lstm(l, part, lengths)) for l, hp, part in zip(self.l, self.hp, parts)], dim=-1)


class Monolithic(Mixer):
    form = "monolithic"

    def __init__(self, width: int, heads: int):
        super().__init__(width, heads)
        self.lstm = nn.LSTM(width, width, bidirectional=True, batch_first=True)
        self.head_proj = nn.Linear(2 * width, width)
        with torch.no_grad():
            for name, mask in self.structure().items():
                self.get_parameter(name).mul_(mask)

    def heads_of(self, x, lengths):
        return self.head_proj(run_lstm(self.lstm, x, lengths))

    def structure(self):
        block = torch.block_diag(*[torch.ones(self.hidden, self.hidden)] * self.heads)
        gates = block.repeat(GATES, 1)
        names = [f"lstm.weight_{kind}_l0{way}" for kind in ("ih", "hh") for way in DIRECTIONS]
        return {name: gates for name in names} | {"head_proj.weight": block.repeat(1, 2)}


@torch.no_grad()
def convert(mixer: Mixer, form: str) -> Mixer:
    """The same function in another form; parameters are new ones."""
    made = {"monolithic": Monolithic, "parallel": Parallel}[form](mixer.width, mixer.heads)
    made.to(mixer.pre_proj.weight)
    for name in ("pre_proj", "post_proj"):
        getattr(made, name).load_state_dict(getattr(mixer, name).state_dict())
    if form == mixer.form:
        made.load_state_dict(mixer.state_dict())
    elif form == "parallel":
        for head in range(mixer.heads):
            for way in DIRECTIONS:
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    whole = getattr(mixer.lstm, f"{name}_l0{way}")
                    getattr(made.l[head], f"{name}_l0{way}").copy_(_gates_of(whole, head, mixer))
            made.hp[head].weight.copy_(_columns_of(mixer.head_proj.weight, head, mixer))
            made.hp[head].bias.copy_(mixer.head_proj.bias[_channels(head, mixer)])
    else:
        for name in made.structure():
            made.get_parameter(name).zero_()
        for head in range(mixer.heads):
            for way in DIRECTIONS:
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    whole = getattr(made.lstm, f"{name}_l0{way}")
                    _gates_of(whole, head, mixer, set_to=getattr(mixer.l[head], f"{name}_l0{way}"))
            _columns_of(made.head_proj.weight, head, mixer, set_to=mixer.hp[head].weight)
            made.head_proj.bias[_channels(head, mixer)] = mixer.hp[head].bias
    return made.train(mixer.training)


def _channels(head: int, mixer: Mixer) -> slice:
    return slice(head * mixer.hidden, (head + 1) * mixer.hidden)


def _gates_of(whole, head: int, mixer: Mixer, set_to=None):
    """One head's rows of all gates (and its columns of a matrix): read, or set."""
    at = _channels(head, mixer)
    rows = torch.cat([torch.arange(at.start, at.stop) + gate * mixer.width for gate in range(GATES)])
    if set_to is None:
        return whole[rows] if whole.dim() == 1 else whole[rows][:, at]
    if whole.dim() == 1:
        whole[rows] = set_to
    else:
        whole[rows[:, None], torch.arange(at.start, at.stop)] = set_to
    return None


def _columns_of(whole, head: int, mixer: Mixer, set_to=None):
    """One head's rows of `head_proj`, at its forward and its reverse hidden states: read, or set."""
    at = _channels(head, mixer)
    columns = torch.cat([torch.arange(at.start, at.stop) + way * mixer.width for way in range(2)])
    if set_to is None:
        return whole[at][:, columns]
    whole[torch.arange(at.start, at.stop)[:, None], columns] = set_to
    return None
