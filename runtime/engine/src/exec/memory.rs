//! The memory of one call, and the views of it that tasks compute on. May import: what `exec` may.

use std::marker::PhantomData;
use std::ops::Range;

use far_format::layout::{panels_len, table_row_len};
use far_format::{Region, Space};
use far_kernels::matrix::{Mat, MatMut};
use far_kernels::{
    AddArgs, GemmArgs, Kernels, LayerNormArgs, LstmArgs, MapArgs, NormalizeArgs, lstm_state_len, normalize,
    pack, widen_row,
};

use super::rows::{attend, mean_rows, patches, row, row_mut};
use crate::buffer::Buffer;
use crate::call::{Extent, Input, Inputs};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::program::{Task, Work, some_rows};

/// Room for the addresses of a call's outputs, so that a run allocates none.
#[derive(Debug)]
pub(super) struct Outputs(Vec<Output>);

/// Where an output begins, and how many elements of it are one element's of the batch.
#[derive(Clone, Copy, Debug)]
struct Output {
    start: *mut f32,
    len: usize,
}

// SAFETY: the pointers are only used during the run that put them there, under the facts of `exec`.
unsafe impl Send for Outputs {}
// SAFETY: nothing reads them through a shared reference outside of a run.
unsafe impl Sync for Outputs {}

impl Outputs {
    pub(super) fn new(count: usize) -> Result<Outputs> {
        let mut outputs = Vec::new();
        let bytes = count * size_of::<Output>();
        outputs
            .try_reserve_exact(count)
            .map_err(|_| Error::OutOfMemory { what: "the session's outputs", bytes })?;
        Ok(Outputs(outputs))
    }
}

/// Which element of the batch is computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub(super) index: usize,
    /// Its own tokens.
    pub(super) tokens: usize,
}

/// The memory of one call.
pub(super) struct Memory<'a> {
    model: &'a Model,
    weights: &'a [f32],
    arena: *mut f32,
    extent: Extent,
    inputs: Inputs<'a>,
    outputs: &'a [Output],
    written: PhantomData<&'a mut f32>,
}

// SAFETY: by (C) threads that share this touch disjoint memory or only read.
unsafe impl Sync for Memory<'_> {}

/// What a task sees of the memory: one element of the batch, and some of its tokens.
#[derive(Clone, Copy)]
struct Part<'m> {
    memory: &'m Memory<'m>,
    element: Element,
    /// The first of the tokens, and how many they are; none where no rows of the task are tokens.
    rows: (usize, usize),
}

impl<'a> Memory<'a> {
    /// Takes the addresses of the buffers of a call that was checked.
    pub(super) fn bind(
        model: &'a Model,
        arena: &'a mut Buffer,
        extent: Extent,
        inputs: Inputs<'a>,
        outputs: &'a mut [&mut [f32]],
        pointers: &'a mut Outputs,
    ) -> Memory<'a> {
        pointers.0.clear();
        pointers.0.extend(outputs.iter_mut().map(|output| {
            let len = output.len() / extent.batch;
            Output { start: output.as_mut_ptr(), len }
        }));
        let arena = arena.as_mut_slice().as_mut_ptr();
        let weights = model.weights();
        Memory { model, weights, arena, extent, inputs, outputs: &pointers.0, written: PhantomData }
    }

    /// Zeros in the rows of outputs that are past an element's own tokens.
    ///
    /// # Safety
    /// (B) holds, and no task runs.
    pub(super) unsafe fn clear_padding(&self, index: usize, tokens: usize) {
        let padding = self.extent.tokens - tokens;
        if padding == 0 {
            return;
        }
        let ports = self.model.outputs().iter().zip(self.outputs);
        for (_, Output { start, len }) in ports.filter(|(port, _)| port.has_tokens()) {
            let row = len / self.extent.tokens;
            // SAFETY: by (B) each element of the batch has `len` elements there, which are the call's tokens, a row each.
            let rest = unsafe {
                std::slice::from_raw_parts_mut(start.add(index * len + tokens * row), padding * row)
            };
            rest.fill(0.0);
        }
    }

    /// Runs one task.
    ///
    /// # Safety
    /// (A), (B) and (C) hold, no other thread runs this task, and the element has no more tokens than the call.
    pub(super) unsafe fn run(&self, task: &Task, element: Element, kernels: Kernels, scratch: &mut [f32]) {
        let mut rows = (0, 0);
        if task.work.has_tokens() {
            rows = task.share.of(element.tokens);
            if rows.1 == 0 {
                return; // of few tokens none is the task's
            }
        }
        // SAFETY: as this function's own.
        unsafe { Part { memory: self, element, rows }.run(&task.work, kernels, scratch) };
    }
}

