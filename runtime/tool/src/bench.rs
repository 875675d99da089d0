//! How long a model takes. May import: `batch`, `error`, `info`, `json`, `npy`.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use far_engine::{Dtype, Extent, Input, MAX_CPUS, MAX_THREADS, Model, Port, Session};
use far_format::plan::StepOp;

use crate::batch::Size;
use crate::error::{Error, Result};
use crate::info::{self, op_name};
use crate::json::Json;
use crate::npy::Data;

/// How often to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Runs before those that count, the first one included.
    pub warmup: usize,
    /// Runs that are timed, at least one.
    pub runs: usize,
    /// How large each is: one element of the most tokens unless this says otherwise.
    pub size: Size,
    /// CPUs that the session was told to keep its threads on.
    pub cpus: Vec<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Options { warmup: 5, runs: 50, size: Size::default(), cpus: Vec::new() }
    }
}

/// Times of single runs, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// The very first, for which weights come from the file. The others count it only without a warm-up.
    pub first_ms: f64,
    /// The fastest.
    pub min_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// Nine of ten runs are no slower.
    pub p90_ms: f64,
    /// 99 of 100 runs are no slower.
    pub p99_ms: f64,
}

/// A list of CPUs as users write it: `0,2` or `4-7`, and both.
///
/// # Errors
/// Another text, or more than a session has threads.
pub fn cpus(list: &OsStr) -> Result<Vec<usize>> {
    let wrong = || {
        let expected = "numbers and ranges such as `0,2` or `4-7`";
        Error::Usage(format!("`--cpu`: expected {expected}, got `{}`", list.display()))
    };
    let mut cpus = Vec::new();
    for part in list.to_str().ok_or_else(wrong)?.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<usize>().ok().filter(|n| *n < MAX_CPUS).ok_or_else(wrong);
        let (first, last) = (number(first)?, number(last)?);
        cpus.extend(first..=last);
        if first > last || cpus.len() > MAX_THREADS {
            return Err(wrong());
        }
    }
    Ok(cpus)
}

/// Keeps the calling thread on the first of the CPUs, if there are any: the session's own threads have the others.
///
/// # Errors
/// The system refuses.
pub fn keep_caller(cpus: &[usize]) -> Result<()> {
    cpus.first().map_or(Ok(()), |first| Ok(far_engine::pin_caller(*first)?))
}

/// How large the runs of a model are.
fn extent(model: &Model, size: Size) -> Result<Extent> {
    let batch = size.batch(model)?.unwrap_or(1);
    Ok(Extent { batch, tokens: size.tokens(model)?.unwrap_or(model.most().tokens) })
}

/// Runs the session on numbers in (−1, 1) that look random and are always the same, on ids of any of the model's words,
/// and on masks of ones.
///
/// # Errors
/// A size that the model can't have, or a run that fails.
pub fn run(session: &mut Session, options: &Options) -> Result<Times> {
    let model = session.model().clone();
    let extent = extent(&model, options.size)?;
    let len = |port: &Port| port.elements(extent.batch, extent.tokens);
    let inputs: Vec<Data> =
        model.inputs().iter().enumerate().map(|(i, port)| numbers(&model, i, port, len(port))).collect();
    let inputs: Vec<Input<'_>> = inputs.iter().map(Data::as_input).collect();
    let mut outputs: Vec<Vec<f32>> = model.outputs().iter().map(|port| vec![0.0; len(port)]).collect();
    let mut outputs: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let start = Instant::now();
    session.run_extent(extent, &inputs, &mut outputs)?;
    let first = start.elapsed();
    let runs = options.runs.max(1);
    let mut times = Vec::with_capacity(runs);
    if options.warmup == 0 {
        times.push(first);
    } else {
        for _ in 1..options.warmup {
            session.run_extent(extent, &inputs, &mut outputs)?;
        }
        session.reset_profile();
    }
    while times.len() < runs {
        let start = Instant::now();
        session.run_extent(extent, &inputs, &mut outputs)?;
        times.push(start.elapsed());
    }
    Ok(Times::of(first, times))
}

/// What a step took.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTime {
    /// The module that it came from.
    pub name: String,
    /// What it computes.
    pub op: &'static str,
    /// Mean time, in milliseconds.
    pub ms: f64,
}

