//! Whether a model will run here, and why not, in plain words; and what about this machine matters to how fast.
//! May import: `json`, `machine`; far-engine, far-format, far-kernels.

use std::num::NonZero;
use std::path::Path;
use std::thread::available_parallelism;

use far_engine::{Model, Session, SessionOptions, choose_kernels};
use far_format::Artifact;
use far_format::cpu::{Arch, Features};
use far_kernels::{Kernels, Precision};

use crate::error::Result;
use crate::json::Json;
use crate::machine::Machine;

/// What was found of this machine.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What the system says.
    pub machine: Machine,
    /// The architecture; `None` where there are no kernels for it.
    pub arch: Option<Arch>,
    /// What the CPU offers to kernels.
    pub features: Features,
    /// How that was found.
    pub found_by: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Instruction sets with kernels that could run.
    pub available: Vec<&'static str>,
    /// The one that would run.
    pub isa: &'static str,
    /// Its kernels.
    pub kernels: Vec<&'static str>,
}

/// Whether a model will run here.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The model's file.
    pub file: String,
    /// Why it won't run; nothing where it will.
    pub reasons: Vec<String>,
    /// What it takes.
    pub notes: Vec<String>,
}

/// Products and recurrences in every precision, then the others.
fn kernels(set: Kernels) -> Vec<&'static str> {
    let products = Precision::ALL.map(|precision| set.gemm(precision).name());
    let recurrences = Precision::ALL.map(|precision| set.lstm(precision).name());
    let others = [set.layer_norm().name(), set.softmax().name(), set.map().name(), set.add().name()];
    let mut names: Vec<&str> = products.into_iter().chain(recurrences).chain(others).collect();
    names.dedup();
    names
}

impl Findings {
    /// Of this machine.
    ///
    /// # Errors
    /// `FAR_ISA` names no instruction set of this architecture.
    pub fn new() -> Result<Findings> {
        let chosen = choose_kernels(None)?;
        Ok(Findings {
            machine: Machine::read(Path::new("/")),
            arch: Arch::HOST,
            features: far_kernels::cpu::detect(),
            found_by: far_kernels::cpu::found_by(),
            cpus: available_parallelism().map_or(1, NonZero::get),
            available: Kernels::available().map(|kernels| kernels.isa().name()).collect(),
            isa: chosen.isa().name(),
            kernels: kernels(chosen),
        })
    }

    /// What makes this machine slower than it could be, in words.
    pub fn advice(&self) -> Vec<String> {
        let machine = &self.machine;
        let mut advice = Vec::new();
        for governor in
            machine.governors.keys().filter(|name| ["powersave", "conservative"].contains(&name.as_str()))
        {
            advice.push(format!(
                "the governor `{governor}` keeps the clock low; `performance` or `schedutil` don't: \
                 echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
            ));
        }
        advice.extend(machine.throttled.iter().map(|what| format!("slowed down now: {what}")));
        advice.extend(machine.was_throttled.iter().map(|what| format!("since the start: {what}")));
        if machine.celsius.is_some_and(|celsius| celsius >= 80.0) {
            advice
                .push("it is hot: most boards slow down at 80 to 85 °C; give it a heat sink or a fan".into());
        }
        if self.isa == "scalar" && self.arch.is_some() {
            advice.push(match self.available.len() {
                0 | 1 => "no vector unit that there are kernels for: models run, many times slower".into(),
                _ => "`FAR_ISA` keeps the vector units idle".to_owned(),
            });
        }
        advice
    }

    /// Whether a model will run here: it is read, compared with this machine, and at last run once.
    pub fn judge(&self, path: &Path, file: &[u8]) -> Verdict {
        let mut verdict =
            Verdict { file: path.display().to_string(), reasons: Vec::new(), notes: Vec::new() };
        let artifact = match far_format::read(file) {
            Ok(artifact) => artifact,
            Err(error) => {
                verdict.reasons.push(format!("the file can't be used anywhere: {error}"));
                return verdict;
            }
        };
        self.compare(&artifact, &mut verdict);
        if verdict.reasons.is_empty() {
            match try_once(path) {
                Ok(ms) => verdict.notes.push(format!("tried: its first run took {ms:.1} ms")),
                Err(error) => verdict.reasons.push(format!("it was tried, and failed: {error}")),
            }
        }
        verdict
    }

    fn compare(&self, artifact: &Artifact<'_>, verdict: &mut Verdict) {
        let (header, plan) = (&artifact.header, &artifact.plan);
        if Some(header.arch) != self.arch {
            let here = self.arch.map_or("something that there are no kernels for", Arch::name);
            let again =
                self.arch.map_or(String::new(), |arch| format!("; compile it again with `--target {arch}`"));
            verdict.reasons.push(format!(
                "it was compiled for {} (target `{}`), and this machine is {here}{again}",
                header.arch, header.target
            ));
            return;
        }
        let missing = header.features.missing_from(self.features);
        if !missing.is_empty() {
            verdict.reasons.push(format!(
                "it needs the CPU features `{}`, and this CPU lacks `{missing}`; compile it for a target that does without, \
                 e.g. `--target {}`",
                header.features, header.arch
            ));
        }
        let needed = plan.arena_bytes + artifact.weights.len() as u64;
        verdict.notes.push(format!(
            "memory: {} for weights and {} of arena for each session",
            size(artifact.weights.len() as u64),
            size(plan.arena_bytes)
        ));
        if let Some((_, free)) = self.machine.memory
            && needed > free
        {
            verdict.reasons.push(format!("it needs {} of memory, and {} are free", size(needed), size(free)));
        }
    }

