//! Int8 products: by dot products, and on cores without them by long multiplications. May import: `simd`, `neon`.
//!
//! Stable Rust has no intrinsic for the dot product, so it is written as assembly, an instruction at a time.

use core::arch::aarch64::*;
use core::arch::asm;
use core::marker::PhantomData;

use super::Neon;
use super::tanh::Fractions;
use crate::simd::int8::{Dot, cell};

/// How 4 lanes multiply.
trait Multiply: Copy {
    /// As in [`Dot`].
    type Sum: Copy;
    type W: Copy;
    type X: Copy;
    const GROUPS: usize;
    const STEP: usize;

    /// # Safety
    /// As [`Dot::weights`], and the CPU has the instructions.
    unsafe fn weights(from: *const i8, next: usize, one: bool) -> Self::W;
    /// # Safety
    /// As [`Dot::elements`], and the CPU has the instructions.
    unsafe fn elements(from: *const i8) -> Self::X;
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn zero() -> Self::Sum;
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn dot<const G: usize>(acc: Self::Sum, w: Self::W, x: Self::X) -> Self::Sum;
    /// The sums of the lanes.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn sum(acc: Self::Sum) -> int32x4_t;
}

/// 4 lanes. A value proves NEON and what `M` needs.
#[derive(Clone, Copy)]
struct Dot128<M>(Neon, PhantomData<M>);

impl<M> Dot128<M> {
    /// # Safety
    /// The CPU has NEON and what `M` needs.
    #[inline(always)]
    unsafe fn new() -> Self {
        // SAFETY: as the caller promises.
        Self(unsafe { Neon::new() }, PhantomData)
    }
}

/// Defines functions by an expression of intrinsics each, for a type whose value proves that they exist.
macro_rules! operations {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty = $body:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $type),*) -> $result {
            // SAFETY: `self` proves that this CPU has the instruction.
            unsafe { $body }
        })*
    };
}

impl<M: Multiply> Dot for Dot128<M> {
    type S = Neon;
    type I = int32x4_t;
    type Sum = M::Sum;
    type W = M::W;
    type X = M::X;
    const GROUPS: usize = M::GROUPS;
    const STEP: usize = M::STEP;
    const UNSIGNED: bool = false;

    #[inline(always)]
    fn simd(self) -> Neon {
        self.0
    }
    #[inline(always)]
    unsafe fn start(self, _: *const f32) -> M::Sum {
        // SAFETY: `self` proves the instructions.
        unsafe { M::zero() }
    }
    #[inline(always)]
    unsafe fn weights(self, from: *const i8, next: usize, one: bool) -> M::W {
        // SAFETY: as the caller promises; `self` proves the instructions.
        unsafe { M::weights(from, next, one) }
    }
    #[inline(always)]
    unsafe fn elements(self, from: *const u8) -> M::X {
        // SAFETY: as the caller promises; `self` proves the instructions.
        unsafe { M::elements(from.cast()) }
    }
    #[inline(always)]
    fn dot<const G: usize>(self, acc: M::Sum, w: M::W, x: M::X) -> M::Sum {
        // SAFETY: `self` proves the instructions.
        unsafe { M::dot::<G>(acc, w, x) }
    }

    // FCVTNS makes 0 of a NaN.
    operations! {
        zero() -> int32x4_t = vdupq_n_s32(0);
        to_float(sum: M::Sum) -> float32x4_t = vcvtq_f32_s32(M::sum(sum));
        round(x: float32x4_t) -> int32x4_t = vcvtnq_s32_f32(x);
        round_or_zero(x: float32x4_t) -> int32x4_t = vcvtnq_s32_f32(x);
        largest(max: int32x4_t, x: float32x4_t) -> int32x4_t = {
            let magnitude = vreinterpretq_u32_f32(vabsq_f32(x));
            vreinterpretq_s32_u32(vmaxq_u32(vreinterpretq_u32_s32(max), magnitude))
        };
        larger(a: int32x4_t, b: int32x4_t) -> int32x4_t = vmaxq_s32(a, b);
        largest_lane(max: int32x4_t) -> u32 = vmaxvq_s32(max).cast_unsigned();
    }

    #[inline(always)]
    unsafe fn cell(self, pre: [float32x4_t; 4], c: *mut f32) -> float32x4_t {
        // SAFETY: as the caller promises.
        unsafe { cell(self.0, Fractions::new(self.0), pre, c) }
    }

    #[inline(always)]
    unsafe fn store<const N: usize>(self, to: *mut u8, q: [int32x4_t; N]) {
        const { assert!(N == 2 || N == 4) };
        // SAFETY: `self` proves the instructions; the caller promises the bytes.
        unsafe {
            let words = |a, b| vuzp1q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
            let low = vreinterpretq_s8_s16(words(q[0], q[1]));
            if N == 4 {
                let high = vreinterpretq_s8_s16(words(q[2], q[3]));
                vst1q_s8(to.cast(), vuzp1q_s8(low, high));
            } else {
                vst1_s8(to.cast(), vget_low_s8(vuzp1q_s8(low, low)));
            }
        }
    }
}

/// SDOT by lane.
#[derive(Clone, Copy)]
struct Sdot;

impl Multiply for Sdot {
    type Sum = int32x4_t;
    type W = int8x16_t;
    type X = int8x16_t;
    const GROUPS: usize = 4;
    const STEP: usize = 1;

