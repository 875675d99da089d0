//! Every kernel of every instruction set that this CPU has, at the models' sizes.

use std::time::Duration;

use criterion::{Criterion, Throughput};
use far_bench::kernels::{Work, cases};
use far_kernels::{Isa, Kernels};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    // The scalar kernels define the numbers; they are timed only where there are no others.
    let timed = |kernels: &Kernels| kernels.isa() != Isa::Scalar || Kernels::best().isa() == Isa::Scalar;
    for kernels in Kernels::available().filter(timed) {
        let mut group = criterion.benchmark_group(kernels.isa().name());
        for mut case in cases(kernels) {
            group.throughput(match case.work {
                Work::MultiplyAdds(count, _) | Work::Elements(count) => Throughput::Elements(count),
            });
            let name = case.name.clone();
            group.bench_function(name, |bencher| bencher.iter(|| case.run()));
        }
        group.finish();
    }
    criterion.final_summary();
}
