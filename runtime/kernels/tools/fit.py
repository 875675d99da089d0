#!/usr/bin/env python3
"""Derives the coefficients in src/math.rs: fit.py [tanh | half_erf | exp | gelu_short]. Needs numpy and mpmath.

tanh and half_erf: the minimax rational function by Remez's exchange, rounded to f32; then a random walk over the
neighbouring f32 coefficients that looks for the least error of the f32 evaluation, under the condition that no result
exceeds the saturated value and that the result at the limit is exactly that value. exp: a Chebyshev fit. gelu_short: Lawson's
algorithm, least squares whose weights grow where the error is large, for a polynomial that is zero at the limit.
The walk judges by a sample (the coefficients there come from longer and wider ones); the slow tests in tests/elementwise.rs judge by all floats.
"""

import sys

import numpy as np
from mpmath import chebyfit, cos, erf, exp, log, lu_solve, matrix, mp, mpf, pi, polyval, sqrt, tanh

mp.dps = 40

# name: function of x, its limit at zero of f(x)/x, saturated value, end of the fit, range of the limit, degree in x²
FUNCTIONS = {
    "tanh": (tanh, mpf(1), 1.0, 8.3, (7.9, 8.6), 4),
    "half_erf": (lambda x: erf(x / sqrt(mpf(2))) / 2, 1 / sqrt(2 * pi), 0.5, 5.4, (5.1, 5.5), 5),
}


def remez(g, end, degree, grid=1000):
    """P, Q of that degree, lowest power first, q0 = 1: P/Q approximates g on [0, end] with the least relative error."""
    points = 2 * degree + 2
    us = [end * ((1 - cos(pi * i / grid)) / 2) ** 2 for i in range(grid + 1)]
    gs = [g(u) for u in us]
    chosen = [round(grid * i / (points - 1)) for i in range(points)]
    q = [mpf(1)]
    for _ in range(60):
        error = mpf(0)
        for _ in range(20):  # the error times Q is not linear in the unknowns: use the Q of the last round
            a, b = matrix(points, points), matrix(points, 1)
            for row, i in enumerate(chosen):
                for j in range(degree + 1):
                    a[row, j] = us[i] ** j
                for j in range(1, degree + 1):
                    a[row, degree + j] = -gs[i] * us[i] ** j
                a[row, points - 1] = -gs[i] * (-1) ** row * polyval(q[::-1], us[i])
                b[row] = gs[i]
            x = lu_solve(a, b)
            p, q = list(x[: degree + 1]), [mpf(1)] + list(x[degree + 1 : points - 1])
            if abs(x[points - 1] - error) <= abs(error) * mpf(10) ** -12:
                break
            error = x[points - 1]
        errors = [polyval(p[::-1], u) / polyval(q[::-1], u) / v - 1 for u, v in zip(us, gs)]
        extremes = []
        for i, e in enumerate(errors):
            if extremes and errors[extremes[-1]] * e > 0:
                if abs(e) > abs(errors[extremes[-1]]):
                    extremes[-1] = i
            else:
                extremes.append(i)
        while len(extremes) > points:
            extremes.pop(0 if abs(errors[extremes[0]]) < abs(errors[extremes[-1]]) else -1)
        if extremes == chosen or len(extremes) < points:
            break
        chosen = extremes
    return p, q


def evaluate(x, p, q):
    """As the kernels do: f32, Horner's rule with fused multiply-adds (rounded twice here, which seldom matters)."""

    def fma(a, b, c):
        return (a.astype(np.float64) * b + np.float64(c)).astype(np.float32)

    u = x * x
    num, den = np.full_like(x, p[-1]), np.full_like(x, q[-1])
    for a, b in zip(p[-2::-1], q[-2::-1]):
        num, den = fma(num, u, a), fma(den, u, b)
    return (x * num) / den


def rational(name, rounds=3000):
    function, slope, top, end, (low, high), degree = FUNCTIONS[name]
    g = lambda u: function(sqrt(u)) / sqrt(u) if u else slope
    p, q = remez(g, mpf(end) ** 2, degree)
    c = np.array([float(v) for v in p + q], np.float32)
    if name == "tanh":
        c[0] = 1  # so that tanh(x) = x for tiny x
    random = np.random.default_rng(1)
    sample = np.unique(random.uniform(0.05, high, 60_000).astype(np.float32))
    exact = np.array([float(function(mpf(float(v)))) for v in sample])
    ulp = np.spacing(np.minimum(exact.astype(np.float32), np.nextafter(np.float32(top), np.float32(0)))).astype(float)
    ends = (
        np.arange(np.float32(low).view(np.int32), np.float32(high).view(np.int32), 7).astype(np.int32).view(np.float32)
    )

    def score(c):
        p, q = c[: degree + 1], c[degree + 1 :]
        saturated = ends[evaluate(ends, p, q) == np.float32(top)]
        if not len(saturated):
            return np.inf, None
        y = evaluate(np.minimum(sample, saturated[0]), p, q)
        return (np.inf if y.max() > top else np.max(np.abs(y - exact) / ulp)), saturated[0]

    best, limit = score(c)
    for _ in range(rounds):
        trial = c.copy()
        for _ in range(random.integers(1, 4)):
            i = random.integers(1, len(c))
            if i != degree + 1:  # q0 stays 1
                trial[i] = (trial[i : i + 1].view(np.int32) + random.integers(-4, 5)).view(np.float32)[0]
        s, l = score(trial)
        if s <= best:
            best, limit, c = s, l, trial
    print(f"{name}: {best:.2f} ULP on the sample\nlimit: {limit!r}")
    print("p:", [str(v) for v in c[: degree + 1]], "\nq:", [str(v) for v in c[degree + 1 :]])


def exponential():
    end = log(2) / 2 * mpf("1.001")
    g = lambda r: (exp(r) - 1 - r) / r**2 if abs(r) > 1e-12 else mpf(1) / 2
    c, error = chebyfit(g, [-end, end], 5, error=True)
    print(f"exp: {float(error * end**2) * 2**24:.2f} · 2⁻²⁴\np:", [str(np.float32(float(v))) for v in c[::-1]])


def gelu_short(degree=6, limit=3.9):
    """S(b) for -Φ(-b) on [0, limit], with the least error of b·S(b), and near zero of S(b)/2."""
    nodes = 2000
    b = limit * (1 - np.cos(np.pi * np.arange(nodes + 1) / nodes)) / 2
    exact = np.array([float(-(1 - erf(mpf(float(v)) / sqrt(mpf(2)))) / 2) for v in b])
    weight = np.maximum(b, 0.5)
    basis = (1 - b / limit)[:, None] * np.polynomial.chebyshev.chebvander(2 * b / limit - 1, degree - 1)
    share = np.ones(nodes + 1)
    for _ in range(2000):
        root = np.sqrt(share) * weight
        c = np.linalg.lstsq(root[:, None] * basis, root * exact, rcond=None)[0]
        error = np.abs(weight * (basis @ c - exact))
        share *= error / error.max()
        share /= share.sum()
    series = np.polynomial.chebyshev.Chebyshev(c, domain=[0, limit]).convert(kind=np.polynomial.Polynomial)
    s = (series * np.polynomial.Polynomial([1, -1 / limit])).coef
    print(f"gelu_short: {error.max():.3g}\nlimit: {limit}\ns:", [str(np.float32(v)) for v in s])


if __name__ == "__main__":
    for wanted in sys.argv[1:] or ["tanh", "half_erf", "exp", "gelu_short"]:
        if wanted in FUNCTIONS:
            rational(wanted)
        else:
            {"exp": exponential, "gelu_short": gelu_short}[wanted]()
