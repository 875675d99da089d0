"""A comparison's figures as text. What each table means is in docs/performance.md."""

# How many times faster than the fastest other runtime libfar is to be, on the same file.
GOALS = {
    "deit-tiny": 1.07,
    "deit-small": 1.07,
    "far-deit-tiny-monolithic": 2.15,
    "far-deit-small-monolithic": 3.0,
    "far-deit-tiny-parallel": 1.27,
    "far-deit-small-parallel": 1.2,
    "far-deit-tiny-parallel-ragged50": 1.36,
}
# The same against the fastest other runtime on another model: what replacing the attention is to gain.
CROSS_GOALS = {("far-deit-tiny-parallel-ragged50", "deit-tiny"): 1.2}
# Multiply-adds of a model as it stands in the file, in millions, structural zeros not counted. farc's passes leave fewer:
# they compute no rows that nobody reads, and fold products.
AS_GIVEN = {
    "deit-tiny": 1254,
    "far-deit-tiny-monolithic": 1423,
    "far-deit-tiny-parallel": 1423,
    "far-deit-tiny-parallel-ragged50": 1105,
    "deit-small": 4599,
    "far-deit-small-monolithic": 4590,
    "far-deit-small-parallel": 4590,
    "far-deit-small-parallel-ragged50": 3953,
}
# Of the limit that the model as given sets, with one thread.
LIMIT_GOALS = {
    "far-deit-tiny-monolithic": 0.80,
    "far-deit-tiny-parallel": 0.80,
    "far-deit-tiny-parallel-ragged50": 0.87,
}
SECOND_THREAD_GOAL = 1.8
LOAD_GOAL = 50
MEMORY_GOAL = 3 << 20
# Medians this far above the fastest run were disturbed.
QUIET = 1.05


def text(report, options, pick):
    """All tables; `pick` makes one time of many."""
    peak = max(limit["arithmetic"][0]["fma_g_per_s"] for limit in report["limits"])
    parts = [_limits(report)]
    for threads in options.threads:
        parts.append(_times(report, options, pick, threads, peak))
    if {1, 2} <= set(options.threads):
        parts.append(_second_thread(report, pick))
    if 1 in options.threads:
        parts.append(_load_and_memory(report))
    if options.profile:
        for entry in report["models"]:
            parts += [_profile(entry, threads) for threads in options.threads]
    parts.append(_disturbance(report))
    return "\n\n".join(part for part in parts if part)


def fastest(results, pick):
    """The fastest other runtime whose answer is right, and its time."""
    times = {
        runtime: pick(result["ms"])
        for runtime, result in results.items()
        if runtime != "far" and result.get("ms") and not result["wrong"]
    }
    return min(times.items(), key=lambda item: item[1], default=(None, None))


def _limits(report):
    first, last = report["limits"][0], report["limits"][-1]
    lines = [first["cpu"]]
    for before, after in zip(first["arithmetic"], last["arithmetic"]):
        int8 = f", int8 {before['int8_g_per_s']:.1f}" if "int8_g_per_s" in before else ""
        rates = f"f32 {before['fma_g_per_s']:.1f} ({after['fma_g_per_s']:.1f} at the end){int8}"
        lines.append(f"{before['isa']:8} {rates} G multiply-adds/s")
    reads = (f"{level['level']} {level['gb_per_s']:.0f}" for level in first["read"])
    lines.append("reads    " + ", ".join(reads) + " GB/s")
    return "\n".join(lines)


def _times(report, options, pick, threads, peak):
    what = "fastest" if options.least else "median"
    head = ["model", "far", *options.peers, "fastest peer", "factor", "goal", "of limit", "as given"]
    rows = []
    best = {}
    for entry in report["models"]:
        results = entry["threads"][threads]
        ours = _time(results["far"], pick)
        peer, time = best[entry["model"]] = fastest(results, pick)
        cells = [_cell(results[peer], ours, pick) for peer in options.peers]
        factor = time / ours if time and ours else None
        share = entry["multiply_adds"] / (threads * peak * 1e6) / ours if ours else None
        given = AS_GIVEN.get(entry["model"])
        share_given = given / (threads * peak) / ours if given and ours else None
        limit_goal = LIMIT_GOALS.get(entry["model"]) if threads == 1 else None
        as_given = _number(share_given, "{:.0%}") + (f" (goal {limit_goal:.0%})" if limit_goal else "")
        far = _number(ours, "{:.2f}") + (" ✗" if results["far"].get("wrong") else "")
        goal = _number(GOALS.get(entry["model"]), "{:.2f}")
        rows.append([entry["model"], far, *cells, peer or "–", _number(factor, "{:.2f}"), goal])
        rows[-1] += [_number(share, "{:.0%}"), as_given]
    title = f"{threads} thread{'s' * (threads > 1)}: {what} of {options.runs} runs in ms (times far's)"
    lines = [title, _table([head, *rows])]
    ours = {entry["model"]: _time(entry["threads"][threads]["far"], pick) for entry in report["models"]}
    for (model, other), goal in CROSS_GOALS.items():
        if ours.get(model) and best.get(other, (None, None))[1]:
            peer, time = best[other]
            lines.append(f"{model} against {peer} on {other}: {time / ours[model]:.2f} (goal {goal:.2f})")
    return "\n".join(lines)


