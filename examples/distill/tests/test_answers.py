"""What the teacher answers, and learning from it block by block in the joint stage."""

import pytest
import torch
from conftest import bert, vit

from far_distill import models
from far_distill.answers import Answers, Responses, error_of
from far_distill.distill import Joint, train_joint
from far_distill.loop import Run, Settings
from far_distill.replace import replace
from far_distill.source import TextSource


def sentences() -> TextSource:
    torch.manual_seed(1)
    ids = [torch.randint(0, 100, (3 + i % 3,)).tolist() for i in range(48)]
    return TextSource(ids[:42], ids[42:])


def test_answers_that_are_kept_are_those_of_the_samples_asked_for():
    teacher, _ = bert()
    source = sentences()
    fresh, kept = Answers(teacher, source, responses=True), Answers(teacher, source, responses=True, kept=True)
    for epoch in range(3):
        for batch in source.batches(epoch, 4, 0):
            x = source.take(batch)
            output, responses = kept(batch, x)
            expected, theirs = fresh(batch, x)
            assert torch.allclose(output, expected, atol=2e-3)
            assert len(responses) == 2
            assert all(torch.allclose(ours, its, atol=1e-2) for ours, its in zip(responses, theirs))
    # All are known by now: the teacher is not asked again.
    kept.teacher = None
    for batch in source.batches(3, 4, 0):
        assert torch.allclose(kept(batch, source.take(batch))[0], fresh(batch, source.take(batch))[0], atol=2e-3)


def test_the_error_of_responses_is_none_for_the_teacher_and_one_for_its_mean():
    teacher, x = vit()
    with Responses(teacher) as seen:
        teacher(x)
    assert len(seen.last) == 2 and float(error_of(seen.last, seen.last)) == 0
    means = [response.mean(dim=(0, 1)).expand_as(response) for response in seen.last]
    assert abs(float(error_of(means, seen.last)) - 1) < 1e-5
    with pytest.raises(ValueError):
        error_of(seen.last[:1], seen.last)


def test_blocks_come_nearer_to_the_teachers_and_embeddings_stay(tmp_path):
    teacher, _ = bert()
    source = sentences()
    student = replace(models.copy(teacher), "parallel")
    answers = Answers(teacher, source, responses=True, kept=True)
    settings = Settings(epochs=6, batch=8, rate=3e-3, amp=False)
    train_joint("joint", student, answers, source, settings, Run(tmp_path, quiet=True), Joint(responses=1.0))
    rows = [line.split(",") for line in (tmp_path / "joint.csv").read_text().splitlines()]
    errors = [float(row[rows[0].index("responses")]) for row in rows[1:]]
    assert errors[-1] < 0.8 * errors[0], errors
    for name, parameter in student.embeddings.named_parameters():
        assert parameter.requires_grad and torch.equal(parameter, teacher.embeddings.get_parameter(name)), name
