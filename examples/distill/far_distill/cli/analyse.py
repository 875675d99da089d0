"""Compare a student with its teacher, block by block.

Cosines of the blocks' responses, centred kernel alignment, and how well relations between tokens
are preserved: as a table, and as a page with maps of these relations side by side.
"""

import dataclasses
import json
import pathlib

import numpy as np

from .. import models
from ..analyse import analyse, table, write_page
from ..errors import DistillError
from ..source import ImageSource, open_source
from .train import data_arguments


def arguments(parser):
    parser.add_argument("model", metavar="STUDENT")
    parser.add_argument("--teacher", required=True, metavar="MODEL")
    data_arguments(parser)
    parser.add_argument("--samples", type=int, default=64, metavar="N", help="(%(default)s)")
    parser.add_argument("-o", "--output", type=pathlib.Path, metavar="FOLDER", help="write a page and its pictures")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")


def run(args):
    student, teacher = models.load(args.model), models.load(args.teacher)
    source = open_source(args.data, args.tokenizer, args.limit)
    if isinstance(source, ImageSource):
        sample = source.test.normal(slice(0, args.samples))
    else:
        sample = max(source.test, key=lambda ids: len(ids) * ids.shape[1])[: args.samples]
    try:
        reports = analyse(student, teacher, sample)
    except (RuntimeError, ValueError) as error:
        hint = "a student keeps its teacher's widths and blocks"
        raise DistillError(f"the two can't be compared on these data: {error}", hint=hint) from error
    if args.output:
        write_page(reports, f"{args.model} beside {args.teacher}", args.output)
    if args.json:
        of = lambda r: {k: v for k, v in dataclasses.asdict(r).items() if not isinstance(v, np.ndarray)}
        print(json.dumps([of(report) for report in reports]))
    else:
        print(table(reports))
        if args.output:
            print(f"wrote {args.output / 'index.html'}")
