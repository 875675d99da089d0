//! What images are to cost at most beside another runtime. Where the figures are from: docs/performance.md. Imports nothing
//! of ours.

/// A count of another runtime on the same model, and how many times fewer libfar's instructions are to be.
#[derive(serde::Serialize)]
pub(crate) struct Goal {
    /// Millions of instructions of one image in onnxruntime.
    pub(crate) onnxruntime: u64,
    /// At least; none is set for all.
    pub(crate) times_fewer: Option<f64>,
}

/// Dtype, model, and the goal on a Cortex-A76.
const CORTEX_A76: [(&str, &str, Goal); 8] = [
    ("f32", "deit-tiny", goal(472, Some(1.1))),
    ("f32", "far-deit-tiny-monolithic", goal(976, Some(1.95))),
    ("f32", "far-deit-tiny-parallel", goal(622, Some(1.22))),
    ("f32", "far-deit-tiny-parallel-ragged50", goal(483, Some(1.3))),
    ("int8", "deit-tiny", goal(257, None)),
    ("int8", "far-deit-tiny-monolithic", goal(492, Some(2.7))),
    ("int8", "far-deit-tiny-parallel", goal(385, Some(2.1))),
    ("int8", "far-deit-tiny-parallel-ragged50", goal(303, Some(2.2))),
];

const fn goal(onnxruntime: u64, times_fewer: Option<f64>) -> Goal {
    Goal { onnxruntime, times_fewer }
}

/// The goal of a model in a place, if there is one.
pub(crate) fn of(place: &str, dtype: &str, model: &str) -> Option<&'static Goal> {
    let found = CORTEX_A76.iter().find(|(d, m, _)| (*d, *m) == (dtype, model));
    found.filter(|_| place.eq_ignore_ascii_case("Cortex-A76")).map(|(_, _, goal)| goal)
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn goals_are_of_one_core() {
        let int8 = of("Cortex-A76", "int8", "far-deit-tiny-parallel").and_then(|goal| goal.times_fewer);
        assert_eq!(int8, Some(2.1));
        assert!(of("Cortex-A72", "int8", "far-deit-tiny-parallel").is_none());
        assert!(of("Cortex-A76", "f16", "deit-tiny").is_none());
    }
}
