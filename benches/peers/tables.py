"""A comparison's figures as text. What each table means is in docs/performance.md."""

import goals

# Medians this far above the fastest run were disturbed.
QUIET = 1.05
# What takes its turns beside the runtimes: the cores' multiply-adds at their peak.
PEAK = "peak"
# Of those that take turns, who is no other runtime.
NO_PEERS = ("far", "far-f32", PEAK)
# What far-peak calls the rate of multiply-adds.
RATES = {"f32": "fma_g_per_s", "int8": "int8_g_per_s", "bf16": "bf16_g_per_s"}


def text(report, options, pick):
    """All tables; `pick` makes one time of many."""
    parts = [_limits(report)]
    for threads in options.threads:
        parts.append(_times(report, options, pick, threads))
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
        if runtime not in NO_PEERS and result.get("ms") and not result["wrong"]
    }
    return min(times.items(), key=lambda item: item[1], default=(None, None))


def _limits(report):
    first, last = report["limits"][0], report["limits"][-1]
    lines = [first["cpu"]]
    for before, after in zip(first["arithmetic"], last["arithmetic"]):
        rates = f"f32 {before['fma_g_per_s']:.1f} ({after['fma_g_per_s']:.1f} at the end)"
        others = (f", {kind} {before[key]:.1f}" for kind, key in RATES.items() if kind != "f32" and key in before)
        lines.append(f"{before['isa']:8} {rates}{''.join(others)} G multiply-adds/s")
    reads = (f"{level['level']} {level['gb_per_s']:.0f}" for level in first["read"])
    lines.append("reads    " + ", ".join(reads) + " GB/s")
    return "\n".join(lines)


def _peak(results, pick):
    """Multiply-adds a second, in 10⁹, of all cores in use, in the report's precision and in turns with the runtimes; none where no
    instruction does them."""
    peak = results.get(PEAK, {})
    return peak["multiply_adds"] / pick(peak["ms"]) / 1e6 if peak.get("ms") else None


def _times(report, options, pick, threads):
    precision = report["precision"]
    reduced = precision != "f32"
    what = "fastest" if options.least else "median"
    head = ["model", "far", *options.peers, "fastest peer", "factor", "goal", "peak", "of limit", "as given"]
    head += ["own f32", "factor", "goal", "cosine"] * reduced
    rows, best = [], {}
    for entry in report["models"]:
        results, model = entry["threads"][threads], entry["model"]
        ours, peak = _time(results["far"], pick), _peak(results, pick)
        peer, time = best[model] = fastest(results, pick)
        cells = [_cell(results[peer], ours, pick) for peer in options.peers]
        factor = time / ours if time and ours else None
        limit_goal = goals.LIMIT[precision].get(model) if threads == 1 else None
        as_given = _share(goals.AS_GIVEN.get(model), peak, ours)
        as_given += f" (goal {limit_goal:.0%})" if limit_goal else ""
        far = _number(ours, "{:.2f}") + (" ✗" if results["far"].get("wrong") else "")
        goal = _number(goals.PEER[precision].get(model) if threads == 1 else None, "{:.2f}")
        row = [model, far or "–", *cells, peer or "–", _number(factor, "{:.2f}"), goal, _number(peak, "{:.1f}")]
        row += [_share(entry["multiply_adds"] / 1e6, peak, ours), as_given]
        rows.append(row + (_against_f32(entry, results, pick, precision, threads) if reduced else []))
    title = f"{precision}, {threads} thread{'s' * (threads > 1)}: {what} of {options.runs} runs in ms (times far's)"
    lines = [title, _table([head, *rows])]
    ours = {entry["model"]: _time(entry["threads"][threads]["far"], pick) for entry in report["models"]}
    for (model, other), goal in goals.CROSS[precision].items():
        if ours.get(model) and best.get(other, (None, None))[1]:
            peer, time = best[other]
            lines.append(f"{model} against {peer} on {other}: {time / ours[model]:.2f} (goal {goal:.2f})")
    for (model, other), goal in goals.OWN_CROSS[precision].items():
        if ours.get(model) and ours.get(other):
            lines.append(f"{model} against far on {other}: {ours[other] / ours[model]:.2f} (goal {goal:.2f})")
    return "\n".join(lines)


def _share(millions, peak, ms):
    """Part of the time that so many multiply-adds take at the peak of the cores."""
    return f"{millions / peak / ms:.0%}" if millions and peak and ms else ""


def _against_f32(entry, results, pick, precision, threads):
    """How a reduced precision stands beside libfar in f32, and beside the right answer."""
    ours, f32 = _time(results["far"], pick), _time(results["far-f32"], pick)
    replaced = entry["model"].startswith("far-") and threads == 1
    goal = goals.OWN_F32.get(precision) if replaced else None
    factor = f32 / ours if ours and f32 else None
    cosine = results["far"].get("cosine")
    return [_number(f32, "{:.2f}"), _number(factor, "{:.2f}"), _number(goal, "{:.2f}"), _number(cosine, "{:.5f}")]


def _second_thread(report, pick):
    lines = [f"second thread (goal {goals.SECOND_THREAD})"]
    for entry in report["models"]:
        one, two = (_time(entry["threads"][threads]["far"], pick) for threads in (1, 2))
        if one and two:
            lines.append(f"{entry['model']}: {one / two:.2f} times faster")
    return "\n".join(lines)


def _load_and_memory(report):
    precision = report["precision"]
    size_goal = goals.SIZE.get(precision)
    head = [
        "model",
        "far ms",
        "onnxruntime ms",
        f"factor (goal {goals.LOAD})",
        "weights + arena MiB",
        "peak − that, MiB",
    ]
    head += ["artifact MiB", f"of f32's (goal {size_goal})"] if size_goal else []
    rows = []
    for entry in report["models"]:
        results, totals = entry["threads"][1], entry["totals"]
        loads = [min(results.get(runtime, {}).get("loads_ms", [0])) for runtime in ("far", "onnxruntime")]
        needed = totals["weight_bytes"] + totals["arena_bytes"]
        over = results["far"].get("peak_rss", 0) - needed
        over = f"{over / 2**20:.2f}" + (" (too much)" if over > goals.MEMORY else "")
        factor = f"{loads[1] / loads[0]:.0f}" if all(loads) else "–"
        other = f"{loads[1]:.1f}" if loads[1] else "–"
        row = [entry["model"], f"{loads[0]:.2f}", other, factor, f"{needed / 2**20:.1f}", over]
        if size_goal:
            size, whole = totals["artifact_bytes"], entry["f32_totals"]["artifact_bytes"]
            row += [f"{size / 2**20:.1f}", f"{size / whole:.3f}"]
        rows.append(row)
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
