"""Small random models, and farc and libfar where the environment names them: FARC (farc unless said), FAR_LIBRARY."""

import os
import shutil

import pytest
import torch

from far_distill.bert import Bert, BertConfig
from far_distill.vit import Vit, VitConfig

VIT = VitConfig(image=(16, 16), patch=4, channels=1, width=24, heads=3, depth=2, mlp=40, classes=5)
BERT = BertConfig(vocabulary=100, positions=32, types=2, width=24, heads=3, depth=2, mlp=40)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def vit() -> tuple[Vit, torch.Tensor]:
    return _random(Vit(VIT)), torch.randn(3, 1, 16, 16)


def bert() -> tuple[Bert, torch.Tensor]:
    return _random(Bert(BERT)), torch.randint(0, BERT.vocabulary, (3, 9))


def _random(model):
    """No weight at a value that hides a mistake, as biases of zero would."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


KINDS = [vit, bert]


@pytest.fixture
def farc() -> str:
    found = shutil.which(os.environ.get("FARC", "farc"))
    if found is None:
        pytest.skip("no farc: name it in FARC")
    return found


@pytest.fixture
def far(monkeypatch):
    if "FAR_LIBRARY" not in os.environ:
        pytest.skip("no libfar: name libfar.so in FAR_LIBRARY")
    return pytest.importorskip("far", reason="pip install ./examples/python")
