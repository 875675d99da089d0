//! The kernels at the sizes at which the models run them. May import: far-kernels, far-format's layout, `noise`.

use far_format::layout::{gemm_weight_len, lstm_weight_len, padded_hidden};
use far_kernels::matrix::{Mat, MatMut};
use far_kernels::pack::HOST;
use far_kernels::{
    Activation, Gemm, GemmArgs, Kernels, LayerNormArgs, Lstm, LstmArgs, SoftmaxArgs, Variant, lstm_state_len,
};

use crate::Noise;

/// Tokens of a 224×224 image in patches of 16×16, and the class token.
pub const TOKENS: usize = 197;

/// `N × K` of the products of DeiT-Tiny, -Small and -Base.
pub const GEMM_SHAPES: [(usize, usize); 12] = [
    (192, 192),
    (576, 192),
    (768, 192),
    (192, 768),
    (384, 384),
    (1536, 384),
    (384, 1536),
    (768, 768),
    (2304, 768),
    (3072, 768),
    (768, 3072),
    (1000, 768),
];

/// Hidden units of one head and direction: all of them, and what pruning leaves.
pub const HIDDEN: [usize; 4] = [64, 48, 40, 32];

/// Heads of DeiT-Tiny, -Small and -Base.
pub const HEADS: [usize; 3] = [3, 6, 12];

/// What the time of a case is to be seen against.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Multiply-adds of that variant: the core has a limit for them.
    MultiplyAdds(u64, &'static Variant),
    /// Elements of the result.
    Elements(u64),
}

/// One kernel at one size.
pub struct Case {
    /// Kernel and size, e.g. `gemm_f32_6x16_avx2 768x192 gelu`.
    pub name: String,
    /// What one call does.
    pub work: Work,
    call: Box<dyn FnMut()>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("work", &self.work).finish_non_exhaustive()
    }
}

impl Case {
    /// One call of the kernel, or as many as the name says.
    pub fn run(&mut self) {
        (self.call)();
    }
}

/// All cases of a set of kernels, and of every variant that is of its instructions. Each allocates its memory when it is reached.
pub fn cases(kernels: Kernels) -> impl Iterator<Item = Case> {
    let of_set = move |variant: &Variant| variant.isa == kernels.isa();
    let gemms = Gemm::available().filter(move |kernel| of_set(kernel.variant())).flat_map(|kernel| {
        GEMM_SHAPES.into_iter().flat_map(move |(n, k)| {
            let epilogues = [Epilogue::None, Epilogue::Gelu, Epilogue::Residual];
            epilogues.into_iter().map(move |epilogue| gemm(kernel, n, k, epilogue))
        })
    });
    let lstms = Lstm::available().filter(move |kernel| of_set(kernel.variant())).flat_map(|kernel| {
        HEADS
            .into_iter()
            .flat_map(move |heads| HIDDEN.into_iter().map(move |hidden| lstm(kernel, hidden, heads)))
    });
    let norms = [192, 384, 768].into_iter().map(move |cols| layer_norm(kernels, cols));
    gemms.chain(lstms).chain(norms).chain(std::iter::once_with(move || softmax(kernels)))
}

#[derive(Clone, Copy)]
enum Epilogue {
    None,
    Gelu,
    Residual,
}

impl Epilogue {
    fn name(self) -> &'static str {
        match self {
            Self::None => "bias",
            Self::Gelu => "gelu",
            Self::Residual => "residual",
        }
    }
}

