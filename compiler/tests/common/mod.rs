//! What several test programs share: a seeded source of numbers, and comparing what graphs mean.
#![allow(dead_code, unreachable_pub)] // each test program uses a part of it

use farc::ir::{Graph, Op, Shape, ValueId, eval};

/// Largest difference allowed, relative to the largest value: constants are rounded to f32 once.
const TOLERANCE: f64 = 1e-5;

/// A small generator of numbers: the same seed, the same numbers.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// In `-scale..scale`.
    pub fn real(&mut self, scale: f32) -> f32 {
        ((self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
    }

    pub fn reals(&mut self, len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|_| self.real(scale)).collect()
    }
}

/// Rows of the smallest table that ids are looked up in.
fn vocabulary(graph: &Graph, ids: ValueId) -> usize {
    let tables = graph.nodes.iter().filter_map(|node| match node.op {
        Op::Embedding { table } if node.inputs[0] == ids => Some(graph.weight(table).dims[0]),
        _ => None,
    });
    tables.min().unwrap_or(2)
}

/// Inputs of a call of so many tokens, where their number varies.
pub fn inputs(graph: &Graph, tokens: usize, numbers: &mut Numbers) -> Vec<Vec<f32>> {
    let input = |port: &farc::ir::Port| {
        let shape = graph.value(port.value).shape;
        let [rows, cols] = graph.dims(port.value);
        let count = if shape.varies() { tokens * cols } else { rows * cols };
        match shape {
            Shape::Ids { .. } | Shape::TokenIds => {
                let vocabulary = vocabulary(graph, port.value);
                (0..count).map(|_| numbers.below(vocabulary) as f32).collect()
            }
            _ => numbers.reals(count, 1.5),
        }
    };
    graph.inputs.iter().map(input).collect()
}

/// Runs both graphs on the same inputs; at several lengths where the number of tokens varies.
#[track_caller]
pub fn assert_same_meaning(a: &Graph, b: &Graph, name: &str) {
    let mut numbers = Numbers::new(7);
    let mut lengths = vec![a.tokens, 1, 2, a.tokens.saturating_sub(1)];
    lengths.retain(|tokens| (a.tokens.min(1)..=a.tokens).contains(tokens));
    lengths.dedup();
    for tokens in lengths {
        let inputs = inputs(a, tokens, &mut numbers);
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let (a, b) = (eval::outputs(a, &inputs).unwrap(), eval::outputs(b, &inputs).unwrap());
        assert_eq!(a.len(), b.len(), "{name}: number of outputs");
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a.len(), b.len(), "{name}: size of an output of {tokens} tokens");
            let largest = a.iter().fold(1e-3, |largest: f64, x| largest.max(x.abs()));
            let difference = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(difference <= TOLERANCE * largest, "{name}: differs by {difference:e} of {largest:e}");
            assert!(a.iter().chain(b).all(|x| x.is_finite()), "{name}: not finite");
        }
    }
}
