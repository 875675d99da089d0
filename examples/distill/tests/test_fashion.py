"""Training on a part of Fashion-MNIST: minutes."""

import pytest

from far_distill.images import FASHION
from far_distill.recipes import fashion


@pytest.mark.slow
@pytest.mark.skipif(not FASHION.exists(), reason="no Fashion-MNIST: apt-get install dataset-fashion-mnist")
def test_the_recipe_learns(tmp_path):
    top1 = fashion.train(tmp_path / "run", quick=True)
    assert all(value > 0.25 for value in top1.values()), top1
    fashion.write(tmp_path / "run", tmp_path / "models")
    assert (tmp_path / "models/far-pruned-dense.onnx").exists()