fn gemm(kernel: Gemm, n: usize, k: usize, epilogue: Epilogue) -> Case {
    let (from, to) = (stride(k), stride(n));
    let a = Noise::new(TOKENS * from);
    let weights = Noise::new(gemm_weight_len(kernel.precision(), HOST, k, n));
    let residual = Noise::new(TOKENS * to);
    let mut out = Noise::new(TOKENS * to);
    let mut scratch = Noise::new(kernel.scratch_len(TOKENS, k));
    Case {
        name: format!("{} {n}x{k} {}", kernel.name(), epilogue.name()),
        work: Work::MultiplyAdds((TOKENS * n * k) as u64, kernel.variant()),
        call: Box::new(move || {
            kernel.run(GemmArgs {
                a: Mat::new(&a, TOKENS, k, from),
                weights: &weights,
                act: match epilogue {
                    Epilogue::Gelu => Activation::Gelu.in_product_of(kernel.precision()),
                    Epilogue::None | Epilogue::Residual => Activation::None,
                },
                residual: match epilogue {
                    Epilogue::Residual => Some(Mat::new(&residual, TOKENS, n, to)),
                    Epilogue::None | Epilogue::Gelu => None,
                },
                scratch: &mut scratch,
                out: MatMut::new(&mut out, TOKENS, n, to),
            });
        }),
    }
}

/// Elements from row to row, as plans have it: rows at a distance of a multiple of 2 KiB would share few sets of a cache.
fn stride(cols: usize) -> usize {
    if cols.is_multiple_of(512) { cols + 16 } else { cols }
}

/// The recurrences of a block one after the other: two directions of each head.
fn lstm(kernel: Lstm, hidden: usize, heads: usize) -> Case {
    let units = 2 * heads;
    let weight_len = lstm_weight_len(kernel.precision(), HOST, hidden);
    let width = 4 * padded_hidden(hidden);
    let gates = Noise::new(TOKENS * units * width);
    let weights = Noise::new(units * weight_len);
    let mut state = Noise::new(lstm_state_len(kernel.precision(), hidden));
    let mut out = Noise::new(TOKENS * units * hidden);
    Case {
        name: format!("{} {heads} heads of {hidden}", kernel.name()),
        work: Work::MultiplyAdds((TOKENS * units * 4 * hidden * hidden) as u64, kernel.variant()),
        call: Box::new(move || {
            let all_gates = Mat::new(&gates, TOKENS, units * width, units * width);
            let mut all_out = MatMut::new(&mut out, TOKENS, units * hidden, units * hidden);
            for unit in 0..units {
                kernel.run(LstmArgs {
                    gates: all_gates.part(0, unit * width, TOKENS, width),
                    weights: &weights[unit * weight_len..][..weight_len],
                    reverse: unit % 2 == 1,
                    state: &mut state,
                    out: all_out.part(0, unit * hidden, TOKENS, hidden),
                });
            }
        }),
    }
}

fn layer_norm(kernels: Kernels, cols: usize) -> Case {
    let x = Noise::new(TOKENS * cols);
    let mut out = Noise::new(TOKENS * cols);
    let kernel = kernels.layer_norm();
    Case {
        name: format!("{} {TOKENS}x{cols}", kernel.name()),
        work: Work::Elements((TOKENS * cols) as u64),
        call: Box::new(move || {
            kernel.run(LayerNormArgs {
                x: Mat::new(&x, TOKENS, cols, cols),
                eps: 1e-6,
                affine: None,
                out: MatMut::new(&mut out, TOKENS, cols, cols),
            });
        }),
    }
}

/// The scores of one head.
fn softmax(kernels: Kernels) -> Case {
    let mut x = Noise::new(TOKENS * TOKENS);
    let kernel = kernels.softmax();
    Case {
        name: format!("{} {TOKENS}x{TOKENS}", kernel.name()),
        work: Work::Elements((TOKENS * TOKENS) as u64),
        call: Box::new(move || {
            kernel.run(SoftmaxArgs { scale: 0.125, x: MatMut::new(&mut x, TOKENS, TOKENS, TOKENS) });
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_runs() {
        let wanted = |case: &Case| !case.name.contains("3072") && !case.name.contains("2304");
        for mut case in cases(Kernels::best()).filter(wanted) {
            case.run();
        }
    }
}
