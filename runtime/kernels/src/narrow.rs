//! Products whose rows are rounded to halves first, once a call. May import: `gemm`, `half`.

use crate::gemm::GemmCall;

/// Rounds so many numbers to halves.
///
/// # Safety
/// The CPU has the instructions; as many elements are readable and as many halves writable, and they don't overlap.
pub(crate) type Round = unsafe fn(*const f32, usize, *mut u16);

/// Words from one row of halves to the next: whole cache lines, and an odd number of them, so that the rows of a tile fall
/// into different sets of a cache.
fn stride(k: usize) -> usize {
    const LINE: usize = 64 / size_of::<f32>();
    (k.div_ceil(2 * LINE) | 1).saturating_mul(LINE)
}

/// Words of the scratch that `m` rows of `k` take.
pub(crate) fn scratch_len(m: usize, k: usize) -> usize {
    m.saturating_mul(stride(k))
}

/// `product` of the rows as halves, two a word; a row of odd length has a zero at its end.
///
/// # Safety
/// The promises of [`GemmCall`], `scratch` holding [`scratch_len`] words; the CPU has the instructions of `round` and `product`, and
/// the latter takes two depths a word.
pub(crate) unsafe fn gemm(call: &GemmCall, round: Round, product: unsafe fn(&GemmCall)) {
    let stride = stride(call.k);
    for row in 0..call.m {
        // SAFETY: row by row within `a` and `scratch`; a row of `stride` words holds `k` halves and one more if that is odd.
        unsafe {
            let to = call.scratch.add(row * stride).cast::<u16>();
            round(call.a.add(row * call.a_stride), call.k, to);
            if !call.k.is_multiple_of(2) {
                to.add(call.k).write(0);
            }
        }
    }
    // SAFETY: the rows just written; all else as the caller promises.
    unsafe { product(&GemmCall { a: call.scratch, a_stride: stride, k: call.k.div_ceil(2), ..*call }) }
}
