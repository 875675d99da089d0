//! `far doctor`: what this machine is and which kernels it would run. May import: `far_engine`, `far_tool`.

use std::num::NonZero;
use std::thread::available_parallelism;

use far_format::cpu::Arch;
use far_kernels::{Kernels, Precision};
use far_tool::Result;
use far_tool::json::Json;

use super::args::Args;

pub(crate) fn run(args: &Args) -> Result<String> {
    let arch = Arch::HOST.map(Arch::name);
    let features = far_kernels::cpu::detect();
    let available: Vec<&str> = Kernels::available().map(|kernels| kernels.isa().name()).collect();
    let chosen = far_engine::choose_kernels(None)?;
    let names = [
        chosen.gemm(Precision::F32).name(),
        chosen.lstm(Precision::F32).name(),
        chosen.layer_norm().name(),
        chosen.softmax().name(),
        chosen.map().name(),
        chosen.add().name(),
    ];
    let cpus = available_parallelism().map_or(1, NonZero::get);
    if args.json {
        let json = Json::Object(vec![
            ("arch", arch.into()),
            ("features", Json::list(features.names())),
            ("cpus", cpus.into()),
            ("available", Json::list(available)),
            ("isa", chosen.isa().name().into()),
            ("kernels", Json::list(names)),
        ]);
        return Ok(format!("{json}\n"));
    }
    Ok([
        format!("architecture  {}", arch.unwrap_or("unsupported")),
        format!("features      {features}"),
        format!("CPUs          {cpus}"),
        format!("available     {}", available.join(", ")),
        format!("would run     {} ({})", chosen.isa(), names.join(", ")),
        String::new(),
    ]
    .join("\n"))
}
