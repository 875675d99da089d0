//! What the kernel tests share: the sets to test, data with every sort of float, fenced memory, comparison of bits.
#![allow(dead_code, unsafe_code)] // each test file uses its part; fenced memory needs mmap

pub(crate) mod erf;
pub(crate) mod recurrence;

use std::ops::{Deref, DerefMut};

use far_kernels::matrix::{Mat, MatMut};
use far_kernels::{Gemm, Isa, Kernels, Lstm, Precision};

/// Features that the emulator has and doesn't tell of, by the name in this variable of the environment.
#[cfg(target_arch = "riscv64")]
extern "C" fn assume() {
    use far_format::cpu::{Arch, Features};
    if let Ok(name) = std::env::var("FAR_TEST_ASSUME") {
        let features = Features::from_name(Arch::Riscv64, &name).expect("a feature of riscv64");
        // SAFETY: whoever set the variable says so.
        unsafe { far_kernels::cpu::assume(features) };
    }
}

/// Before any test.
#[cfg(target_arch = "riscv64")]
#[used]
// SAFETY: the linker's list of functions that are called before `main`.
#[unsafe(link_section = ".init_array")]
static ASSUME: extern "C" fn() = assume;

/// The scalar kernels, which define every bit.
pub(crate) fn oracle() -> Kernels {
    Kernels::of(Isa::Scalar).expect("scalar kernels run everywhere")
}

/// The scalar product in that precision.
pub(crate) fn gemm_oracle(precision: Precision) -> Gemm {
    oracle().gemm(precision)
}

/// The scalar recurrence in that precision.
pub(crate) fn lstm_oracle(precision: Precision) -> Lstm {
    oracle().lstm(precision)
}

/// Every product that this CPU runs in a precision that has the same bits everywhere.
pub(crate) fn gemms() -> Vec<Gemm> {
    let gemms: Vec<Gemm> = Gemm::available().filter(|gemm| gemm.precision().is_exact()).collect();
    gemms.iter().for_each(|gemm| prove(gemm.name()));
    gemms
}

/// Every recurrence that this CPU runs in a precision that has the same bits everywhere.
pub(crate) fn lstms() -> Vec<Lstm> {
    let lstms: Vec<Lstm> = Lstm::available().filter(|lstm| lstm.precision().is_exact()).collect();
    lstms.iter().for_each(|lstm| prove(lstm.name()));
    lstms
}

/// Every product that this CPU runs in 16 bits.
pub(crate) fn half_gemms() -> Vec<Gemm> {
    let gemms: Vec<Gemm> = Gemm::available().filter(|gemm| HALVES.contains(&gemm.precision())).collect();
    gemms.iter().for_each(|gemm| prove(gemm.name()));
    gemms
}

/// Every recurrence that this CPU runs in 16 bits.
pub(crate) fn half_lstms() -> Vec<Lstm> {
    let lstms: Vec<Lstm> = Lstm::available().filter(|lstm| HALVES.contains(&lstm.precision())).collect();
    lstms.iter().for_each(|lstm| prove(lstm.name()));
    lstms
}

const HALVES: [Precision; 3] = [Precision::F16, Precision::Bf16, Precision::F16Arith];

/// Says what is tested, so that a cross run can prove it.
#[allow(clippy::print_stdout)] // read by the cross tests
fn prove(name: &str) {
    println!("tested kernel: {name} on {}", std::env::consts::ARCH);
}

/// Every set that this CPU runs. Prints the names, so that a cross run can prove what it tested.
pub(crate) fn sets(name: impl Fn(Kernels) -> &'static str) -> Vec<Kernels> {
    let sets: Vec<Kernels> = Kernels::available().collect();
    sets.iter().for_each(|set| prove(name(*set)));
    sets
}

/// A small generator of reproducible numbers (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn bits(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// Uniform in [−1, 1).
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Plain numbers.
    pub(crate) fn fill(&mut self, data: &mut [f32], scale: f32) {
        data.fill_with(|| self.unit() * scale);
    }

    /// Plain numbers, and now and then one of the others: one in `rarity`.
    pub(crate) fn fill_wild(&mut self, data: &mut [f32], scale: f32, rarity: u32) {
        const OTHERS: [f32; 9] = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            0.0,
            -0.0,
            1e-40,
            -1e-45,
            f32::MAX,
            f32::MIN_POSITIVE,
        ];
        data.fill_with(|| match self.bits() % rarity {
            0 => OTHERS[self.bits() as usize % OTHERS.len()],
            _ => self.unit() * scale,
        });
    }
}

