"""Forms, masks, gradients."""

import pytest
import torch
from conftest import KINDS, vit
from torch.nn import functional as F

from far_distill import models
from far_distill.distill import Heads
from far_distill.errors import DistillError
from far_distill.masks import Attached, read, write
from far_distill.prune import choose, groups_of, hoyer
from far_distill.replace import blocks_of, replace


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["monolithic", "parallel"])
def test_forms_agree_and_convert_back_to_the_same_weights(kind, form):
    model, x = kind()
    replace(model, form)
    other = replace(models.copy(model), {"monolithic": "parallel", "parallel": "monolithic"}[form])
    assert torch.allclose(model(x), other(x), atol=1e-6)
    assert models.parameters(model) == models.parameters(other)
    back = replace(models.copy(other), form)
    for name, tensor in back.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_only_the_named_blocks_are_replaced_and_the_output_projection_is_taken_over():
    model, _ = vit()
    projection = model.blocks[1].attn.proj.weight.clone()
    replace(model, "parallel", ["blocks.1"])
    assert models.spec_of(model).replaced == {"blocks.1": "parallel"}
    assert torch.equal(blocks_of(model)[1].projection.weight, projection)
    with pytest.raises(DistillError, match="no block `blocks.7`"):
        replace(model, "parallel", ["blocks.7"])


def test_padding_changes_nothing():
    model, ids = KINDS[1]()
    for form in (None, "parallel", "monolithic"):
        if form:
            replace(model, form)
        mask = torch.ones_like(ids)
        mask[0, 5:] = 0
        assert torch.allclose(model(ids, mask)[:1], model(ids[:1, :5]), atol=1e-5), form


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["monolithic", "parallel"])
def test_dead_weights_take_no_gradient_and_stay_zero(kind, form):
    model, x = kind()
    replace(model, form)
    masks, _ = choose(model, sparsity=0.5, mlp=True)
    attached = Attached(model, masks)
    # Momentum of before must not move them either.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        parameters = dict(model.named_parameters())
        for name, mask in masks.items():
            assert (parameters[name].grad[mask == 0] == 0).all(), name
            # A head may be dead; of the last block only the first token may be read, which has nothing before it.
            assert parameters[name].grad[mask == 1].any() or not mask.any() or "blocks.1." in name, name
        optimizer.step()
        attached.apply()
        for name, mask in masks.items():
            assert (parameters[name][mask == 0] == 0).all(), name
    for block in blocks_of(model):
        for name, mask in block.attention.structure().items():
            assert (block.attention.get_parameter(name)[mask == 0] == 0).all(), name


def test_a_dead_unit_is_read_by_nobody():
    model, x = vit()
    replace(model, "monolithic")
    masks, _ = choose(model, sparsity=0.5)
    Attached(model, masks)
    with torch.no_grad():
        expected = model(x)
        for name, mask in masks.items():
            if "weight_ih" in name:  # its own rows, and nothing of others
                parameter = model.get_parameter(name)
                parameter += (mask == 0) * torch.randn_like(mask)
        assert torch.allclose(model(x), expected, atol=1e-6)


def test_both_forms_are_pruned_alike_and_the_goal_is_met():
    model, _ = vit()
    replace(model, "monolithic")
    _, one = choose(model, sparsity=0.4)
    _, other = choose(replace(models.copy(model), "parallel"), sparsity=0.4)
    by_head = [sorted(k.kept) for k in other]
    assert [sorted(k.kept) for k in one] == by_head
    units = sum(group.units for group in groups_of(model))
    assert sum(sum(k.kept) for k in one) == units - round(0.4 * units)


def test_pruned_parameters_are_counted_once():
    model, _ = vit()
    replace(model, "monolithic")
    whole, parallel = models.copy(model), replace(models.copy(model), "parallel")
    masks, _ = choose(model, sparsity=0.5)
    others, _ = choose(parallel, sparsity=0.5)
    assert models.parameters(model, masks) == models.parameters(parallel, others) < models.parameters(whole)


def test_hoyer_is_one_where_all_units_are_alike_and_falls_with_those_that_fade():
    model, _ = vit()
    replace(model, "parallel")
    before = hoyer(model)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for group in groups_of(model):
            for name, times in group.rows:
                parameters[name].view(times, group.units, -1)[:, : group.units // 2] *= 0.01
            for name, first in group.columns:
                parameters[name][:, first : first + group.units // 2] *= 0.01
    assert 0.9 < before <= 1.0 + 1e-6
    assert 0.4 < hoyer(model) < 0.6


def test_masks_of_another_form_are_refused(tmp_path):
    model, _ = vit()
    replace(model, "monolithic")
    write(choose(model, sparsity=0.5)[0], tmp_path / "masks.safetensors")
    assert read(tmp_path / "masks.safetensors", model)
    with pytest.raises(DistillError, match="no parameter"):
        read(tmp_path / "masks.safetensors", replace(model, "parallel"))


def test_heads_are_those_before_the_output_projection():
    model, x = vit()
    for block in blocks_of(model):
        with Heads(block) as heads:
            seen = []
            handle = block.attention.register_forward_hook(lambda m, i, o, seen=seen: seen.append(o))
            model(x)
            handle.remove()
            assert torch.allclose(
                F.linear(heads.last, block.projection.weight, block.projection.bias), seen[0], atol=1e-6
            )
        replace(model, "parallel", [block.name])


def test_models_come_back_from_files_as_they_were(tmp_path):
    for kind in KINDS:
        model, x = kind()
        replace(model, "parallel", ["blocks.0"])
        models.save(model, tmp_path / "model.safetensors")
        again = models.load(str(tmp_path / "model.safetensors"))
        assert torch.equal(again(x), model(x))
