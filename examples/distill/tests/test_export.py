"""From PyTorch through farc to libfar."""

import json

import numpy as np
import pytest
import torch
from conftest import KINDS

from far_distill import models
from far_distill.cli import main
from far_distill.export import export, round_to_half
from far_distill.masks import Attached, read, write
from far_distill.measure import compile_model
from far_distill.prune import choose
from far_distill.replace import replace


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("form", [None, "monolithic", "parallel"])
@pytest.mark.parametrize("kind", KINDS)
def test_libfar_answers_as_pytorch_does(kind, form, pruned, tmp_path, farc, far):
    model, x = kind()
    masks = None
    if form:
        replace(model, form)
        if pruned:
            masks, _ = choose(model, sparsity=0.5, mlp=True)
            write(masks, tmp_path / "masks.safetensors")
    elif pruned:
        pytest.skip("attention has no hidden units")
    onnx = tmp_path / "model.onnx"
    export(model, onnx)
    tokens = 16 if kind.__name__ == "bert" else None
    made = compile_model(farc, onnx, "host", "f32", tmp_path, masks and tmp_path / "masks.safetensors", tokens)
    if masks:
        Attached(model, masks)
    session = far.Model(made.artifact).session(threads=1)
    with torch.no_grad():
        for sample in x:
            expected = model(sample[None]).numpy()
            (found,) = session.run(sample[None].numpy()).values()
            assert np.abs(found - expected).max() <= 1e-4 * np.ptp(expected)


def test_both_forms_are_the_same_work(tmp_path, farc):
    model, _ = KINDS[0]()
    export(replace(model, "parallel"), tmp_path / "a.onnx")
    export(model, tmp_path / "b.onnx", "monolithic")
    counts = {compile_model(farc, tmp_path / f"{name}.onnx", "host", "f32", tmp_path).multiply_adds for name in "ab"}
    assert len(counts) == 1


def test_half_weights_are_those_that_were_rounded(tmp_path, farc, far):
    model, x = KINDS[0]()
    replace(model, "parallel")
    export(model, tmp_path / "half.onnx", half=True)
    export(model, tmp_path / "whole.onnx")
    assert (tmp_path / "half.onnx").stat().st_size < 0.75 * (tmp_path / "whole.onnx").stat().st_size
    made = compile_model(farc, tmp_path / "half.onnx", "host", "f32", tmp_path)
    (found,) = far.Model(made.artifact).session(threads=1).run(x[:1].numpy()).values()
    rounded = models.copy(model).eval()
    round_to_half(rounded)
    with torch.no_grad():
        expected = rounded(x[:1]).numpy()
    assert np.abs(found - expected).max() <= 1e-4 * np.ptp(expected)


def test_measure_takes_masks_and_answers_from_beside_the_model(tmp_path, farc, far, capsys):
    model, x = KINDS[0]()
    replace(model, "monolithic")
    masks, _ = choose(model, sparsity=0.5)
    export(model, tmp_path / "m.onnx")
    write(masks, tmp_path / "m.masks.safetensors")
    Attached(model, masks)
    with torch.no_grad():
        logits = model(x).numpy()
    np.save(tmp_path / "m.logits.npy", logits)
    np.save(tmp_path / "x.npy", x.numpy())
    np.save(tmp_path / "y.npy", logits.argmax(axis=1))
    where = [str(tmp_path / name) for name in ("m.onnx", "x.npy", "y.npy")]
    command = ["measure", where[0], "--inputs", where[1], "--labels", where[2], "--farc", farc]
    assert main([*command, "--json"]) == 0
    exact, reduced = json.loads(capsys.readouterr().out)["libfar"]
    assert exact["top1"] == 1 and exact["difference"] < 1e-4 and exact["samples"] == len(x)
    assert exact["difference"] < reduced["difference"] < 0.2 and reduced["milliseconds"] > 0
    assert main([*command, "--targets", "aarch64"]) == 1
    assert "no runner for `aarch64`" in capsys.readouterr().err


@pytest.mark.parametrize("goal", [["--params", "6k"], ["--latency", "0.022", "--target", "raspberry-pi-5"]])
def test_goals_that_a_compiler_judges_go_to_it_and_its_masks_are_the_models(goal, tmp_path, farc, capsys):
    model, _ = KINDS[0]()
    replace(model, "parallel")
    models.save(model, tmp_path / "model.safetensors")
    path = tmp_path / "masks.safetensors"
    command = ["prune", str(tmp_path / "model.safetensors"), "--farc", farc, "--mlp", "--json", "-o", str(path)]
    assert main([*command, *goal]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] > 0
    masks = read(path, model)
    assert any((mask == 0).any() for mask in masks.values())
    assert main([*command, "--params", "1"]) == 1
    assert "farc prune: " in capsys.readouterr().err
