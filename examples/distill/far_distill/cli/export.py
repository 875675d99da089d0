"""Write a model as ONNX, in a form that farc reads.

All forms come to the same artifact: the monolithic one, whose masks go by few names, or the
parallel one, which other runtimes compute faster. Masks given here become zeros in the weights;
or give them to `farc compile --masks`.
"""

import pathlib

from .. import masks as masks_of
from .. import models
from ..export import export


def arguments(parser):
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True, metavar="FILE.onnx")
    parser.add_argument(
        "--form", choices=["monolithic", "parallel"], help="of replaced blocks (as they are, unless said)"
    )
    parser.add_argument("--masks", type=pathlib.Path, metavar="FILE", help="of the form that the model is in")
    parser.add_argument("--half", action="store_true", help="store matrices in f16: half the file, weights rounded")


def run(args):
    model = models.load(args.model)
    export(model, args.output, args.form, masks_of.read(args.masks, model) if args.masks else None, args.half)
    print(f"wrote {args.output}")