    /// For programs.
    pub fn json(&self, verdict: Option<&Verdict>) -> Json {
        let machine = &self.machine;
        let governors = machine.governors.iter().map(|(name, cpus)| (name.clone(), (*cpus).into()));
        let text = |value: &Option<String>| value.as_deref().into();
        let list = |list: &[String]| Json::list(list.iter().map(String::as_str));
        let mut fields = vec![
            ("board", text(&machine.board)),
            ("cpu", text(&machine.cpu)),
            ("kernel", text(&machine.kernel)),
            ("arch", self.arch.map(Arch::name).into()),
            ("features", Json::list(self.features.names())),
            ("features_found_by", self.found_by.as_str().into()),
            ("cpus", self.cpus.into()),
            ("page_bytes", machine.page_bytes.into()),
            ("memory_bytes", machine.memory.map(|(total, _)| total).into()),
            ("free_bytes", machine.memory.map(|(_, free)| free).into()),
            ("governors", Json::Map(governors.collect())),
            ("clock_mhz", machine.clock_mhz.map(|(now, _)| now).into()),
            ("max_clock_mhz", machine.clock_mhz.map(|(_, most)| most).into()),
            ("celsius", machine.celsius.into()),
            ("throttled", list(&machine.throttled)),
            ("was_throttled", list(&machine.was_throttled)),
            ("available", Json::list(self.available.iter().copied())),
            ("isa", self.isa.into()),
            ("kernels", Json::list(self.kernels.iter().copied())),
            ("advice", list(&self.advice())),
        ];
        if let Some(verdict) = verdict {
            fields.push((
                "model",
                Json::Object(vec![
                    ("file", verdict.file.as_str().into()),
                    ("runs", verdict.reasons.is_empty().into()),
                    ("reasons", list(&verdict.reasons)),
                    ("notes", list(&verdict.notes)),
                ]),
            ));
        }
        Json::Object(fields)
    }

    /// For people.
    pub fn text(&self, verdict: Option<&Verdict>) -> String {
        let machine = &self.machine;
        let mut lines = Vec::new();
        let mut line = |title: &str, text: Option<String>| {
            lines.extend(text.map(|text| format!("{title:13} {text}")));
        };
        line("board", machine.board.clone());
        line("CPU", machine.cpu.clone());
        line("architecture", Some(self.arch.map_or("unsupported", Arch::name).into()));
        line("features", Some(format!("{} ({})", self.features, self.found_by)));
        line("CPUs", Some(format!("{} for this process", self.cpus)));
        line("clock", machine.clock_mhz.map(|(now, most)| format!("{now} MHz of {most} MHz")));
        let governors = machine.governors.iter().map(|(name, cpus)| format!("{name} ({cpus} CPUs)"));
        let governors: Vec<String> = governors.collect();
        line("governor", Some(or_unknown(governors.join(", "))));
        line(
            "temperature",
            Some(or_unknown(machine.celsius.map_or(String::new(), |c| format!("{c:.1} °C")))),
        );
        line(
            "memory",
            machine.memory.map(|(total, free)| format!("{}, of which {} are free", size(total), size(free))),
        );
        line(
            "pages",
            machine.page_bytes.map(|bytes| format!("{} KiB; artifacts fit pages up to 64 KiB", bytes / 1024)),
        );
        line("kernel", machine.kernel.clone());
        line("kernel sets", Some(self.available.join(", ")));
        line("would run", Some(self.isa.into()));
        for names in self.kernels.chunks(3) {
            line("", Some(names.join(", ")));
        }
        lines.extend(self.advice().iter().map(|advice| format!("{:13} {advice}", "note")));
        if let Some(verdict) = verdict {
            let answer = if verdict.reasons.is_empty() { "will run here" } else { "will NOT run here" };
            lines.push(format!("\n{} {answer}", verdict.file));
            lines.extend(verdict.reasons.iter().map(|reason| format!("  because {reason}")));
            lines.extend(verdict.notes.iter().map(|note| format!("  {note}")));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

fn or_unknown(text: String) -> String {
    if text.is_empty() { "the system doesn't say".into() } else { text }
}

/// A size in KiB below 1 MiB, else in MiB.
fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}

/// Milliseconds of one run of the smallest call.
fn try_once(path: &Path) -> Result<f64> {
    use crate::batch::Size;
    use crate::bench::{self, Options};
    let mut session = Session::new(Model::open(path)?, &SessionOptions::default())?;
    let options = Options { warmup: 0, runs: 1, size: Size::default(), cpus: Vec::new() };
    Ok(bench::run(&mut session, &options)?.first_ms)
}
