//! The layers that may be kept in a higher precision, and the order in which they are. May import: the rest of `calibrate`,
//! `ir`, `precision`, `schedule`, `target`, `error`; far-format, far-tool (names of steps).

use far_format::plan::Step;
use glob::Pattern;

use super::{Dtype, DtypeOptions, F16Arithmetic, Graph, Layer, Target, Variant, bad_option, schedule};
use crate::error::Result;
use crate::schedule::Scheduled;

/// All that may be chosen.
pub(super) struct Choice {
    /// In the plan's order, then by what they harm.
    pub(super) layers: Vec<Layer>,
    /// What was asked for.
    asked: DtypeOptions,
    /// From what was asked for to f32.
    ladder: Vec<Dtype>,
}

impl Choice {
    /// The layers that are as asked for: neither an exception of the user's nor what stays in f32 anyway.
    pub(super) fn new(graph: &Graph, host: &Target, asked: &DtypeOptions) -> Result<Self> {
        let ladder = match asked.dtype {
            Dtype::F32 => {
                return Err(bad_option("in f32 there is nothing to calibrate")
                    .expected("`--dtype int8`, `f16` or `bf16`")
                    .got("`f32`"));
            }
            Dtype::Int8 => vec![Dtype::Int8, Dtype::F16, Dtype::F32],
            other => vec![other, Dtype::F32],
        };
        // Half precision on this machine is storage: it gives the same bits everywhere.
        let asked = DtypeOptions { f16_arithmetic: F16Arithmetic::Never, ..asked.clone() };
        let plain = DtypeOptions { dtype: Dtype::F32, ..asked.clone() };
        let [with, without] = [schedule::plan(graph, host, &asked)?, schedule::plan(graph, host, &plain)?];
        let mut layers: Vec<Layer> = Vec::new();
        for (step, other) in with.plan.steps.iter().zip(&without.plan.steps) {
            if step.op.precision() != other.op.precision() && !layers.iter().any(|l| l.name == step.name) {
                layers.push(Layer {
                    name: step.name.clone(),
                    op: far_tool::info::op_name(&step.op),
                    error_alone: 0.0,
                    kept_as: asked.dtype.name(),
                    bytes: 0,
                });
            }
        }
        if layers.is_empty() {
            return Err(bad_option("there is nothing to calibrate")
                .expected("layers that are neither f32 nor exceptions")
                .got("none"));
        }
        Ok(Self { layers, asked, ladder })
    }

    /// The most harmful first; of equals, the first of the model.
    pub(super) fn rank(&mut self) {
        self.layers.sort_by(|a, b| b.error_alone.total_cmp(&a.error_alone));
    }

    /// All in f32.
    pub(super) fn exact(&self) -> Variant {
        self.variant(|_| Dtype::F32)
    }

    /// One layer as asked for, all others in f32.
    pub(super) fn alone(&self, layer: usize) -> Variant {
        self.variant(|i| if i == layer { self.ladder[0] } else { Dtype::F32 })
    }

    /// How many there are of [`Self::state`].
    pub(super) fn states(&self) -> usize {
        self.layers.len() * (self.ladder.len() - 1) + 1
    }

    /// One after another the layers take a step up the ladder, the most harmful first; then all take the next.
    pub(super) fn state(&self, ups: usize) -> Variant {
        let (all, some) = (ups / self.layers.len(), ups % self.layers.len());
        self.variant(|i| self.ladder[all + usize::from(i < some)])
    }

    fn variant(&self, dtype: impl Fn(usize) -> Dtype) -> Variant {
        let layers = self.layers.iter().enumerate().map(|(i, layer)| (layer.name.clone(), dtype(i)));
        Variant { asked: self.asked.clone(), layers: layers.collect() }
    }

    /// The layers as a variant has them, and their bytes in its plan.
    pub(super) fn report(mut self, variant: &Variant, scheduled: &Scheduled) -> Vec<Layer> {
        for (layer, (_, dtype)) in self.layers.iter_mut().zip(&variant.layers) {
            let own = |(step, cost): (&Step, &crate::cost::StepCost)| {
                if step.name == layer.name { cost.weight_bytes } else { 0 }
            };
            layer.bytes = scheduled.plan.steps.iter().zip(&scheduled.costs).map(own).sum();
            layer.kept_as = dtype.name();
        }
        self.layers
    }
}

impl Variant {
    /// As options of a compilation: only what differs from what was asked for. Exceptions of the user's come last, so that
    /// they stay; what is in a module comes after the module.
    pub(super) fn options(&self) -> DtypeOptions {
        let mut layers: Vec<&(String, Dtype)> = self.layers.iter().collect();
        layers.sort_by_key(|(name, _)| (name.matches('.').count(), name.clone()));
        let mut exceptions: Vec<(&str, Dtype)> = Vec::new();
        for (name, dtype) in layers {
            let inside = |module: &str| name.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'));
            let above = exceptions.iter().rev().find(|(module, _)| inside(module));
            if *dtype != above.map_or(self.asked.dtype, |(_, dtype)| *dtype) {
                exceptions.push((name, *dtype));
            }
        }
        let chosen = exceptions.into_iter().map(|(name, dtype)| (Pattern::escape(name), dtype));
        DtypeOptions {
            dtype_for: chosen.chain(self.asked.dtype_for.iter().cloned()).collect(),
            ..self.asked.clone()
        }
    }
}
