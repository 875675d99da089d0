//! The model's shape: what must cost more costs more, and graphs cost what their plans cost.

use far_format::layout::Precision;

use super::{CostModel, Work, steps};
use crate::passes::{self, PassOptions};
use crate::precision::{Dtype, DtypeOptions};
use crate::target::{self, Target, TargetKind};
use crate::{onnx, schedule};

fn targets() -> impl Iterator<Item = Target> {
    target::names().map(|name| target::find(name).unwrap())
}

/// Every target in every precision.
fn models() -> impl Iterator<Item = (Target, CostModel)> {
    targets().flat_map(|target| {
        let model = CostModel::of(&target);
        Precision::ALL.map(|precision| (target.clone(), model.clone().with_precision(precision)))
    })
}

#[test]
fn more_work_takes_more_time_on_every_target() {
    for (target, model) in models() {
        let name = &target.name;
        assert!(model.block(197, 64, 192) < model.block(197, 65, 192), "{name}");
        assert!(model.block(197, 64, 192) < model.block(197, 64, 193), "{name}");
        assert!(model.block(1, 64, 192) < model.block(197, 64, 192), "{name}");
        // Padding is work: one column more in the same panel costs nothing.
        assert_eq!(model.block(197, 64, 193), model.block(197, 64, 208), "{name}");
        assert!(model.recurrence(197, 32) < model.recurrence(197, 33), "{name}");
        assert!(model.recurrence(196, 32) < model.recurrence(197, 32), "{name}");
        assert!(model.unit(197, 64, 64) < model.unit(197, 192, 192), "{name}");
    }
}

#[test]
fn cutting_a_dense_matrix_never_pays() {
    for (target, model) in models() {
        for (k, n) in [(64, 32), (192, 192), (17, 50)] {
            let cut = model.block(197, k, n / 2) + model.block(197, k, n - n / 2);
            assert!(model.block(197, k, n) <= cut, "{}: {k} {n}", target.name);
        }
    }
}

#[test]
fn vector_units_gain_by_int8() {
    for target in targets() {
        let f32 = CostModel::of(&target);
        let int8 = f32.clone().with_precision(Precision::Int8);
        let has_vectors = target.rates.int8.product > 1.0;
        assert_eq!(int8.block(197, 192, 768) < f32.block(197, 192, 768), has_vectors, "{}", target.name);
        assert_eq!(int8.recurrence(197, 64) < f32.recurrence(197, 64), has_vectors, "{}", target.name);
        // Rows that few columns share are hardly worth it to quantise.
        let [narrow, wide] =
            [16, 768].map(|n| int8.block(197, 192, n) as f64 / f32.block(197, 192, n) as f64);
        assert!(narrow > wide, "{}", target.name);
    }
}

#[test]
fn weights_that_fit_a_cache_are_not_waited_for() {
    let (_, model) = models().find(|(target, _)| target.name == "x86_64").unwrap();
    let resident = model.clone().with_weights(100 << 10).block(1, 1024, 1024);
    let streamed = model.clone().with_weights(100 << 20).block(1, 1024, 1024);
    assert!(resident < streamed);
    assert_eq!(streamed, model.block(1, 1024, 1024));
}

/// Copies aside, what a graph is predicted to take is what its plan is predicted to take.
#[test]
fn graphs_cost_what_their_plans_cost() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion");
    for name in ["deit", "far-parallel", "far-pruned-dense"] {
        let model = std::fs::read(folder.join(format!("{name}.onnx"))).unwrap();
        let dtypes = [Dtype::F32, Dtype::F16, Dtype::Int8];
        let targets = targets().filter(|target| target.kind == TargetKind::Architecture);
        for (target, dtype) in targets.flat_map(|target| dtypes.map(|dtype| (target.clone(), dtype))) {
            let dtype = DtypeOptions { dtype, ..DtypeOptions::default() };
            let costs = CostModel::of(&target).with_precision(dtype.default_precision(&target).unwrap());
            let mut graph = onnx::import(&model, &onnx::ImportOptions::default()).unwrap();
            let mut report = passes::Report::default();
            passes::run(&mut graph, &costs, &PassOptions::default(), &mut report).unwrap();
            let scheduled = schedule::plan(&graph, &target, &dtype).unwrap();
            let plan = steps(&scheduled.plan, scheduled.weights.len() as u64, &target);
            let plan: f64 = plan.iter().map(|cost| cost.predicted_ms).sum();
            let graph = Work::of(&graph, &costs).predicted_ms;
            assert!((graph - plan).abs() <= 0.02 * plan, "{name} on {}: {graph} and {plan}", target.name);
        }
    }
}
