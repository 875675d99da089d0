//! Whole models on one thread and on two: the full-size ones that are generated, and the small real ones.

use std::fs;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use far_bench::models::{Runner, compile, examples, generated};
use far_engine::Model;
use farc::precision::Dtype;
use farc::target::Target;

const DTYPES: [Dtype; 2] = [Dtype::F32, Dtype::Int8];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for entry in generated() {
        let generated = far_models::generate(&entry.config).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
        DTYPES.iter().for_each(|dtype| bench(&mut criterion, &entry.name, &generated.onnx, *dtype));
    }
    for (name, path) in examples() {
        let onnx = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        DTYPES.iter().for_each(|dtype| bench(&mut criterion, &name, &onnx, *dtype));
    }
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion, name: &str, onnx: &[u8], dtype: Dtype) {
    let target = Target::resolve("host").unwrap_or_else(|e| panic!("{e}"));
    let compiled = compile(onnx, &target, dtype).unwrap_or_else(|e| panic!("{name}: {e}"));
    let model = Model::from_bytes(&compiled.artifact).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut group = criterion.benchmark_group(format!("{name} {dtype}"));
    group.throughput(Throughput::Elements(compiled.report.totals.multiply_adds));
    for threads in [1, 2] {
        let mut runner = Runner::new(&model, threads).unwrap_or_else(|e| panic!("{name}: {e}"));
        group.bench_function(format!("{threads} threads"), |bencher| {
            bencher.iter(|| runner.run().unwrap_or_else(|e| panic!("{name}: {e}")));
        });
    }
    group.finish();
}
