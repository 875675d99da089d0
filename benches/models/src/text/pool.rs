//! Tokens to outputs. May import: the rest of `text`, `graph`.

use super::{Builder, Pooling};
use crate::graph::{Axis, Element, int};

impl Builder<'_> {
    /// `batch × tokens × width` to the outputs.
    pub(super) fn pool(&mut self, mut x: String) {
        let ([batch, tokens], width) = (self.axes(), self.config.blocks.size.width);
        let features = [batch, tokens, Axis::Fixed(width)];
        if self.config.pooling == Pooling::None {
            if self.config.normalized {
                self.normalize(&x);
            }
            self.graph.output("last_hidden_state", &features);
            return;
        }
        if self.config.features {
            self.graph.output("last_hidden_state", &features);
            x = "last_hidden_state".into();
        }
        let pooled = match self.config.pooling {
            Pooling::Mean => self.mean(&x),
            _ => self.first(&x),
        };
        let pooled = match self.config.pooling {
            Pooling::Pooler => {
                let y = self.gemm("pooler/dense", &pooled, [width, width]);
                self.graph.node("pooler/activation", "Tanh", &[&y], vec![])
            }
            _ => pooled,
        };
        if self.config.normalized {
            self.normalize(&pooled);
        }
        self.graph.output("embedding", &[batch, Axis::Fixed(width)]);
    }

    fn first(&mut self, x: &str) -> String {
        let at = self.graph.constant_i64("", &[], &[0]);
        self.graph.node("", "Gather", &[x, &at], vec![int("axis", 1)])
    }

    /// Over the tokens that count: the mask repeated for each channel, as sentence-transformers has it.
    fn mean(&mut self, x: &str) -> String {
        if self.config.mask.is_none() {
            return self.graph.with_axes("", "ReduceMean", x, &[1], vec![int("keepdims", 0)], 18);
        }
        let mask = self.graph.with_axes("", "Unsqueeze", "attention_mask", &[-1], vec![], 13);
        let shape = self.graph.node("", "Shape", &[x], vec![]);
        let mask = self.graph.node("", "Expand", &[&mask, &shape], vec![]);
        let mask = self.cast("", &mask, Element::F32);
        let product = self.graph.node("", "Mul", &[x, &mask], vec![]);
        let sum = |graph: &mut crate::graph::GraphBuilder, x: &str| {
            graph.with_axes("", "ReduceSum", x, &[1], vec![int("keepdims", 0)], 13)
        };
        let total = sum(self.graph, &product);
        let count = sum(self.graph, &mask);
        let least = self.graph.constant_f32("", &[], &[1e-9]);
        let count = self.graph.node("", "Clip", &[&count, &least], vec![]);
        self.graph.node("", "Div", &[&total, &count], vec![])
    }
}
