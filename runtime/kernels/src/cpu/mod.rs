//! What the CPU has and the operating system lets a process use. May import: `far_format::cpu`.

#[cfg(any(target_arch = "riscv64", test))]
mod riscv;

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::string::String;

use far_format::cpu::Features;

#[cfg(target_arch = "riscv64")]
pub(crate) use riscv::vector_bytes as riscv_vector_bytes;

/// How [`detect`] found what it found, in words.
pub fn found_by() -> String {
    found_by_arch()
}

#[cfg(target_arch = "x86_64")]
fn found_by_arch() -> String {
    "asked by CPUID, and XGETBV for the registers that the system saves".into()
}

#[cfg(target_arch = "aarch64")]
fn found_by_arch() -> String {
    "by AT_HWCAP and AT_HWCAP2, which the kernel gives every process".into()
}

#[cfg(target_arch = "riscv64")]
fn found_by_arch() -> String {
    riscv::found_by()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
fn found_by_arch() -> String {
    "there are no kernels for this architecture".into()
}

/// Bytes of the first-level data cache of the core that asked first.
pub(crate) fn first_level_bytes() -> usize {
    static BYTES: AtomicUsize = AtomicUsize::new(0);
    match BYTES.load(Ordering::Relaxed) {
        0 => {
            let bytes = first_level_of_arch().unwrap_or(USUAL_FIRST_LEVEL);
            BYTES.store(bytes, Ordering::Relaxed);
            bytes
        }
        bytes => bytes,
    }
}

/// As small as any that these kernels meet.
const USUAL_FIRST_LEVEL: usize = 32 * 1024;

/// As CPUID lists caches: Intel in leaf 4, AMD in leaf 0x8000001D, of the same form.
#[cfg(target_arch = "x86_64")]
fn first_level_of_arch() -> Option<usize> {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    const MOST_CACHES: u32 = 8;
    for (leaves, leaf) in [(0, 4), (0x8000_0000, 0x8000_001D)] {
        if __cpuid(leaves).eax < leaf {
            continue;
        }
        for index in 0..MOST_CACHES {
            let cache = __cpuid_count(leaf, index);
            let (kind, level) = (cache.eax & 31, cache.eax >> 5 & 7);
            let is_of_data = kind == 1 || kind == 3;
            if is_of_data && level == 1 {
                let line = (cache.ebx & 0xFFF) as usize + 1;
                let partitions = (cache.ebx >> 12 & 0x3FF) as usize + 1;
                let ways = (cache.ebx >> 22) as usize + 1;
                return line.checked_mul(partitions)?.checked_mul(ways)?.checked_mul(cache.ecx as usize + 1);
            }
        }
    }
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn first_level_of_arch() -> Option<usize> {
    None
}

/// The features of this CPU that kernels may rely on.
pub fn detect() -> Features {
    detect_arch().with(Features(ASSUMED.load(Ordering::Relaxed)))
}

static ASSUMED: AtomicU64 = AtomicU64::new(0);

/// Makes [`detect`] add features: for tests under an emulator which has more than it tells of.
///
/// # Safety
/// The CPU has them.
pub unsafe fn assume(features: Features) {
    ASSUMED.fetch_or(features.0, Ordering::Relaxed);
}

/// Collects the features whose detection macro says yes.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! collect {
    ($detected:ident: $($feature:ident $name:tt),* $(,)?) => {{
        let mut found = Features::NONE;
        $(if std::arch::$detected!($name) {
            found = found.with(Features::$feature);
        })*
        found
    }};
}

/// The macro also asks whether the operating system saves the wide registers.
#[cfg(target_arch = "x86_64")]
fn detect_arch() -> Features {
    collect!(is_x86_feature_detected:
        AVX2 "avx2", FMA "fma", F16C "f16c", AVX_VNNI "avxvnni",
        AVX512F "avx512f", AVX512BW "avx512bw", AVX512VL "avx512vl", AVX512DQ "avx512dq",
        AVX512_VNNI "avx512vnni", AVX512_BF16 "avx512bf16",
    )
}

/// NEON is part of the architecture as far as Linux goes.
#[cfg(target_arch = "aarch64")]
fn detect_arch() -> Features {
    Features::NEON.with(collect!(is_aarch64_feature_detected:
        DOTPROD "dotprod", FP16 "fp16", I8MM "i8mm", BF16 "bf16",
    ))
}

#[cfg(target_arch = "riscv64")]
fn detect_arch() -> Features {
    riscv::detect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
fn detect_arch() -> Features {
    Features::NONE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No core has less than 4 KiB or more than 1 MiB, and CPUID misread gives other numbers.
    #[test]
    fn the_first_level_has_the_size_of_one() {
        let bytes = first_level_bytes();
        assert!((1 << 12..=1 << 20).contains(&bytes) && bytes.is_multiple_of(64), "{bytes}");
        assert_eq!(bytes, first_level_bytes());
    }
}
