"""Choose the hidden units that a model can do without, and write masks.

One threshold over the norms of all units' groups, of the whole model: train with --hoyer before,
which makes these norms comparable, and with --masks after. Goals that only a compiler can judge
(--params, --macs, --latency) are handed to `farc prune`, which has the same norms and a board's
cost model.
"""

import json
import pathlib
import subprocess
import tempfile

from .. import masks as masks_of
from .. import models
from ..errors import DistillError
from ..export import export
from ..prune import choose


def arguments(parser):
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True, metavar="MASKS.safetensors")
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument("--sparsity", type=float, metavar="F", help="this part of all units goes")
    goal.add_argument("--threshold", type=float, metavar="X", help="units below it go; 1 is an ordinary unit")
    goal.add_argument("--params", metavar="N", help="so many parameters are left, e.g. 4.2M")
    goal.add_argument("--macs", metavar="N", help="a run takes so many multiply-adds, e.g. 850M")
    goal.add_argument("--latency", metavar="MS", help="a run is predicted to take so many milliseconds on --target")
    parser.add_argument("--target", metavar="BOARD", help="for --latency")
    parser.add_argument("--mlp", action="store_true", help="units of the MLPs too")
    parser.add_argument("--farc", default="farc", metavar="FILE", help="the compiler (%(default)s)")
    parser.add_argument("--json", action="store_true", help="say what is left as JSON")


def run(args):
    model = models.load(args.model)
    for option in ("params", "macs", "latency"):
        if getattr(args, option) is not None:
            _by_farc(model, option, args)
            return
    masks, left = choose(model, args.sparsity, args.threshold, args.mlp)
    masks_of.write(masks, args.output)
    if args.json:
        print(json.dumps([{"block": k.block, "part": k.part, "kept": k.kept, "of": k.of} for k in left]))
        return
    print(f"{'block':12}{'part':8}units kept, by direction and head")
    for kept in left:
        print(f"{kept.block:12}{kept.part:8}{' '.join(map(str, kept.kept))} of {kept.of}")
    units, total = sum(sum(k.kept) for k in left), sum(len(k.kept) * k.of for k in left)
    print(f"{units} of {total} units are left\nwrote {args.output}")


def _by_farc(model, option: str, args):
    with tempfile.TemporaryDirectory() as folder:
        onnx = pathlib.Path(folder, "model.onnx")
        export(model, onnx)
        command = [
            args.farc,
            "prune",
            str(onnx),
            "--absolute",
            f"--{option}",
            getattr(args, option),
            "-o",
            str(args.output),
        ]
        command += ["--target", args.target] if args.target else []
        command += ["--mlp"] * args.mlp + ["--json" if args.json else "--table"]
        try:
            found = subprocess.run(command, text=True, capture_output=True, check=False)
        except OSError as error:
            raise DistillError(f"can't run farc: {error.strerror}", where=args.farc, hint="--farc FILE") from error
    if found.returncode:
        raise DistillError(f"farc prune: {found.stderr.strip()}")
    print(found.stdout, end="")
