"""Transformers of timm, with random weights: found by their parts, kept in files, and from PyTorch through farc to libfar."""

import numpy as np
import pytest
import torch

from far_distill import models
from far_distill.errors import DistillError
from far_distill.export import export
from far_distill.measure import compile_model
from far_distill.mixer import Mixer
from far_distill.replace import blocks_of, replace

# Two classifiers' mean over two tokens; LayerScale, and positions of another image's size; registers, and a mean over tokens.
NAMES = ["deit_tiny_distilled_patch16_224", "deit3_small_patch16_224", "vit_medium_patch16_reg4_gap_256"]


def transformer(name: str):
    """The model, no weight at a value that hides a mistake, and an image."""
    pytest.importorskip("timm", reason="pip install timm")
    model = models.load_timm(name, pretrained=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model, torch.randn(1, 3, *model.patch_embed.img_size)


@pytest.mark.parametrize("name", NAMES)
def test_libfar_answers_as_pytorch_does(name, tmp_path, farc, far):
    model, x = transformer(name)
    replace(model, "parallel")
    assert all(isinstance(block.attention, Mixer) for block in blocks_of(model))
    models.save(model, tmp_path / "model.safetensors")
    with torch.no_grad():
        expected = model(x).numpy()
        assert np.array_equal(models.load(str(tmp_path / "model.safetensors"))(x).numpy(), expected)
    export(model, tmp_path / "model.onnx")
    made = compile_model(farc, tmp_path / "model.onnx", "host", "f32", tmp_path)
    (found,) = far.Model(made.artifact).session(threads=1).run(x.numpy()).values()
    assert np.abs(found - expected).max() <= 1e-4 * np.ptp(expected)


@pytest.mark.parametrize(
    ("name", "what"), [("vit_tiny_patch16_224", "q_norm"), ("vit_medium_patch16_rope_reg1_gap_256", "rope")]
)
def test_attention_that_is_more_than_its_tokens_is_refused(name, what):
    model = pytest.importorskip("timm").create_model(name, **{"qk_norm": True} if what == "q_norm" else {})
    with pytest.raises(DistillError, match=what):
        replace(model)


def test_a_mask_between_tokens_is_refused():
    model, _ = transformer("vit_tiny_patch16_224")
    replace(model)
    with pytest.raises(DistillError, match="is_causal"):
        model.blocks[0].attn(torch.zeros(1, 4, 192), is_causal=True)
