//! Numbers that look random, and those that break things.

/// A generator, the same for the same seed.
pub struct Random(u64);

impl Random {
    /// Of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1 | 1)
    }

    /// 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One of `count`, which is not 0.
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }

    /// One, mostly; at most 4.
    pub fn few(&mut self) -> usize {
        1 + self.below(8).saturating_sub(4)
    }

    /// A number to put in the place of another.
    pub fn number(&mut self, old: u64) -> u64 {
        match self.below(12) {
            0 => old.wrapping_add(1),
            1 => old.wrapping_sub(1),
            2 => old.wrapping_add(64),
            3 => old.wrapping_sub(64),
            4 => old.wrapping_mul(2),
            5 => old / 2,
            6 => old ^ 1 << self.below(64),
            7 => 1 << self.below(64),
            8 => (1u64 << self.below(64)).wrapping_sub(1),
            9 => !0 << self.below(64),
            _ => self.below(24) as u64,
        }
    }

    /// As [`number`](Self::number), or one that could be an offset into a memory of `size`.
    pub fn number_near(&mut self, old: u64, size: u64) -> u64 {
        match self.below(6) {
            0 => size.wrapping_sub(64 * self.below(8) as u64),
            1 => 64 * self.below((size / 64).min(1 << 20) as usize + 2) as u64,
            _ => self.number(old),
        }
    }
}