/// f32 elements between two unreadable pages: reading or writing past the end kills the test. What precedes the
/// first element up to the page's start is filled with a pattern that [`Fenced::check`] looks for.
pub(crate) struct Fenced {
    map: *mut libc::c_void,
    map_len: usize,
    data: *mut f32,
    len: usize,
}

const PATTERN: u32 = 0x7fc0_dead;

impl Fenced {
    pub(crate) fn new(len: usize) -> Self {
        let page = 65536; // a multiple of every page size in use
        let body = (len * 4).div_ceil(page).max(1) * page;
        let map_len = body + 2 * page;
        // SAFETY: a fresh anonymous mapping, of which the middle is made accessible and filled; `data` lies in it.
        unsafe {
            let map = libc::mmap(
                std::ptr::null_mut(),
                map_len,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(map, libc::MAP_FAILED);
            let start = map.cast::<u8>().add(page);
            assert_eq!(libc::mprotect(start.cast(), body, libc::PROT_READ | libc::PROT_WRITE), 0);
            let words = std::slice::from_raw_parts_mut(start.cast::<u32>(), body / 4);
            words.fill(PATTERN);
            Self { map, map_len, data: start.cast::<f32>().add(body / 4 - len), len }
        }
    }

    /// A matrix with `gap` elements between rows; only its elements are filled.
    pub(crate) fn check(&self, rows: usize, cols: usize, stride: usize) {
        for (i, x) in self.iter().enumerate() {
            let inside = i / stride.max(1) < rows && i % stride.max(1) < cols;
            assert!(inside || x.to_bits() == PATTERN, "element {i} outside of {rows} × {cols} was written");
        }
        // SAFETY: the page-aligned start of the accessible part up to `data`.
        unsafe {
            let start = self.map.cast::<u8>().add(65536).cast::<u32>();
            let before = self.data.cast::<u32>().offset_from_unsigned(start);
            for i in 0..before {
                assert_eq!(*start.add(i), PATTERN, "element {i} - {before} before the matrix was written");
            }
        }
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`.
        unsafe { libc::munmap(self.map, self.map_len) };
    }
}

impl Deref for Fenced {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `len` initialised elements at `data`, owned by `self`.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl DerefMut for Fenced {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }
}

/// A matrix in fenced memory: its last element is the last one readable, the gaps between rows hold the pattern.
pub(crate) struct Matrix {
    pub(crate) memory: Fenced,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) stride: usize,
}

impl Matrix {
    pub(crate) fn new(rows: usize, cols: usize, gap: usize) -> Self {
        let stride = cols + gap;
        let len = if rows == 0 { 0 } else { (rows - 1) * stride + cols };
        Self { memory: Fenced::new(len), rows, cols, stride }
    }

    /// Filled row by row.
    pub(crate) fn filled(rows: usize, cols: usize, gap: usize, mut fill: impl FnMut(&mut [f32])) -> Self {
        let mut m = Self::new(rows, cols, gap);
        for r in 0..rows {
            let start = r * m.stride;
            fill(&mut m.memory[start..start + cols]);
        }
        m
    }

    pub(crate) fn view(&self) -> Mat<'_> {
        Mat::new(&self.memory, self.rows, self.cols, self.stride)
    }

    pub(crate) fn view_mut(&mut self) -> MatMut<'_> {
        MatMut::new(&mut self.memory, self.rows, self.cols, self.stride)
    }

    pub(crate) fn row(&self, r: usize) -> &[f32] {
        &self.memory[r * self.stride..r * self.stride + self.cols]
    }

    /// The same elements, in memory of its own.
    pub(crate) fn copy(&self) -> Self {
        let mut rows = (0..self.rows).map(|r| self.row(r));
        Self::filled(self.rows, self.cols, self.stride - self.cols, |to| {
            to.copy_from_slice(rows.next().expect("as many rows"));
        })
    }

    /// That nothing around the elements was written.
    pub(crate) fn check(&self) {
        self.memory.check(self.rows, self.cols, self.stride);
    }

    /// That each element has the bits of `expected`'s (any NaN is as good as another) and nothing around was written.
    pub(crate) fn assert_same(&self, expected: &Matrix, what: &str) {
        assert_eq!((self.rows, self.cols), (expected.rows, expected.cols));
        self.check();
        for r in 0..self.rows {
            for (c, (got, want)) in self.row(r).iter().zip(expected.row(r)).enumerate() {
                let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                assert!(same, "{what}: element ({r}, {c}): expected `{want:e}`, got `{got:e}`");
            }
        }
    }
}