/// Everything that there is to say about a benchmark.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the model.
    pub model: String,
    /// Its target.
    pub target: String,
    /// The architecture that ran.
    pub arch: &'static str,
    /// The instruction set that ran.
    pub isa: &'static str,
    /// The kernels that ran.
    pub kernels: Vec<&'static str>,
    /// The precisions of its steps' weights, the most usual first.
    pub precisions: Vec<&'static str>,
    /// Threads, the caller's included.
    pub threads: usize,
    /// Elements of each run.
    pub batch: usize,
    /// Tokens of each element; `None` where their number is fixed.
    pub tokens: Option<usize>,
    /// Timed runs.
    pub runs: usize,
    /// Times of single runs.
    pub times: Times,
    /// Opening, proving and making a session.
    pub load_ms: f64,
    /// Most memory that the process has held; `None` where the system doesn't say.
    pub peak_rss_bytes: Option<u64>,
    /// The arena's size.
    pub arena_bytes: u64,
    /// CPUs that the threads were kept on; empty where the system chose.
    pub cpus: Vec<usize>,
    /// Each step, where the session was asked to time them.
    pub steps: Vec<StepTime>,
}

impl Report {
    /// Of a session that [`run`] timed. `load` is how long it took to open the model and make the session.
    pub fn new(session: &Session, options: &Options, times: Times, load: Duration) -> Report {
        let (header, plan) = (session.model().header(), session.model().plan());
        let most = session.model().most();
        let extent = extent(session.model(), options.size).unwrap_or(most); // it was run, so it can be
        let steps = session.profile().map_or(Vec::new(), |profile| {
            let runs = profile.runs().max(1) as f64;
            plan.steps
                .iter()
                .zip(profile.steps())
                .map(|(step, time)| StepTime {
                    name: step.name.clone(),
                    op: op_name(&step.op),
                    ms: ms(*time) / runs,
                })
                .collect()
        });
        let mut stored = info::stored(plan, header.arch);
        stored.sort_by_key(|stored| std::cmp::Reverse(stored.steps));
        let precisions = stored.iter().map(|stored| stored.precision.name()).collect();
        Report {
            model: plan.model.clone(),
            target: header.target.clone(),
            arch: header.arch.name(),
            isa: session.isa().name(),
            kernels: session.kernels(),
            precisions,
            threads: session.threads(),
            batch: extent.batch,
            tokens: (extent.tokens > 0).then_some(extent.tokens),
            runs: options.runs.max(1),
            times,
            load_ms: ms(load),
            peak_rss_bytes: peak_rss_bytes(),
            arena_bytes: plan.arena_bytes,
            cpus: options.cpus.to_vec(),
            steps,
        }
    }

    /// For programs.
    pub fn json(&self) -> Json {
        let steps = self.steps.iter().map(|step| {
            Json::Object(vec![
                ("name", step.name.as_str().into()),
                ("op", step.op.into()),
                ("ms", step.ms.into()),
            ])
        });
        let mut fields = vec![
            ("model", self.model.as_str().into()),
            ("target", self.target.as_str().into()),
            ("arch", self.arch.into()),
            ("isa", self.isa.into()),
            ("kernels", Json::list(self.kernels.iter().copied())),
            ("precisions", Json::list(self.precisions.iter().copied())),
            ("threads", self.threads.into()),
            ("batch", self.batch.into()),
            ("tokens", self.tokens.into()),
            ("cpus", Json::list(self.cpus.iter().copied())),
            ("runs", self.runs.into()),
            ("first_ms", self.times.first_ms.into()),
            ("min_ms", self.times.min_ms.into()),
            ("p50_ms", self.times.p50_ms.into()),
            ("p90_ms", self.times.p90_ms.into()),
            ("p99_ms", self.times.p99_ms.into()),
            ("load_ms", self.load_ms.into()),
            ("peak_rss_bytes", self.peak_rss_bytes.into()),
            ("arena_bytes", self.arena_bytes.into()),
        ];
        if !self.steps.is_empty() {
            fields.push(("steps", Json::List(steps.collect())));
        }
        Json::Object(fields)
    }

    /// For people.
    pub fn text(&self) -> String {
        let Times { first_ms, min_ms, p50_ms, p90_ms, p99_ms } = self.times;
        let tokens = self.tokens.map_or(String::new(), |tokens| format!(", {tokens} tokens"));
        let mut lines = vec![
            format!("model    {} for {}", self.model, self.target),
            format!("ran      {} runs on {} ({}), {}", self.runs, self.arch, self.isa, self.threads()),
            format!("call     batch {}{tokens}", self.batch),
            format!("weights  {}", self.precisions.join(", ")),
            format!("kernels  {}", self.kernels.join(", ")),
            format!(
                "run      min {min_ms:.3} ms, p50 {p50_ms:.3} ms, p90 {p90_ms:.3} ms, p99 {p99_ms:.3} ms"
            ),
            format!("start    load {:.3} ms, first run {first_ms:.3} ms", self.load_ms),
            format!("memory   arena {} KiB{}", self.arena_bytes.div_ceil(1024), self.peak()),
        ];
        lines.push(String::new());
        lines.join("\n") + &self.table()
    }

