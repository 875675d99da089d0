"""Models as files: a safetensors file whose header says what to build, a Hugging Face checkpoint, or a model of timm."""

import dataclasses
import json
import pathlib

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from .bert import Bert, BertConfig, rename
from .errors import DistillError
from .masks import all_masks
from .mixer import Mixer
from .replace import blocks_of, replace
from .vit import Vit, VitConfig

KEY = "far_distill"  # of the header's entry


@dataclasses.dataclass(frozen=True)
class Spec:
    """What builds a model, but for its weights."""

    kind: str  # `vit`, `bert`, `timm`
    config: dict
    replaced: dict[str, str] = dataclasses.field(default_factory=dict)  # form by block's name

    def build(self) -> nn.Module:
        if self.kind == "timm":
            model = load_timm(self.config["name"], pretrained=False, classes=self.config["classes"])
        elif self.kind == "vit":
            model = Vit(VitConfig(**self.config | {"image": tuple(self.config["image"])}))
        elif self.kind == "bert":
            model = Bert(BertConfig(**self.config))
        else:
            raise DistillError(f"unknown kind of model `{self.kind}`", hint="the file is of a newer version")
        for form in sorted(set(self.replaced.values())):
            replace(model, form, [name for name, its in self.replaced.items() if its == form])
        return model


def spec_of(model: nn.Module) -> Spec:
    """Of a model that `Spec.build` or `load` made, as it is now."""
    replaced = {b.name: b.attention.form for b in blocks_of(model) if isinstance(b.attention, Mixer)}
    if isinstance(model, Vit):
        return Spec("vit", dataclasses.asdict(model.config), replaced)
    if isinstance(model, Bert):
        return Spec("bert", dataclasses.asdict(model.config), replaced)
    return Spec("timm", {"name": model.far_name, "classes": model.num_classes}, replaced)


def save(model: nn.Module, path: pathlib.Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {KEY: json.dumps(dataclasses.asdict(spec_of(model)), sort_keys=True)}
    save_file({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}, path, header)


def load(source: str) -> nn.Module:
    """`FILE.safetensors`, a folder with `config.json` and `model.safetensors`, or `timm:NAME` (pretrained weights)."""
    if source.startswith("timm:"):
        return load_timm(source.removeprefix("timm:"), pretrained=True)
    path = pathlib.Path(source)
    return _load_checkpoint(path) if path.is_dir() else _load_ours(path)


def copy(model: nn.Module) -> nn.Module:
    """An independent copy; hooks are not copied."""
    made = spec_of(model).build()
    made.load_state_dict(model.state_dict())
    return made.to(next(model.parameters()).device)


def _load_ours(path: pathlib.Path) -> nn.Module:
    try:
        with safe_open(path, "pt") as file:
            header = (file.metadata() or {}).get(KEY)
        if header is None:
            hint = "a model that far-distill wrote, a checkpoint's folder, or timm:NAME"
            raise DistillError("the file does not say which model its weights are of", where=str(path), hint=hint)
        model = Spec(**json.loads(header)).build()
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError, TypeError, KeyError, ValueError) as error:
        raise DistillError(f"can't load the model: {error}", where=str(path)) from error
    return model.eval()


def _load_checkpoint(folder: pathlib.Path) -> nn.Module:
    try:
        config = json.loads((folder / "config.json").read_text())
        state = load_file(folder / "model.safetensors")
    except (OSError, SafetensorError, ValueError) as error:
        hint = "a folder with config.json and model.safetensors"
        raise DistillError(f"can't read the checkpoint: {error}", where=str(folder), hint=hint) from error
    if config.get("model_type") != "bert":
        raise DistillError(
            f"a checkpoint of type `{config.get('model_type')}`",
            where=str(folder / "config.json"),
            hint="checkpoints of BERT encoders are read; vision transformers come as timm:NAME",
        )
    model = Bert(BertConfig.from_json(config))
    try:
        model.load_state_dict(rename(state))
    except RuntimeError as error:
        raise DistillError(f"the weights don't fit config.json: {error}", where=str(folder)) from error
    return model.eval()


def load_timm(name: str, pretrained: bool, classes: int | None = None) -> nn.Module:
    """By timm's name, with its pretrained weights or random ones; `classes` if other than the pretrained model's."""
    try:
        import timm
    except ImportError as error:
        raise DistillError("timm is not installed", where=f"timm:{name}", hint="pip install timm") from error
    try:
        model = timm.create_model(name, pretrained=pretrained, **({} if classes is None else {"num_classes": classes}))
    except Exception as error:  # timm raises what its hub client raises
        raise DistillError(f"timm can't make the model: {error}", where=f"timm:{name}") from error
    model.far_name = name
    return model.eval()


@torch.no_grad()
def parameters(model: nn.Module, masks: dict[str, torch.Tensor] | None = None) -> int:
    """Weights and biases that count: zeros of masks, and those that keep heads apart in the monolithic form, don't."""
    total = sum(parameter.numel() for parameter in model.parameters())
    return total - sum(int((mask == 0).sum()) for mask in all_masks(model, masks).values())
