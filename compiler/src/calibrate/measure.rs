//! Runs variants of a model and says how far their answers are from those of f32. May import: the rest of `calibrate`, `ir`,
//! `emit`, `precision`, `schedule`, `target`, `verify` (samples, runner), `error`; far-engine (options of a session).

use std::num::NonZero;

use far_engine::SessionOptions;
use far_format::plan::Port;
use serde::Serialize;

use super::{Budget, Choice, Data, Dtype, DtypeOptions, Graph, RANKED, Target, bad_option, schedule};
use crate::emit;
use crate::error::Result;
use crate::verify::{HostRunner, Runner, Sample, cosine, largest};

/// A dtype for each layer.
pub(super) struct Variant {
    /// What the user asked for.
    pub(super) asked: DtypeOptions,
    /// The layers that the search is free to change.
    pub(super) layers: Vec<(String, Dtype)>,
}

/// How far answers are from those of f32.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// 1 − cosine between the outputs: the mean over the data, of the worst output.
    pub error: f64,
    /// The same, the most of all data.
    pub worst: f64,
    /// Points (parts of a hundred) of the data whose largest output is another one; absent where the model has no output of
    /// several classes.
    pub drop: Option<f64>,
    /// Top-1 accuracy in percent, where labels are known.
    pub accuracy: Option<f64>,
}

/// The answers of f32, and what is asked again.
pub(super) struct Measure<'a> {
    graph: &'a Graph,
    host: &'a Target,
    ports: Vec<Port>,
    samples: Vec<Sample>,
    /// Indices of the samples by which layers are ranked.
    ranked: Vec<usize>,
    /// The answers of f32, by sample and output.
    truth: Vec<Vec<Vec<f32>>>,
    /// The output whose largest element is the answer.
    classes: Option<usize>,
    labels: Option<Vec<usize>>,
    exact: Score,
}

impl<'a> Measure<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        host: &'a Target,
        choice: &Choice,
        data: &Data,
        budget: &Budget,
    ) -> Result<Self> {
        let scheduled = schedule::plan(graph, host, &choice.exact().options())?;
        let samples = data.samples(&scheduled.plan)?;
        let ports = scheduled.plan.outputs.clone();
        let several = |port: &Port| port.elements(1, 1) > 1 && port.elements(1, 2) == port.elements(1, 1);
        let classes = ports.iter().position(several);
        if classes.is_none() && budget.max_drop.is_some() {
            return Err(bad_option("`--max-drop` is for models that choose one of several classes")
                .expected("an output of several numbers for each element of the batch")
                .got("none")
                .hint("`--max-error` bounds the error of any output"));
        }
        let elements = samples.iter().map(|sample| sample.extent.batch).sum();
        let labels = match classes {
            Some(output) => data.labels(elements, ports[output].elements(1, 0))?,
            None => None,
        };
        let step = samples.len().div_ceil(RANKED);
        let mut measure = Self {
            graph,
            host,
            ports,
            ranked: (0..samples.len()).step_by(step).collect(),
            samples,
            truth: Vec::new(),
            classes,
            labels,
            exact: Score { error: 0.0, worst: 0.0, drop: None, accuracy: None },
        };
        measure.truth = measure.run(&choice.exact(), &measure.samples)?;
        let all: Vec<usize> = (0..measure.samples.len()).collect();
        measure.exact = measure.score(&all, &measure.truth);
        Ok(measure)
    }

    /// How many data there are.
    pub(super) fn elements(&self) -> usize {
        self.samples.iter().map(|sample| sample.extent.batch).sum()
    }

    /// What f32 scores.
    pub(super) fn exact(&self) -> Score {
        self.exact
    }

    /// A variant on all data.
    pub(super) fn all(&self, variant: &Variant) -> Result<Score> {
        let outputs = self.run(variant, &self.samples)?;
        Ok(self.score(&(0..self.samples.len()).collect::<Vec<_>>(), &outputs))
    }

    /// A variant on the data by which layers are ranked.
    pub(super) fn ranking(&self, variant: &Variant) -> Result<Score> {
        let samples: Vec<Sample> = self.ranked.iter().map(|i| self.samples[*i].clone()).collect();
        Ok(self.score(&self.ranked, &self.run(variant, &samples)?))
    }

    fn run(&self, variant: &Variant, samples: &[Sample]) -> Result<Vec<Vec<Vec<f32>>>> {
        let scheduled = schedule::plan(self.graph, self.host, &variant.options())?;
        let artifact = emit::artifact(&scheduled, self.host)?;
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let options = SessionOptions { threads, ..SessionOptions::default() };
        Ok(HostRunner { options }.run(&artifact, samples)?.outputs)
    }

    /// Outputs of the samples with these indices.
    fn score(&self, indices: &[usize], outputs: &[Vec<Vec<f32>>]) -> Score {
        let (mut errors, mut other, mut right) = (Vec::new(), 0usize, 0usize);
        for (index, outputs) in indices.iter().zip(outputs) {
            let extent = self.samples[*index].extent;
            let first: usize = self.samples[..*index].iter().map(|sample| sample.extent.batch).sum();
            for element in 0..extent.batch {
                let mut worst: f64 = 0.0;
                for (output, port) in self.ports.iter().enumerate() {
                    let len = port.elements(1, extent.tokens);
                    let range = element * len..(element + 1) * len;
                    let (got, truth) = (&outputs[output][range.clone()], &self.truth[*index][output][range]);
                    let truth: Vec<f64> = truth.iter().map(|x| f64::from(*x)).collect();
                    let error = 1.0 - cosine(got, &truth);
                    // Not the other way round, so that a NaN is the worst of all.
                    worst = if error <= worst { worst } else { error };
                    if Some(output) == self.classes {
                        let top = largest(got.iter().map(|x| f64::from(*x)));
                        other += usize::from(top != largest(truth.into_iter()));
                        let label = self.labels.as_ref().map(|labels| labels[first + element]);
                        right += usize::from(label.is_some() && top == label);
                    }
                }
                errors.push(worst);
            }
        }
        let percent = |count: usize| 100.0 * count as f64 / errors.len() as f64;
        Score {
            error: errors.iter().sum::<f64>() / errors.len() as f64,
            worst: errors.iter().copied().fold(0.0, |a, b| if b <= a { a } else { b }),
            drop: self.classes.map(|_| percent(other)),
            accuracy: self.labels.as_ref().map(|_| percent(right)),
        }
    }
}
