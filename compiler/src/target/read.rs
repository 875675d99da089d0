//! Reads a target's YAML: limits on the text, then the keys, then the values.
//! May import: the rest of `target`, `error`.
//!
//! The YAML reader is serde-saphyr: maintained, without unsafe code, and with a budget that bounds what aliases and
//! nesting can cost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use far_format::cpu::{Arch, Features};

use super::builtin::nearest;
use super::{Figure, SharedCache, Source, Speedup, Target};
use crate::error::{Error, ErrorKind, Result};

/// A target's file is a page of text; more is a mistake.
const MAX_BYTES: u64 = 64 * 1024;

/// Reads a user's own target.
pub(super) fn from_file(path: &Path) -> Result<Target> {
    let io = |e: std::io::Error| {
        Error::new(ErrorKind::Io, format!("the target file can't be read: {e}")).in_file(path).hint(
            "a name without `/` and `.yaml` is looked up among the known targets: `farc targets` lists them",
        )
    };
    let size = fs::metadata(path).map_err(io)?.len();
    if size > MAX_BYTES {
        return Err(Error::new(ErrorKind::LimitExceeded, "the target file is too large")
            .in_file(path)
            .expected(format!("at most {MAX_BYTES} bytes"))
            .got(format!("{size} bytes")));
    }
    let bytes = fs::read(path).map_err(io)?;
    let text = String::from_utf8(bytes)
        .map_err(|e| bad(format!("the target file is not UTF-8: {e}")).in_file(path))?;
    from_yaml(&text).map_err(|e| e.in_file(path))
}

/// Reads and checks a target.
pub fn from_yaml(text: &str) -> Result<Target> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 4096,
            max_aliases: 0,
            max_anchors: 0,
        },
    };
    let target: Target = serde_saphyr::from_str_with_options(text, options).map_err(yaml_error)?;
    check(&target)?;
    Ok(target)
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadTarget, what)
}

/// The reader's error in our terms.
fn yaml_error(error: serde_saphyr::Error) -> Error {
    let error = error.without_snippet();
    let location = error.location();
    let ours = match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            let keys = expected.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
            let ours = bad(format!("the target has an unknown key `{field}`"))
                .at_field(field.clone())
                .expected(format!("one of {keys}"))
                .got(format!("`{field}`"));
            match nearest(field, expected.iter().copied()) {
                Some(near) => ours.hint(format!("did you mean `{near}`?")),
                None => ours.hint("`docs/targets.md` describes all keys"),
            }
        }
        serde_saphyr::Error::SerdeMissingField { field, .. } => {
            bad(format!("the target lacks the key `{field}`"))
                .at_field(*field)
                .hint("`docs/targets.md` describes all keys")
        }
        other => bad(format!("the target's YAML is broken: {other}"))
            .hint("`farc targets raspberry-pi-5` shows one"),
    };
    match location {
        Some(at) => ours.at_line(at.line() as usize, at.column() as usize),
        None => ours,
    }
}

/// Checks all that the types don't say.
fn check(target: &Target) -> Result<()> {
    let Target { name, triple, cpu, cache, memory, rates, features, sources, .. } = target;
    text("name", name)?;
    text("triple", triple)?;
    text("qemu.runner", &target.qemu.runner)?;
    figure(sources, "cpu.cores", &cpu.cores, 1.0..=1024.0)?;
    figure(sources, "cpu.clock_mhz", &cpu.clock_mhz, 10.0..=10_000.0)?;
    figure(sources, "cpu.fma_lanes", &cpu.fma_lanes, 1.0..=256.0)?;
    figure(sources, "cpu.page_kib", &cpu.page_kib, 4.0..=64.0)?;
    power_of_two("cpu.page_kib", cpu.page_kib.value)?;
    figure(sources, "cache.l1d_kib", &cache.l1d_kib, 1.0..=4096.0)?;
    shared_cache(sources, "cache.l2", &cache.l2)?;
    if let Some(l3) = &cache.l3 {
        shared_cache(sources, "cache.l3", l3)?;
    }
    figure(sources, "memory.gb_per_s", &memory.gb_per_s, 0.1..=10_000.0)?;
    for (field, part) in [
        ("rates.product", &rates.product),
        ("rates.recurrence", &rates.recurrence),
        ("rates.elementwise", &rates.elementwise),
    ] {
        figure(sources, field, part, 0.001..=4.0)?;
    }
    figure(sources, "rates.l2_bytes_per_cycle", &rates.l2_bytes_per_cycle, 0.01..=1024.0)?;
    figure(sources, "rates.tile_cycles", &rates.tile_cycles, 0.0..=10_000.0)?;
    figure(sources, "rates.step_cycles", &rates.step_cycles, 0.0..=100_000.0)?;
    figure(sources, "rates.call_ns", &rates.call_ns, 0.0..=1e6)?;
    for (field, speedup) in [
        ("rates.int8", Some(&rates.int8)),
        ("rates.f16", Some(&rates.f16)),
        ("rates.f16_arith", rates.f16_arith.as_ref()),
        ("rates.bf16", rates.bf16.as_ref()),
    ] {
        let Some(Speedup { product, recurrence, source }) = speedup else { continue };
        for (part, value) in [("product", *product), ("recurrence", *recurrence)] {
            let value = Figure { value, source: source.clone() };
            figure(sources, &format!("{field}.{part}"), &value, 0.01..=64.0)?;
        }
    }
    source(sources, "features.has", &features.has.source)?;
    known_features(target.arch, "features.has", &features.has.names)?;
    known_features(target.arch, "features.requires", &features.requires)?;
    if let Some(lacking) = features.requires.iter().find(|r| !features.has.names.contains(r)) {
        return Err(bad(format!("the target requires `{lacking}`, which it has not"))
            .at_field("features.requires")
            .expected("some of `features.has`")
            .got(format!("`{lacking}`")));
    }
    if let Some(vlen) = &features.vlen_bits {
        if !target.has().contains(Features::V) {
            return Err(
                bad("the target has a vector length but not the feature `v`").at_field("features.vlen_bits")
            );
        }
        figure(sources, "features.vlen_bits", vlen, 128.0..=65_536.0)?;
        power_of_two("features.vlen_bits", vlen.value)?;
    }
    Ok(())
}

