#!/usr/bin/env python3
"""Runs the same models on libfar and on other runtimes, in turns, and says who is how fast.

What the tables mean, and how to get figures worth quoting, is in docs/performance.md.
"""

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile

import goals
import tables
from prepare import PEERS, PrepareError, Tools
from worker import Worker, WorkerError

# Timed runs of one turn; one untimed run before them brings the model back into the caches.
TURN = 3
# Loads of a model that are timed.
LOADS = 10
# In f32 an answer further than this from onnxruntime's, as a share of the largest logit, is wrong.
TOLERANCE = 1e-3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="", help="parts of model names, by commas; all unless given")
    parser.add_argument("--precision", choices=PEERS, default="f32", help="what all compute in (default: %(default)s)")
    known = "; ".join(f"{precision}: {', '.join(peers)}" for precision, peers in PEERS.items())
    parser.add_argument("--peers", default="", help=f"runtimes, by commas; all of the precision unless given ({known})")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, by commas (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=30, help="timed runs of each (default: %(default)s)")
    parser.add_argument("--cpus", default="", help="CPUs to pin to, by commas; those of this process unless given")
    parser.add_argument("--least", action="store_true", help="fastest runs instead of medians: for a busy machine")
    parser.add_argument("--profile", action="store_true", help="also where libfar's time goes, step by step")
    parser.add_argument("--json", action="store_true", help="everything that was measured, as JSON")
    parser.add_argument("--prepare", action="store_true", help="build and convert everything, but measure nothing")
    options = parser.parse_args()
    options.models = [part for part in options.models.split(",") if part]
    options.peers = [peer for peer in options.peers.split(",") if peer] or list(PEERS[options.precision])
    options.threads = [int(count) for count in options.threads.split(",")]
    options.cpus = [int(cpu) for cpu in options.cpus.split(",") if cpu] or sorted(os.sched_getaffinity(0))
    if unknown := set(options.peers) - set(PEERS[options.precision]):
        parser.error(f"unknown runtimes for {options.precision}: {', '.join(sorted(unknown))}")
    if max(options.threads) > len(options.cpus):
        parser.error(f"{max(options.threads)} threads need as many CPUs, there are {len(options.cpus)}")
    return options


def compare(tools, name, threads, options):
    """One model with that many threads: for each runtime its times and facts, or why there are none."""
    results, workers = {}, {}
    with tempfile.TemporaryDirectory() as logs:
        try:
            for runtime in [tables.PEAK, *runtimes(options)]:
                log = open(os.path.join(logs, runtime), "w+")
                try:
                    command, model = tools.worker(runtime, name)
                    workers[runtime] = Worker(command, model, tools.input, threads, options.cpus, log)
                    results[runtime] = {**workers[runtime].facts, "ms": []}
                except (PrepareError, WorkerError) as error:
                    results[runtime] = {"error": str(error)}
            take_turns(workers, results, options.runs)
            if tables.PEAK in workers:
                workers.pop(tables.PEAK).close()
            truth = reference(tools, name, options, logs) if options.precision != "f32" else None
            judge(workers, results, options.precision, truth)
            for runtime, worker in workers.items():
                results[runtime]["peak_rss"] = worker.peak_rss()
            if threads == 1:
                for runtime in {"far", "onnxruntime"} & workers.keys():
                    results[runtime]["loads_ms"] = workers[runtime].load(LOADS)
            if options.profile and "far" in workers:
                results["far"]["steps"] = workers["far"].profile(options.runs)
        finally:
            for worker in workers.values():
                worker.close()
    return results


def take_turns(workers, results, runs):
    """Each runtime a few runs, then the next, in another order each round: what slows the machine down for a while
    hits all of them, and the cores' peak too."""
    order = random.Random(0)
    names = list(workers)
    while names and len(results[names[0]]["ms"]) < runs:
        order.shuffle(names)
        for runtime in names:
            results[runtime]["ms"] += workers[runtime].run(1 + TURN)[1:]


def runtimes(options):
    """Who takes part: libfar, in reduced precision libfar in f32 too, and the others."""
    ours = ["far"] if options.precision == "f32" else ["far", "far-f32"]
    return [*ours, *options.peers]


def reference(tools, name, options, logs):
    """What onnxruntime answers in f32: what reduced precisions are judged by."""
    with open(os.path.join(logs, "reference"), "w+") as log:
        worker = Worker(*tools.reference(name), tools.input, 1, options.cpus, log)
        try:
            worker.run(1)
            return worker.answer()
        finally:
            worker.close()


def judge(workers, results, precision, truth):
    """Marks answers that differ from onnxruntime's, or else from libfar's."""
    answers = {runtime: worker.answer() for runtime, worker in workers.items()}
    if truth is None:
        truth = answers.get("onnxruntime", answers.get("far"))
    for runtime, answer in answers.items():
        same_length = len(answer) == len(truth)
        difference = max(map(lambda a, b: abs(a - b), answer, truth)) if same_length else float("inf")
        results[runtime]["max_difference"] = difference
        results[runtime]["cosine"] = cosine(answer, truth) if same_length else 0.0
        # Not the other way round, so that a NaN is wrong.
        right = difference <= TOLERANCE * max(map(abs, truth))
        if precision in goals.COSINE and runtime != "far-f32":
            right = results[runtime]["cosine"] >= goals.COSINE[precision]
        results[runtime]["wrong"] = not right


def cosine(a, b):
    dot = math.fsum(x * y for x, y in zip(a, b))
    norms = math.fsum(x * x for x in a) * math.fsum(y * y for y in b)
    return dot / math.sqrt(norms) if norms > 0 else float("nan")


def prepare(tools, names, options):
    """All that takes long and needs no quiet machine."""
    for name in names:
        for runtime in runtimes(options):
            try:
                tools.worker(runtime, name)
            except PrepareError as error:
                print(f"{name}: {runtime}: {error}", file=sys.stderr)


def main():
    options = arguments()
    pick = min if options.least else statistics.median
    try:
        tools = Tools(options.peers, options.precision)
        names = tools.models(options.models)
        if not names:
            raise PrepareError(f"no model's name contains {' or '.join(options.models)}")
        if options.prepare:
            return prepare(tools, names, options)
        report = {"precision": options.precision, "limits": [tools.limits(options.cpus[0])], "models": []}
        for name in names:
            compiled = tools.report(name, options.precision)
            entry = {
                "model": name,
                "multiply_adds": compiled["passes"]["passes"][-1]["after"]["multiply_adds"],
                "totals": compiled["totals"],
                "f32_totals": tools.report(name, "f32")["totals"],
                "steps": compiled["steps"],
                "threads": {},
            }
            for threads in options.threads:
                print(f"{name}, {options.precision}, {threads} threads", file=sys.stderr)
                entry["threads"][threads] = compare(tools, name, threads, options)
            report["models"].append(entry)
        # Once more: a machine that became slower meanwhile shows here.
        report["limits"].append(tools.limits(options.cpus[0]))
    except PrepareError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(report) if options.json else tables.text(report, options, pick))


if __name__ == "__main__":
    main()
