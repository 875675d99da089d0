"""The command, as a user runs it: on a few images in an npz file."""

import json

import numpy as np
import pytest
import torch
from conftest import vit
from safetensors.torch import load_file

from far_distill import models
from far_distill.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 64), ("test", 16)):
        labels = generator.integers(0, 5, count)
        images = generator.integers(0, 60, (count, 1, 16, 16), np.uint8)
        for image, label in zip(images, labels):
            image[0, 3 * label : 3 * label + 3] += 150
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
    np.savez("data.npz", **arrays)
    models.save(vit()[0], tmp_path / "teacher.safetensors")
    return tmp_path


TRAIN = ["train", "--data", "npz:data.npz", "--batch", "16", "--quiet", "--threads", "1"]


def run(*arguments):
    assert main([str(a) for a in arguments]) == 0


def fails(capsys, *arguments) -> str:
    assert main([str(a) for a in arguments]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error and error.startswith("far-distill: ")
    return error


def test_from_a_teacher_to_onnx(folder, capsys):
    run(
        "replace", "teacher.safetensors", "-o", "student.safetensors", "--json", "--blocks", "0-1", "--form", "parallel"
    )
    assert json.loads(capsys.readouterr().out)["replaced"] == {"blocks.0": "parallel", "blocks.1": "parallel"}
    distil = [*TRAIN, "student.safetensors", "--teacher", "teacher.safetensors"]
    run(*distil, "--epochs", "4,2", "--rate", "1e-2,1e-3", "--folder", "run", "-o", "far.safetensors")
    rows = (folder / "run/blocks.0.csv").read_text().splitlines()
    losses = [float(row.split(",")[1]) for row in rows[1:]]
    assert len(losses) == 4 and losses[-1] < 0.8 * losses[0]
    sparse = [*TRAIN, "far.safetensors", "--teacher", "teacher.safetensors", "--stages", "joint", "--hoyer", "5"]
    run(*sparse, "--epochs", "1", "--folder", "sparse", "-o", "sparse.safetensors")
    capsys.readouterr()
    run("prune", "sparse.safetensors", "--sparsity", "0.5", "-o", "masks.safetensors", "--json")
    kept = json.loads(capsys.readouterr().out)
    assert sum(sum(k["kept"]) for k in kept) == 48
    tune = [
        *TRAIN,
        "sparse.safetensors",
        "--teacher",
        "teacher.safetensors",
        "--stages",
        "joint",
        "--masks",
        "masks.safetensors",
    ]
    run(*tune, "--epochs", "1", "--folder", "tune", "-o", "pruned.safetensors")
    pruned = models.load("pruned.safetensors")
    for name, mask in load_file("masks.safetensors").items():
        assert (pruned.get_parameter(name)[~mask] == 0).all()
    run("export", "pruned.safetensors", "-o", "pruned.onnx", "--form", "monolithic")
    assert (folder / "pruned.onnx").exists()
    capsys.readouterr()
    run(
        "analyse",
        "far.safetensors",
        "--teacher",
        "teacher.safetensors",
        "--data",
        "npz:data.npz",
        "-o",
        "page",
        "--json",
    )
    reports = json.loads(capsys.readouterr().out)
    assert [r["block"] for r in reports] == ["blocks.0", "blocks.1"]
    assert all(r["replaced"] and -1 <= r["relations"] <= 1 and 0 <= r["cka"] <= 1.0001 for r in reports)
    assert "blocks.1" in (folder / "page/index.html").read_text() and (folder / "page/blocks.0.png").exists()


def test_a_teacher_is_its_own_student(folder, capsys):
    run("analyse", "teacher.safetensors", "--teacher", "teacher.safetensors", "--data", "npz:data.npz", "--json")
    for report in json.loads(capsys.readouterr().out):
        assert all(abs(report[key] - 1) < 1e-4 for key in ("alone", "response", "cka", "relations"))


def test_training_goes_on_where_it_stopped(folder):
    """Two epochs at once give the weights of one epoch, an interruption, and another."""
    run("replace", "teacher.safetensors", "-o", "student.safetensors", "--form", "parallel")
    distil = [
        *TRAIN,
        "student.safetensors",
        "--teacher",
        "teacher.safetensors",
        "--stages",
        "joint",
        "--epochs",
        "2",
        "--f32",
    ]
    run(*distil, "--folder", "whole", "-o", "whole.safetensors")

    from far_distill import loop

    saved = loop._save

    def interrupted(*arguments):
        saved(*arguments)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_save", interrupted)
        assert main([*distil, "--folder", "halves", "-o", "halves.safetensors"]) == 130
    run(*distil, "--folder", "halves", "-o", "halves.safetensors")
    one, other = load_file("whole.safetensors"), load_file("halves.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_mistakes_are_told_without_a_traceback(folder, capsys):
    assert "hint" in fails(capsys, *TRAIN, "teacher.safetensors", "--folder", "r", "-o", "x.safetensors")
    error = fails(capsys, *TRAIN, "teacher.safetensors", "--stages", "sleep", "--folder", "r", "-o", "x.safetensors")
    assert "unknown stage `sleep`" in error
    assert "nowhere.safetensors" in fails(capsys, "export", "nowhere.safetensors", "-o", "x.onnx")
    assert "no block `blocks.9`" in fails(
        capsys, "replace", "teacher.safetensors", "--blocks", "9", "-o", "x.safetensors"
    )
    assert "nothing to prune" in fails(
        capsys, "prune", "teacher.safetensors", "--sparsity", "0.5", "-o", "m.safetensors"
    )
    error = fails(
        capsys, "prune", "teacher.safetensors", "--latency", "2", "--farc", "no-such-farc", "-o", "m.safetensors"
    )
    assert "no-such-farc" in error
    (folder / "junk.safetensors").write_bytes(b"junk")
    assert "junk.safetensors" in fails(capsys, "export", "junk.safetensors", "-o", "x.onnx")


def test_two_processes_share_the_work(folder):
    import os
    import subprocess
    import sys

    run("replace", "teacher.safetensors", "-o", "student.safetensors", "--form", "parallel")
    distil = [
        *TRAIN,
        "student.safetensors",
        "--teacher",
        "teacher.safetensors",
        "--epochs",
        "1",
        "--folder",
        "two",
        "-o",
        "two.safetensors",
    ]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "far_distill",
        *distil,
    ]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len((folder / "two/joint.csv").read_text().splitlines()) == 2
    assert models.spec_of(models.load("two.safetensors")).replaced