fn text(field: &str, value: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if value.is_empty() || !value.chars().all(plain) {
        return Err(bad(format!("`{field}` is not a plain name"))
            .at_field(field)
            .expected("letters, digits, `-`, `_` and `.`")
            .got(format!("`{value}`")));
    }
    Ok(())
}

type Sources = BTreeMap<String, Source>;

fn figure<T: Copy + Into<f64>>(
    sources: &Sources,
    field: &str,
    figure: &Figure<T>,
    range: std::ops::RangeInclusive<f64>,
) -> Result<()> {
    let value = figure.value.into();
    if !range.contains(&value) {
        return Err(bad(format!("`{field}` is out of range"))
            .at_field(field)
            .expected(format!("{} to {}", range.start(), range.end()))
            .got(value.to_string()));
    }
    source(sources, field, &figure.source)
}

fn shared_cache(sources: &Sources, field: &str, cache: &SharedCache) -> Result<()> {
    for (part, value, most) in [("kib", cache.kib, 1 << 20), ("cores", cache.cores, 1024)] {
        if value == 0 || value > most {
            return Err(bad(format!("`{field}.{part}` is out of range"))
                .at_field(format!("{field}.{part}"))
                .expected(format!("1 to {most}"))
                .got(value.to_string()));
        }
    }
    source(sources, field, &cache.source)
}

fn source(sources: &Sources, field: &str, id: &str) -> Result<()> {
    if sources.contains_key(id) {
        return Ok(());
    }
    let error =
        bad(format!("`{field}` names the source `{id}`, which is not among `sources`")).at_field(field);
    Err(match nearest(id, sources.keys().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("add it to `sources` with a `title` and a `url`"),
    })
}

fn power_of_two(field: &str, value: u32) -> Result<()> {
    if value.is_power_of_two() {
        return Ok(());
    }
    Err(bad(format!("`{field}` is not a power of two"))
        .at_field(field)
        .expected("a power of two")
        .got(value.to_string()))
}

fn known_features(arch: Arch, field: &str, names: &[String]) -> Result<()> {
    let known = || Features::ALL.iter().filter(|(_, a, _)| *a == arch).map(|(_, _, name)| *name);
    match names.iter().find(|n| Features::from_name(arch, n).is_none()) {
        None => Ok(()),
        Some(name) => {
            let error = bad(format!("{arch} has no feature `{name}`"))
                .at_field(field)
                .expected(format!(
                    "some of {}",
                    known().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
                ))
                .got(format!("`{name}`"));
            Err(match nearest(name, known()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            })
        }
    }
}

/// An architecture by its name.
pub(super) mod arch {
    use super::Arch;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in crate::target) fn serialize<S: Serializer>(arch: &Arch, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(arch.name())
    }

    pub(in crate::target) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arch, D::Error> {
        let name = String::deserialize(from)?;
        Arch::from_name(&name).ok_or_else(|| {
            let known = Arch::ALL.map(|a| format!("`{a}`")).join(", ");
            de::Error::custom(format!("unknown architecture `{name}`, expected one of {known}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PI: &str = include_str!("../../../targets/raspberry-pi-5.yaml");

    fn error_of(from: &str, to: &str) -> Error {
        assert!(PI.contains(from), "test is out of date: no `{from}`");
        from_yaml(&PI.replacen(from, to, 1)).expect_err("must be refused")
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_a_near_match() {
        let error = error_of("  clock_mhz:", "  clock_mzh:");
        assert_eq!(error.kind, ErrorKind::BadTarget);
        assert!(error.what.contains("`clock_mzh`"), "{error:?}");
        assert_eq!(error.place.line.map(|l| l.0), Some(9), "{error:?}");
        assert_eq!(error.hint.as_deref(), Some("did you mean `clock_mhz`?"));
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = error_of("triple: aarch64-unknown-linux-gnu\n", "");
        assert!(error.what.contains("`triple`"), "{error:?}");
    }

    #[test]
    fn values_are_checked() {
        for (from, to, field) in [
            ("value: 2400", "value: 0", "cpu.clock_mhz"),
            ("value: 16,", "value: 12,", "cpu.page_kib"),
            ("kib: 512", "kib: 0", "cache.l2.kib"),
            ("value: 17.0", "value: .nan", "memory.gb_per_s"),
            ("value: 64, source: dts", "value: 64, source: dtx", "cache.l1d_kib"),
            ("requires: []", "requires: [i8mm]", "features.requires"),
            ("[neon, dotprod, fp16]", "[neon, avx2]", "features.has"),
            ("name: raspberry-pi-5", "name: ../x", "name"),
        ] {
            let error = error_of(from, to);
            assert_eq!(error.kind, ErrorKind::BadTarget, "{to}");
            assert_eq!(error.place.field.as_deref(), Some(field), "{to}: {error:?}");
        }
    }

    #[test]
    fn broken_yaml_is_refused_with_its_line() {
        for text in ["", "name: [", "name: {a: 1}\n", "- 1\n", "name: &a x\ndescription: *a\n"] {
            let error = from_yaml(text).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadTarget, "{text:?}");
        }
        let error = error_of("arch: aarch64", "arch: arm64");
        assert!(error.what.contains("`arm64`") && error.place.line.is_some(), "{error:?}");
    }
}