def _second_thread(report, pick):
    lines = [f"second thread (goal {SECOND_THREAD_GOAL})"]
    for entry in report["models"]:
        one, two = (_time(entry["threads"][threads]["far"], pick) for threads in (1, 2))
        if one and two:
            lines.append(f"{entry['model']}: {one / two:.2f} times faster")
    return "\n".join(lines)


def _load_and_memory(report):
    head = ["model", "far ms", "onnxruntime ms", f"factor (goal {LOAD_GOAL})", "weights + arena MiB", "peak − that, MiB"]
    rows = []
    for entry in report["models"]:
        results = entry["threads"][1]
        loads = [min(results.get(runtime, {}).get("loads_ms", [0])) for runtime in ("far", "onnxruntime")]
        needed = entry["totals"]["weight_bytes"] + entry["totals"]["arena_bytes"]
        over = results["far"].get("peak_rss", 0) - needed
        over = f"{over / 2**20:.2f}" + (" (too much)" if over > MEMORY_GOAL else "")
        factor = f"{loads[1] / loads[0]:.0f}" if all(loads) else "–"
        rows.append([entry["model"], f"{loads[0]:.2f}", f"{loads[1]:.1f}", factor, f"{needed / 2**20:.1f}", over])
    return "load (fastest of some) and memory\n" + _table([head, *rows])


def _profile(entry, threads):
    """Steps of one kind together: `blocks.3.mlp.fc1` and its like in the other blocks."""
    steps = entry["threads"][threads]["far"].get("steps")
    if not steps:
        return ""
    kinds = {}
    for step, compiled in zip(steps, entry["steps"]):
        name = ".".join(part for part in step["name"].split(".") if not part.isdigit())
        kind = kinds.setdefault((name, compiled["op"]), {"count": 0, "ms": 0, "predicted": 0, "work": 0})
        kind["count"] += 1
        kind["ms"] += step["ms"]
        kind["predicted"] += compiled["predicted_ms"]
        kind["work"] += compiled["multiply_adds"]
    whole = sum(kind["ms"] for kind in kinds.values())
    head = ["step", "op", "count", "ms", "share", "predicted ms", "G multiply-adds/s"]
    rows = [
        [
            name,
            op,
            str(kind["count"]),
            f"{kind['ms']:.3f}",
            f"{kind['ms'] / whole:.1%}",
            f"{kind['predicted']:.3f}",
            f"{kind['work'] / kind['ms'] / 1e6:.1f}" if kind["work"] else "",
        ]
        for (name, op), kind in sorted(kinds.items(), key=lambda item: -item[1]["ms"])
    ]
    return f"{entry['model']}, {threads} threads: where the time goes\n" + _table([head, *rows])


def _disturbance(report):
    """Which of our medians can't be trusted."""
    disturbed = []
    for entry in report["models"]:
        for threads, results in entry["threads"].items():
            times = sorted(results["far"].get("ms", []))
            if times and times[len(times) // 2] > QUIET * times[0]:
                excess = times[len(times) // 2] / times[0] - 1
                disturbed.append(f"{entry['model']} ({threads} threads) {excess:.0%}")
    return "not quiet; far's median above its fastest run: " + ", ".join(disturbed) if disturbed else ""


def _time(result, pick):
    return pick(result["ms"]) if result.get("ms") else None


def _cell(result, ours, pick):
    time = _time(result, pick)
    if time is None:
        return "–"
    ratio = f" ({time / ours:.2f})" if ours else ""
    return f"{time:.2f}{ratio}" + (" ✗" if result["wrong"] else "")


def _number(value, form):
    return "" if value is None else form.format(value)


def _table(rows):
    """Columns as wide as their widest cell, the first flush left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