    #[inline(always)]
    unsafe fn weights(from: *const i8, _: usize, _: bool) -> int8x16_t {
        // SAFETY: as the caller promises.
        unsafe { vld1q_s8(from) }
    }
    #[inline(always)]
    unsafe fn elements(from: *const i8) -> int8x16_t {
        // SAFETY: as the caller promises.
        unsafe { vld1q_s8(from) }
    }
    #[inline(always)]
    unsafe fn zero() -> int32x4_t {
        // SAFETY: as the caller promises.
        unsafe { vdupq_n_s32(0) }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(mut acc: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: the caller promises the instruction, which touches registers only.
        unsafe {
            asm!(
                "sdot {acc:v}.4s, {w:v}.16b, {x:v}.4b[{group}]",
                acc = inout(vreg) acc, w = in(vreg) w, x = in(vreg) x, group = const G,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        acc
    }
    #[inline(always)]
    unsafe fn sum(acc: int32x4_t) -> int32x4_t {
        acc
    }
}

/// Long multiplications: two products of bytes are added at 16 bits, which they don't exceed, then in pairs to sums of 32 bits.
/// Of those each lane has two.
#[derive(Clone, Copy)]
struct Long;

impl Multiply for Long {
    type Sum = [int32x4_t; 2];
    type W = [int8x16_t; 2];
    type X = [int8x16_t; 2];
    const GROUPS: usize = 2;
    const STEP: usize = 2;

    #[inline(always)]
    unsafe fn weights(from: *const i8, next: usize, one: bool) -> [int8x16_t; 2] {
        // SAFETY: as the caller promises.
        unsafe { [vld1q_s8(from), if one { vdupq_n_s8(0) } else { vld1q_s8(from.add(next)) }] }
    }
    #[inline(always)]
    unsafe fn elements(from: *const i8) -> [int8x16_t; 2] {
        // SAFETY: as the caller promises.
        unsafe {
            let group = |i| vreinterpretq_s8_s32(vdupq_n_s32(from.cast::<i32>().add(i).read_unaligned()));
            [group(0), group(1)]
        }
    }
    #[inline(always)]
    unsafe fn zero() -> [int32x4_t; 2] {
        // SAFETY: as the caller promises.
        unsafe { [vdupq_n_s32(0); 2] }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(
        acc: [int32x4_t; 2],
        w: [int8x16_t; 2],
        x: [int8x16_t; 2],
    ) -> [int32x4_t; 2] {
        let [mut low, mut high] = acc;
        // As assembly, since the compiler takes the upper halves of elements, which are all alike, for lower ones, and moves the
        // weights' down to meet them.
        // SAFETY: the caller promises the instructions, which touch registers only.
        unsafe {
            asm!(
                "smull {t:v}.8h, {w0:v}.8b, {x0:v}.8b",
                "smull2 {u:v}.8h, {w0:v}.16b, {x0:v}.16b",
                "smlal {t:v}.8h, {w1:v}.8b, {x1:v}.8b",
                "smlal2 {u:v}.8h, {w1:v}.16b, {x1:v}.16b",
                "sadalp {low:v}.4s, {t:v}.8h",
                "sadalp {high:v}.4s, {u:v}.8h",
                low = inout(vreg) low, high = inout(vreg) high, t = out(vreg) _, u = out(vreg) _,
                w0 = in(vreg) w[0], w1 = in(vreg) w[1], x0 = in(vreg) x[0], x1 = in(vreg) x[1],
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        [low, high]
    }
    #[inline(always)]
    unsafe fn sum(acc: [int32x4_t; 2]) -> int32x4_t {
        // SAFETY: as the caller promises.
        unsafe { vpaddq_s32(acc[0], acc[1]) }
    }
}

/// Cores with dot products.
pub(crate) mod dotprod {
    use super::*;
    use crate::simd::Wide;
    use crate::simd::int8::instantiate_int8;

    instantiate_int8! {
        I8_DOTPROD enables "neon,dotprod",
        register Dot128::<Sdot>::new(),
        vector Wide::<_, 4>(Dot128::<Sdot>::new()),
        half Wide::<_, 2>(Dot128::<Sdot>::new()),
        lstm pairs false,
        gemm vectors [1 2 3 4] of 4 rows [1 2 3 4 5 6]
    }

    /// What comes after the sums of a tile.
    ///
    /// # Safety
    /// As [`int8::store`].
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    pub(crate) unsafe fn store<const ROWS: usize, const VECTORS: usize>(
        call: &GemmCall,
        place: Place,
        sums: [[int32x4_t; VECTORS]; ROWS],
    ) {
        // SAFETY: as the caller promises.
        unsafe { int8::store(Dot128::<Sdot>::new(), call, place, sums, finish) }
    }
}

/// Every core.
pub(crate) mod long {
    use super::*;
    use crate::simd::Wide;
    use crate::simd::int8::instantiate_int8;

    instantiate_int8! {
        I8_NEON enables "neon",
        register Dot128::<Long>::new(),
        vector Wide::<_, 2>(Dot128::<Long>::new()),
        half Wide::<_, 2>(Dot128::<Long>::new()),
        lstm pairs false,
        gemm vectors [1 2 3 4] of 4 rows [1 2]
    }
}
