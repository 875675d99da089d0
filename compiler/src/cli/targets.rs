//! `farc targets`: what can be compiled for. May import: `farc::target`.

use farc::error::Result;
use farc::target::{self, Target, TargetKind};

use super::{Reply, show};

/// List boards and architectures, or show one with the sources of its figures
#[derive(clap::Args)]
pub(super) struct Args {
    /// A board, an architecture, `host`, or a path to a YAML file
    name: Option<String>,
}

pub(super) fn run(args: &Args, json: bool) -> Result<Reply> {
    let text = match &args.name {
        Some(name) => {
            let target = Target::resolve(name)?;
            if json { to_json(&target) } else { one(&target) }
        }
        None => {
            let targets = target::names().map(target::find).collect::<Result<Vec<_>>>()?;
            if json { to_json(&targets) } else { all(&targets) }
        }
    };
    Ok(Reply::Text(text))
}

fn to_json(value: &impl serde::Serialize) -> String {
    // Strings, numbers and lists only: nothing that JSON can't say.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

fn all(targets: &[Target]) -> String {
    let mut text = String::new();
    for (kind, title) in [(TargetKind::Board, "board"), (TargetKind::Architecture, "architecture")] {
        let rows = targets.iter().filter(|t| t.kind == kind).map(|t| {
            let cores = format!("{} × {}", t.cpu.cores.value, t.cpu.core);
            let (has, requires) = (t.has().to_string(), t.requires().to_string());
            vec![
                t.name.clone(),
                t.arch.name().into(),
                cores,
                t.cpu.clock_mhz.value.to_string(),
                has,
                requires,
            ]
        });
        text += &show::table(&[title, "arch", "cores", "MHz", "has", "requires"], &[3], rows);
        text += "\n";
    }
    text + "`host` is this machine; a path to a YAML file of your own works too (docs/targets.md)\n"
}

fn one(target: &Target) -> String {
    let Target { cpu, cache, memory, rates, features, sources, .. } = target;
    let from = |id: &String| sources.get(id).map_or(id.clone(), |s| s.title.clone());
    let shared = |c: &target::SharedCache| format!("{} KiB for {} core{}", c.kib, c.cores, plural(c.cores));
    let mut rows = vec![
        ("cores", format!("{} × {}", cpu.cores.value, cpu.core), from(&cpu.cores.source)),
        ("clock", format!("{} MHz", cpu.clock_mhz.value), from(&cpu.clock_mhz.source)),
        ("f32 multiply-adds", format!("{} a cycle", cpu.fma_lanes.value), from(&cpu.fma_lanes.source)),
        ("pages", format!("{} KiB", cpu.page_kib.value), from(&cpu.page_kib.source)),
        ("L1 data cache", format!("{} KiB a core", cache.l1d_kib.value), from(&cache.l1d_kib.source)),
        ("L2 cache", shared(&cache.l2), from(&cache.l2.source)),
    ];
    if let Some(l3) = &cache.l3 {
        rows.push(("L3 cache", shared(l3), from(&l3.source)));
    }
    rows.push(("memory", format!("{} GB/s", memory.gb_per_s.value), from(&memory.gb_per_s.source)));
    let peak = |part: f64| format!("{:.0} % of the multiply-adds", part * 100.0);
    rows.extend([
        ("matrix products", peak(rates.product.value), from(&rates.product.source)),
        ("a tile", format!("{} cycles", rates.tile_cycles.value), from(&rates.tile_cycles.source)),
        ("recurrences", peak(rates.recurrence.value), from(&rates.recurrence.source)),
        (
            "beyond L1",
            format!("{} bytes a cycle", rates.l2_bytes_per_cycle.value),
            from(&rates.l2_bytes_per_cycle.source),
        ),
        ("a step", format!("{} cycles", rates.step_cycles.value), from(&rates.step_cycles.source)),
        ("element-wise", format!("{} of x86-64", rates.elementwise.value), from(&rates.elementwise.source)),
        ("a call", format!("{} ns", rates.call_ns.value), from(&rates.call_ns.source)),
    ]);
    let speedups = [
        ("in int8", Some(&rates.int8)),
        ("weights in f16", Some(&rates.f16)),
        ("in f16", rates.f16_arith.as_ref()),
        ("in bf16", rates.bf16.as_ref()),
    ];
    rows.extend(speedups.into_iter().filter_map(|(title, speedup)| {
        let target::Speedup { product, recurrence, source } = speedup?;
        let value = format!("products {product} × f32, recurrences {recurrence} × f32");
        Some((title, value, from(source)))
    }));
    rows.push(("has", target.has().to_string(), from(&features.has.source)));
    if let Some(vlen) = &features.vlen_bits {
        rows.push(("vector registers", format!("{} bits", vlen.value), from(&vlen.source)));
    }
    let rows = rows.into_iter().map(|(field, value, source)| vec![field.into(), value, source]);
    let mut text = format!("{}: {}\n", target.name, target.description);
    text += &format!("{} ({}), artifacts require: {}\n\n", target.arch, target.triple, target.requires());
    text + &show::table(&["figure", "value", "source"], &[], rows)
}

fn plural(n: u32) -> &'static str {
    if n == 1 { "" } else { "s" }
}
