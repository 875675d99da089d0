"""`far-distill`: one file a subcommand. The only place that prints or exits."""

import argparse
import sys

import torch

from ..errors import DistillError
from . import analyse, export, measure, prune, recipe, replace, train

COMMANDS = (replace, train, prune, export, analyse, measure, recipe)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="far-distill", description="From a pretrained Transformer to a FAR model that farc compiles."
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        summary = module.__doc__.partition("\n\n")[0]
        sub = commands.add_parser(
            name, help=summary, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.arguments(sub)
        sub.add_argument("--threads", type=int, metavar="N", help="threads of PyTorch")
        sub.set_defaults(run=module.run)
    return top


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        args.run(args)
    except DistillError as error:
        print(f"far-distill: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("far-distill: interrupted; `train` goes on from its last epoch when run again", file=sys.stderr)
        return 130
    return 0
