"""What libfar is to reach, by precision. Where the figures are from is in docs/performance.md."""

# How many times faster than the fastest other runtime of the same precision, on the same file, with one thread.
PEER = {
    "f32": {
        "deit-tiny": 1.07,
        "deit-small": 1.07,
        "far-deit-tiny-monolithic": 2.15,
        "far-deit-small-monolithic": 3.0,
        "far-deit-tiny-parallel": 1.27,
        "far-deit-small-parallel": 1.2,
        "far-deit-tiny-parallel-ragged50": 1.36,
    },
    "int8": {
        "deit-tiny": 1.05,
        "far-deit-tiny-monolithic": 2.6,
        "far-deit-tiny-parallel": 2.0,
        "far-deit-tiny-parallel-ragged50": 2.4,
    },
    "bf16": {"far-deit-tiny-monolithic": 2.5, "far-deit-tiny-parallel": 1.65},
}
_REPLACED = ("far-deit-tiny-parallel-ragged50", "deit-tiny")
# The same against the fastest other runtime on another model: what replacing the attention is to gain.
CROSS = {"f32": {_REPLACED: 1.2}, "int8": {_REPLACED: 1.45}, "bf16": {}}
# And against libfar itself on another model.
OWN_CROSS = {"f32": {}, "int8": {_REPLACED: 1.27}, "bf16": {}}
# Against libfar's own f32, for models without attention.
OWN_F32 = {"int8": 3.0}
# Most bytes of an artifact, as a part of those in f32.
SIZE = {"int8": 0.27, "bf16": 0.51}
# Least cosine between logits and those of onnxruntime in f32; what is below is wrong.
COSINE = {"int8": 0.99, "bf16": 0.999}
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
LIMIT = {
    "f32": {
        "far-deit-tiny-monolithic": 0.80,
        "far-deit-tiny-parallel": 0.80,
        "far-deit-tiny-parallel-ragged50": 0.87,
    },
    "int8": {},
    "bf16": {},
}
SECOND_THREAD = 1.8
LOAD = 50
MEMORY = 3 << 20
