//! Reading: the same bytes again and again, from whichever level of memory they fit in. May import: `clock`,
//! far-kernels.

use std::fs;
use std::hint::black_box;

use far_kernels::{Isa, Kernels};

use super::Level;
use super::clock::least_seconds;

/// Where the system doesn't say: KiB of the three levels of cache.
const USUAL_KIB: [usize; 3] = [32, 512, 8192];

/// Bytes that one timed call reads at least.
const BYTES_PER_CALL: usize = 1 << 22;

/// KiB of the data caches of the first CPU, nearest first.
pub fn caches() -> Vec<usize> {
    let read = |index: usize, file: &str| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{file}");
        fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    };
    let mut caches: Vec<(usize, usize)> = (0..8)
        .filter(|&index| read(index, "type").is_some_and(|kind| kind != "Instruction"))
        .filter_map(|index| {
            let level = read(index, "level")?.parse().ok()?;
            Some((level, read(index, "size")?.strip_suffix('K')?.parse().ok()?))
        })
        .collect();
    caches.sort_unstable();
    if caches.is_empty() { USUAL_KIB.into() } else { caches.into_iter().map(|(_, kib)| kib).collect() }
}

/// Half of each private cache; a quarter of the third level, which others share; and more than any cache holds.
pub(super) fn levels(kernels: Kernels) -> Vec<Level> {
    let caches = caches();
    let cached =
        caches.iter().zip([("L1", 2), ("L2", 2), ("L3", 4)]).map(|(kib, (level, part))| (level, kib / part));
    let beyond = ("memory", caches.iter().max().map_or(1 << 16, |kib| (4 * kib).clamp(1 << 16, 1 << 18)));
    cached
        .chain([beyond])
        .map(|(level, read_kib)| Level { level, read_kib, gb_per_s: read_gb_per_s(kernels, read_kib) })
        .collect()
}

fn read_gb_per_s(kernels: Kernels, kib: usize) -> f64 {
    let bytes = kib * 1024;
    let sweeps = BYTES_PER_CALL.div_ceil(bytes);
    let seconds = match kernels.isa() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            // SAFETY: kernels of this instruction set exist only where AVX-512F does.
            unsafe { x86::time_512(bytes, sweeps) }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            // SAFETY: kernels of this instruction set exist only where AVX2 does.
            unsafe { x86::time_256(bytes, sweeps) }
        }
        _ => time(bytes, sweeps),
    };
    (bytes * sweeps) as f64 / seconds / 1e9
}

/// Words of sixteen bytes, which NEON and SSE read by one instruction.
fn time(bytes: usize, sweeps: usize) -> f64 {
    let data = vec![1u128; bytes / size_of::<u128>()];
    least_seconds(|| {
        for _ in 0..sweeps {
            let mut acc = [0u128; 8];
            for group in black_box(&data).as_chunks::<8>().0 {
                for (acc, word) in acc.iter_mut().zip(group) {
                    *acc |= word;
                }
            }
            black_box(acc);
        }
    })
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::least_seconds;

    macro_rules! reader {
        ($name:ident, $features:literal, $vector:ty, $zero:expr, $or:ident) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name(bytes: usize, sweeps: usize) -> f64 {
                let data = vec![$zero; bytes / size_of::<$vector>()];
                // A function, for a closure would not have its instructions.
                #[target_feature(enable = $features)]
                fn sweep(data: &[$vector]) {
                    let mut acc = [$zero; 8];
                    for group in data.as_chunks::<8>().0 {
                        for (acc, vector) in acc.iter_mut().zip(group) {
                            *acc = $or(*acc, *vector);
                        }
                    }
                    black_box(acc);
                }
                least_seconds(|| {
                    for _ in 0..sweeps {
                        sweep(black_box(&data));
                    }
                })
            }
        };
    }

    reader!(time_512, "avx512f", __m512i, _mm512_setzero_si512(), _mm512_or_si512);
    reader!(time_256, "avx2", __m256i, _mm256_setzero_si256(), _mm256_or_si256);
}
