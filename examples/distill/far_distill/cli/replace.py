"""Replace a model's attention by multi-head BiLSTMs.

MODEL is a file that far-distill wrote, a folder with a BERT checkpoint (config.json,
model.safetensors), or timm:NAME. Embeddings, norms and MLPs are kept, output projections taken
over; the rest of each mixer starts from random numbers, for `train` to teach. Blocks that are
replaced already are converted to the form, with equal outputs.
"""

import json
import pathlib

import torch

from .. import models
from ..replace import parse_blocks
from ..replace import replace as replace_in


def arguments(parser):
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True, metavar="FILE.safetensors")
    parser.add_argument("--blocks", metavar="0,2,4-6", help="which blocks (all, unless said)")
    parser.add_argument(
        "--form",
        choices=["monolithic", "parallel"],
        default="monolithic",
        help="one masked LSTM a block, faster on GPUs; or one a head, faster on CPUs",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="say what was done as JSON")


def run(args):
    torch.manual_seed(args.seed)
    model = models.load(args.model)
    before = models.parameters(model)
    replace_in(model, args.form, parse_blocks(args.blocks))
    models.save(model, args.output)
    after, replaced = models.parameters(model), models.spec_of(model).replaced
    if args.json:
        print(json.dumps({"replaced": replaced, "parameters": {"before": before, "after": after}}))
    else:
        print(f"{len(replaced)} blocks hold mixers; {before:,} parameters before, {after:,} now\nwrote {args.output}")