impl<'m> Part<'m> {
    /// The region in the element's part of its memory, without the rows that are not the task's.
    fn cut(&self, region: &Region) -> Region {
        if region.tokens { some_rows(region, self.rows) } else { *region }
    }

    /// A view to read.
    ///
    /// # Safety
    /// (A), (B) and (C) hold, and `region` is read by the task that runs.
    unsafe fn mat(self, region: &Region) -> Mat<'m> {
        let Region { space, start, rows, cols, stride, .. } = self.cut(region);
        #[cfg(test)]
        super::tests::touch(rows * cols);
        let base = match space {
            Space::Arena => self.memory.arena.cast_const(),
            Space::Weights => self.memory.weights.as_ptr(),
            Space::Input(n) => match self.input(n) {
                Input::F32(values) => values.as_ptr(),
                _ => unreachable!("a checked plan has no tensor in a port of integers"),
            },
            // SAFETY: by (B) the output has that many elements for each element of the batch.
            Space::Output(n) => unsafe { self.output(n) }.cast_const(),
        };
        // SAFETY: by (A) and (B) the region lies in that memory, which is f32 and initialised; by (C) no other task
        // writes it, and this one only where its kernel allows.
        unsafe { Mat::from_raw(base.add(start), rows, cols, stride) }
    }

    /// A view to write.
    ///
    /// # Safety
    /// (A), (B) and (C) hold, and `region` is written by the task that runs.
    unsafe fn mat_mut(self, region: &Region) -> MatMut<'m> {
        let Region { space, start, rows, cols, stride, .. } = self.cut(region);
        #[cfg(test)]
        super::tests::touch(rows * cols);
        let base = match space {
            Space::Arena => self.memory.arena,
            // SAFETY: as in `mat`.
            Space::Output(n) => unsafe { self.output(n) },
            Space::Weights | Space::Input(_) => {
                unreachable!("a checked plan writes neither weights nor inputs")
            }
        };
        // SAFETY: by (A) and (B) the region lies in that memory, by (C) nobody else touches it.
        unsafe { MatMut::from_raw(base.add(start), rows, cols, stride) }
    }

    /// What the element has of an input.
    fn input(self, n: usize) -> Input<'m> {
        self.memory.inputs.get(n).element(self.element.index, self.memory.extent.batch)
    }

    /// Where the element's part of an output begins.
    ///
    /// # Safety
    /// (B) holds.
    unsafe fn output(self, n: usize) -> *mut f32 {
        let Output { start, len } = self.memory.outputs[n];
        // SAFETY: by (B) the output has `len` elements for each element of the batch.
        unsafe { start.add(self.element.index * len) }
    }

    fn weights(self, range: &Range<usize>) -> &'m [f32] {
        &self.memory.weights[range.clone()]
    }

    /// Packed keys or values in the arena, to read.
    ///
    /// # Safety
    /// As [`mat`](Self::mat).
    unsafe fn packed(self, start: usize, len: usize) -> &'m [f32] {
        // SAFETY: by (A) they lie in the arena; by (C) they were written in the phase before and aren't in this.
        unsafe { std::slice::from_raw_parts(self.memory.arena.add(start), len) }
    }

    /// Room for packed keys or values in the arena.
    ///
    /// # Safety
    /// As [`mat_mut`](Self::mat_mut).
    unsafe fn packing(self, start: usize, len: usize) -> &'m mut [f32] {
        // SAFETY: by (A) the room lies in the arena; by (C) nobody else touches it.
        unsafe { std::slice::from_raw_parts_mut(self.memory.arena.add(start), len) }
    }

    /// Does a task's work.
    ///
    /// # Safety
    /// (A), (B) and (C) hold, and the part is that of the task.
    unsafe fn run(self, work: &Work, kernels: Kernels, scratch: &mut [f32]) {
        // SAFETY, for every view below: what this function asks for; each operand is viewed as what the task does
        // with it, and views of one task overlap only where the plan and the kernel allow, by (A).
        match work {
            Work::Gemm { precision, a, weights, act, residual, out } => {
                let kernel = kernels.gemm(*precision);
                // SAFETY: as above.
                let a = unsafe { self.mat(a) };
                let scratch = &mut scratch[..kernel.scratch_len(a.rows(), a.cols())];
                kernel.run(GemmArgs {
                    a,
                    weights: self.weights(weights),
                    act: *act,
                    // SAFETY: as above.
                    residual: residual.as_ref().map(|residual| unsafe { self.mat(residual) }),
                    scratch,
                    // SAFETY: as above.
                    out: unsafe { self.mat_mut(out) },
                });
            }
            Work::Lstm { precision, gates, weights, reverse, out } => {
                kernels.lstm(*precision).run(LstmArgs {
                    // SAFETY: as above.
                    gates: unsafe { self.mat(gates) },
                    weights: self.weights(weights),
                    reverse: *reverse,
                    state: &mut scratch[..lstm_state_len(*precision, out.cols)],
                    // SAFETY: as above.
                    out: unsafe { self.mat_mut(out) },
                })
            }
            Work::LayerNorm { x, eps, affine, out } => kernels.layer_norm().run(LayerNormArgs {
                // SAFETY: as above.
                x: unsafe { self.mat(x) },
                eps: *eps,
                affine: affine.as_ref().map(|range| self.weights(range).split_at(range.len() / 2)),
                // SAFETY: as above.
                out: unsafe { self.mat_mut(out) },
            }),
            Work::PackHead { k, v, keys, values } => {
                // SAFETY: as above.
                let (k, v) = unsafe { (self.mat(k), self.mat(v)) };
                let (tokens, d) = (k.rows(), k.cols());
                // SAFETY: as above; of fewer tokens they are no longer than of the most.
                let keys = unsafe { self.packing(*keys, panels_len(d, tokens)) };
                pack::panels_transposed(k, keys);
                // SAFETY: as above.
                let values = unsafe { self.packing(*values, panels_len(tokens, d)) };
                pack::panels(v, values);
            }
            Work::Attend { q, keys, values, tokens, scale, block, out } => {
                let tokens = if q.tokens { self.element.tokens } else { *tokens };
                // SAFETY: as above.
                let (q, mut out) = unsafe { (self.mat(q), self.mat_mut(out)) };
                // SAFETY: as above, and as they were packed.
                let keys = unsafe { self.packed(*keys, panels_len(q.cols(), tokens)) };
                // SAFETY: as above.
                let values = unsafe { self.packed(*values, panels_len(tokens, q.cols())) };
                attend(kernels, q, keys, values, tokens, *scale, *block, &mut out, scratch);
            }
            Work::Map { act, x, out } => {
                // SAFETY: as above.
                let (x, out) = unsafe { (self.mat(x), self.mat_mut(out)) };
                kernels.map().run(MapArgs { act: *act, x, out });
            }
            Work::Add { a, b, out } => {
                // SAFETY: as above.
                let (a, b, out) = unsafe { (self.mat(a), self.mat(b), self.mat_mut(out)) };
                kernels.add().run(AddArgs { a, b, out });
            }
            Work::Copy { x, out } => {
                // SAFETY: as above.
                let (x, mut out) = unsafe { (self.mat(x), self.mat_mut(out)) };
                for r in 0..x.rows() {
                    row_mut(&mut out, r).copy_from_slice(row(&x, r));
                }
            }
            Work::MeanRows { x, out } => {
                // SAFETY: as above.
                let (x, mut out) = unsafe { (self.mat(x), self.mat_mut(out)) };
                mean_rows(&x, row_mut(&mut out, 0));
            }
            Work::Patches { image, geometry, first, out } => {
                // SAFETY: as above.
                let (image, mut out) = unsafe { (self.mat(image), self.mat_mut(out)) };
                patches(&image, geometry, *first, &mut out);
            }
            Work::Embed { precision, input, table, first, out } => {
                let (ids, table) = (self.input(*input), self.weights(table));
                let first = if out.tokens { self.rows.0 } else { *first };
                // SAFETY: as above.
                let mut out = unsafe { self.mat_mut(out) };
                let len = table_row_len(*precision, out.cols()).expect("checked to be how tables are stored");
                for r in 0..out.rows() {
                    let id = ids.integer(first + r) as usize; // checked to be a row of the table
                    widen_row(*precision, &table[id * len..][..len], row_mut(&mut out, r));
                }
            }
            Work::Normalize { x, eps, out } => {
                // SAFETY: as above.
                let (x, out) = unsafe { (self.mat(x), self.mat_mut(out)) };
                normalize(NormalizeArgs { x, eps: *eps, out });
            }
        }
    }
}
