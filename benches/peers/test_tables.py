"""The tables of a comparison in which every figure is known: `python3 -m unittest`, without any of the runtimes."""

import statistics
import types
import unittest

import tables

MODEL = "far-deit-tiny-monolithic"


def report(precision):
    """Of one model: libfar takes 10 ms with one thread and 6 with two, the others 20 and 30 ms."""
    arithmetic = {"isa": "avx512", "fma_g_per_s": 100.0, "int8_g_per_s": 400.0}
    limits = {"cpu": "a CPU", "arithmetic": [arithmetic], "read": [{"level": "L1", "gb_per_s": 300.0}]}

    def results(ours, threads):
        found = {
            # 100 or 400 G multiply-adds a second and core.
            "peak": {"ms": [10.0] * 3, "multiply_adds": threads * (1e9 if precision == "f32" else 4e9)},
            "far": {"ms": [ours] * 3, "wrong": False, "cosine": 0.9996, "loads_ms": [1.0], "peak_rss": 5 << 20},
            "onnxruntime": {"ms": [20.0] * 3, "wrong": False, "loads_ms": [60.0]},
            "openvino": {"ms": [5.0] * 3, "wrong": True},
            "ncnn": {"error": "no such operator"},
            "rten": {"ms": [30.0] * 3, "wrong": False},
        }
        return found if precision == "f32" else found | {"far-f32": {"ms": [32.0] * 3, "wrong": False}}

    totals = {"weight_bytes": 2 << 20, "arena_bytes": 1 << 20, "artifact_bytes": 3 << 20}
    entry = {
        "model": MODEL,
        "multiply_adds": 800e6,
        "totals": totals,
        "f32_totals": totals | {"artifact_bytes": 12 << 20},
        "steps": [],
        "threads": {1: results(10.0, 1), 2: results(6.0, 2)},
    }
    return {"precision": precision, "limits": [limits, limits], "models": [entry]}


def row(text, title):
    """The cells of the model's row in the table that follows the line that begins so."""
    lines = iter(text.splitlines())
    next(line for line in lines if line.startswith(title))
    return next(line for line in lines if line.startswith(MODEL)).split()


class Tables(unittest.TestCase):
    def text(self, precision):
        peers = ["onnxruntime", "openvino", "ncnn", "rten"]
        options = types.SimpleNamespace(peers=peers, threads=[1, 2], runs=3, least=False, profile=False)
        return tables.text(report(precision), options, statistics.median)

    def test_f32(self):
        text = self.text("f32")
        # A runtime whose answer is wrong is marked, and is never the fastest.
        times = [MODEL, "10.00", "20.00", "(2.00)", "5.00", "(0.50)", "✗", "–", "30.00", "(3.00)"]
        self.assertEqual(
            row(text, "f32, 1 thread:"),
            [*times, "onnxruntime", "2.00", "2.15", "100.0", "80%", "142%", "(goal", "80%)"],
        )
        self.assertEqual(row(text, "f32, 2 threads:")[-4:], ["3.33", "200.0", "67%", "119%"])
        self.assertIn(f"{MODEL}: 1.67 times faster", text)
        self.assertEqual(row(text, "load"), [MODEL, "1.00", "60.0", "60", "3.0", "2.00"])
        self.assertNotIn("not quiet", text)

    def test_int8(self):
        text = self.text("int8")
        self.assertEqual(row(text, "int8, 1 thread:")[-6:], ["20%", "36%", "32.00", "3.20", "3.00", "0.99960"])
        self.assertEqual(row(text, "load")[-2:], ["3.0", "0.250"])


if __name__ == "__main__":
    unittest.main()