    fn threads(&self) -> String {
        let threads = if self.threads == 1 { "1 thread".into() } else { format!("{} threads", self.threads) };
        let cpus: Vec<String> = self.cpus.iter().map(usize::to_string).collect();
        if cpus.is_empty() { threads } else { format!("{threads} on CPUs {}", cpus.join(", ")) }
    }

    fn peak(&self) -> String {
        self.peak_rss_bytes
            .map_or(String::new(), |bytes| format!(", peak of the process {} KiB", bytes / 1024))
    }

    /// The steps, where they were timed.
    fn table(&self) -> String {
        if self.steps.is_empty() {
            return String::new();
        }
        let all = self.steps.iter().map(|step| step.ms).sum::<f64>().max(f64::MIN_POSITIVE);
        let mut text = "\nstep         ms   share  op          module\n".to_owned();
        for (i, StepTime { name, op, ms }) in self.steps.iter().enumerate() {
            text += &format!("{i:4} {ms:10.3} {:5.1} %  {op:10}  {name}\n", 100.0 * ms / all);
        }
        text + &format!(" all {all:10.3} 100.0 %\n")
    }
}

impl Times {
    /// Of the first run, and of at least one that is counted.
    fn of(first: Duration, mut times: Vec<Duration>) -> Times {
        times.sort_unstable();
        // The nearest rank: the smallest time that this share of the runs doesn't exceed.
        let rank = |percent: usize| ms(times[(times.len() * percent).div_ceil(100).max(1) - 1]);
        Times { first_ms: ms(first), min_ms: rank(0), p50_ms: rank(50), p90_ms: rank(90), p99_ms: rank(99) }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Most memory that this process has held, where the system says.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What a run reads from an input.
fn numbers(model: &Model, input: usize, port: &Port, len: usize) -> Data {
    let plan = model.plan();
    let tables = plan.steps.iter().filter_map(|step| match &step.op {
        StepOp::Embed(embed) if embed.input as usize == input => Some(embed.vocab),
        _ => None,
    });
    let words = tables.min().unwrap_or(1) as f32;
    let is_mask = plan.lengths.is_some_and(|mask| mask as usize == input);
    // Of a table's numbers, any but those that rounding would make too large.
    let number = |x: f32| if is_mask { 1 } else { ((x + 1.0) / 2.0 * (words - 1.0)) as i32 };
    match port.dtype {
        Dtype::F32 => Data::F32(noise(len)),
        Dtype::I32 => Data::I32(noise(len).into_iter().map(number).collect()),
        Dtype::I64 => Data::I64(noise(len).into_iter().map(|x| i64::from(number(x))).collect()),
    }
}

fn noise(len: usize) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let first = Duration::from_millis(7);
        let of = |n: u64| Times::of(first, (1..=n).rev().map(Duration::from_millis).collect());
        assert_eq!(of(1), Times { first_ms: 7.0, min_ms: 1.0, p50_ms: 1.0, p90_ms: 1.0, p99_ms: 1.0 });
        assert_eq!(of(10), Times { first_ms: 7.0, min_ms: 1.0, p50_ms: 5.0, p90_ms: 9.0, p99_ms: 10.0 });
        assert_eq!(
            of(200),
            Times { first_ms: 7.0, min_ms: 1.0, p50_ms: 100.0, p90_ms: 180.0, p99_ms: 198.0 }
        );
    }

    #[test]
    fn lists_of_cpus() {
        let of = |list: &str| cpus(OsStr::new(list)).ok();
        assert_eq!(
            [of("3"), of("0,2"), of("4-6,0")],
            [Some(vec![3]), Some(vec![0, 2]), Some(vec![4, 5, 6, 0])]
        );
        for wrong in ["", "1-", "-1", "0,3-1", "a", "1,,2", "0-9999", "0-300"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn noise_fills_its_range() {
        let noise = noise(1000);
        assert!(noise.iter().all(|x| x.abs() <= 1.0));
        assert!(noise.iter().any(|x| *x > 0.9) && noise.iter().any(|x| *x < -0.9));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_says_the_peak() {
        assert!(peak_rss_bytes().is_none_or(|bytes| bytes > 1 << 16));
    }
}
