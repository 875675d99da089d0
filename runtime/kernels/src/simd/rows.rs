//! Where the rows of a tile lie. May import: nothing of this crate.

use core::arch::asm;

/// A place in each of up to 14 rows, which go on together. Two pointers move, and the others are sums that a load of x86-64 forms by
/// itself: arithmetic on addresses takes the ports of multiplications, which have no time to lose.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    /// In row 0 and row 7.
    first: *const u8,
    eighth: *const u8,
    /// Bytes from a row to the next, and the third and fifth after it.
    one: usize,
    three: usize,
    five: usize,
}

impl Rows {
    /// Rows that begin at `first`, `stride` bytes apart.
    #[inline(always)]
    pub(crate) fn new(first: *const u8, stride: usize) -> Self {
        let (one, three, five) =
            (unknown(stride), unknown(stride.wrapping_mul(3)), unknown(stride.wrapping_mul(5)));
        Self { first, eighth: first.wrapping_add(unknown(stride.wrapping_mul(7))), one, three, five }
    }

    /// The place in row `r < 14`.
    #[inline(always)]
    pub(crate) fn at(self, r: usize) -> *const u8 {
        let from = if r < 7 { self.first } else { self.eighth };
        from.wrapping_add(match r % 7 {
            0 => 0,
            1 => self.one,
            2 => self.one.wrapping_mul(2),
            3 => self.three,
            4 => self.one.wrapping_mul(4),
            5 => self.five,
            _ => self.three.wrapping_mul(2),
        })
    }

    /// So many bytes further. The compiler must not count instead, and add the count to 14 pointers.
    #[inline(always)]
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.first = unknown_pointer(self.first.wrapping_add(bytes));
        self.eighth = unknown_pointer(self.eighth.wrapping_add(bytes));
    }
}

/// The number, of which the compiler forgets what it knows: it would choose other sums.
#[inline(always)]
fn unknown(mut x: usize) -> usize {
    // SAFETY: no instruction.
    unsafe { asm!("/* {x} */", x = inout(reg) x, options(pure, nomem, nostack, preserves_flags)) };
    x
}

/// The same of a pointer.
#[inline(always)]
pub(crate) fn unknown_pointer(x: *const u8) -> *const u8 {
    core::ptr::with_exposed_provenance(unknown(x.expose_provenance()))
}
