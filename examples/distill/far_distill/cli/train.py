"""Train a student by its teacher, block by block, then as a whole.

Stages: `blocks` teaches each mixer alone, on the teacher's own input of its block; `joint` trains
everything, for the task where data have labels and for the teacher's logits (or embeddings);
`task` trains a model without a teacher. Each stage goes on from its last epoch if it is run again
with the same --folder. With `torchrun --nproc-per-node N -m far_distill train …` N processes
share the work.
"""

import pathlib

from .. import masks as masks_of
from .. import models
from ..answers import Answers
from ..distill import Joint, train_blocks, train_joint
from ..errors import DistillError
from ..loop import Run, Settings, process_group, rank
from ..source import open_source

STAGES = ("blocks", "joint", "task")


def arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="what to train, as for `replace`")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True, metavar="FILE.safetensors")
    parser.add_argument("--teacher", metavar="MODEL")
    data_arguments(parser)
    parser.add_argument("--stages", default="blocks,joint", help="of blocks, joint, task (unless said: %(default)s)")
    parser.add_argument("--epochs", default="3", metavar="N[,N]", help="of each stage (unless said: %(default)s)")
    parser.add_argument(
        "--rate", default="1e-3", metavar="R[,R]", help="the most that steps learn, a stage (%(default)s)"
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--decay", type=float, default=0.05, help="of weights (%(default)s)")
    parser.add_argument("--logits", type=float, default=1.0, help="weight of the teacher's logits (%(default)s)")
    parser.add_argument(
        "--responses",
        type=float,
        default=0.0,
        metavar="W",
        help="joint: weight of blocks' errors to the teacher's blocks",
    )
    parser.add_argument(
        "--keep-answers",
        action="store_true",
        help="of text: compute the teacher's answers once, hold them in memory (f16)",
    )
    parser.add_argument("--task", type=float, default=1.0, help="weight of the task's own loss (%(default)s)")
    parser.add_argument("--temperature", type=float, default=2.0, help="of the logits' softmax (%(default)s)")
    parser.add_argument(
        "--hoyer", type=float, default=0.0, metavar="W", help="weight of the group regulariser, before pruning"
    )
    parser.add_argument("--mlp", action="store_true", help="the regulariser looks at the MLPs' units too")
    parser.add_argument(
        "--masks", type=pathlib.Path, metavar="FILE", help="fine-tune with these masks: dead weights stay zero"
    )
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for logs and checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--f32", action="store_true", help="no mixed precision")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument("--quiet", action="store_true")


def data_arguments(parser):
    parser.add_argument("--data", required=True, metavar="DATA", help="fashion, fashion:FOLDER, npz:FILE or text:FILE")
    parser.add_argument("--tokenizer", type=pathlib.Path, metavar="FILE", help="of text: tokenizer.json or its folder")
    parser.add_argument("--limit", type=int, metavar="N", help="take so many samples only")
    parser.add_argument("--shift", type=int, default=0, help="images are moved by up to so many pixels (%(default)s)")


def per_stage(text: str, count: int, kind, name: str) -> list:
    try:
        values = [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise DistillError(f"can't read --{name} {text}") from error
    if len(values) not in (1, count):
        raise DistillError(f"--{name} has {len(values)} values for {count} stages", hint="one for all, or one for each")
    return values * (count if len(values) == 1 else 1)


def run(args):
    stages = args.stages.split(",")
    for stage in stages:
        if stage not in STAGES:
            raise DistillError(f"unknown stage `{stage}`", hint=f"of {', '.join(STAGES)}")
        if stage != "task" and args.teacher is None:
            raise DistillError(f"the stage `{stage}` needs a teacher", hint="--teacher MODEL, or --stages task")
    epochs, rates = per_stage(args.epochs, len(stages), int, "epochs"), per_stage(args.rate, len(stages), float, "rate")
    with process_group(args.device) as device:
        model = models.load(args.model).to(device)
        teacher = models.load(args.teacher).to(device) if args.teacher else None
        source = open_source(args.data, args.tokenizer, args.limit, args.shift)
        masks = masks_of.read(args.masks, model) if args.masks else None
        joint = Joint(args.logits, args.temperature, args.task, args.responses, args.hoyer, args.mlp)
        answers = None
        if "joint" in stages:
            answers = Answers(teacher, source, args.responses > 0, args.keep_answers)
        folder = Run(args.folder, args.quiet)
        for stage, count, rate in zip(stages, epochs, rates):
            settings = Settings(
                epochs=count,
                batch=args.batch,
                rate=rate,
                decay=args.decay,
                seed=args.seed,
                amp=not args.f32,
                device=device,
            )
            if stage == "blocks":
                train_blocks(model, teacher, source, settings, folder)
            else:
                train_joint(stage, model, answers if stage == "joint" else None, source, settings, folder, joint, masks)
        if rank() == 0:
            models.save(model, args.output)
            measure = source.evaluate(model.eval(), teacher)
            print("  ".join(f"{name} {value:.4f}" for name, value in measure.items()))
            print(f"wrote {args.output}")
