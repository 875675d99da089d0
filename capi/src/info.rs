//! What the library and this machine are.
//! May import: `ffi`, feature detection of the kernels.

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

use far_format::cpu::{Arch, Features};

use crate::ffi::{CText, Out, guard, text};
use crate::status::far_status;

/// Version of the binary interface.
pub const FAR_ABI_VERSION: u32 = 1;

/// The most dimensions that an input or output has.
pub const FAR_MAX_RANK: usize = 8;

macro_rules! features {
    ($($name:ident = $feature:ident;)*) => {
        $(#[doc = concat!("The bit of `", stringify!($feature), "`.")] pub const $name: u64 = Features::$feature.0;)*
    };
}

features! {
    FAR_FEATURE_AVX2 = AVX2;
    FAR_FEATURE_FMA = FMA;
    FAR_FEATURE_AVX512F = AVX512F;
    FAR_FEATURE_AVX512BW = AVX512BW;
    FAR_FEATURE_AVX512VL = AVX512VL;
    FAR_FEATURE_AVX512DQ = AVX512DQ;
    FAR_FEATURE_AVX512_VNNI = AVX512_VNNI;
    FAR_FEATURE_AVX512_BF16 = AVX512_BF16;
    FAR_FEATURE_AVX_VNNI = AVX_VNNI;
    FAR_FEATURE_F16C = F16C;
    FAR_FEATURE_NEON = NEON;
    FAR_FEATURE_DOTPROD = DOTPROD;
    FAR_FEATURE_FP16 = FP16;
    FAR_FEATURE_I8MM = I8MM;
    FAR_FEATURE_BF16 = BF16;
    FAR_FEATURE_V = V;
    FAR_FEATURE_ZVFH = ZVFH;
}

/// Version of the library.
#[unsafe(no_mangle)]
pub extern "C" fn far_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a version holds no NUL"),
        };
    VERSION.as_ptr()
}

/// Version of the library's binary interface.
#[unsafe(no_mangle)]
pub extern "C" fn far_abi_version() -> u32 {
    FAR_ABI_VERSION
}

/// Architecture that the library was built for.
#[unsafe(no_mangle)]
pub extern "C" fn far_cpu_arch() -> *const c_char {
    match Arch::HOST {
        Some(Arch::X86_64) => c"x86_64",
        Some(Arch::Aarch64) => c"aarch64",
        Some(Arch::Riscv64) => c"riscv64",
        None => c"unknown",
    }
    .as_ptr()
}

/// The features that this CPU and operating system offer.
///
/// # Safety
///
/// Each pointer is NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_cpu_features(bits: *mut u64, names: *mut *const c_char) -> far_status {
    static NAMES: OnceLock<CText> = OnceLock::new();
    guard(|| {
        // SAFETY: the caller's promise for `bits` and `names`.
        let (bits, names) = unsafe { (Out::optional(bits, "bits")?, Out::optional(names, "names")?) };
        let features = far_kernels::cpu::detect();
        if let Some(names) = names {
            let text = match NAMES.get() {
                Some(text) => text,
                None => {
                    let text = text(format_args!("{features}"))?;
                    NAMES.get_or_init(|| text)
                }
            };
            names.set(text.as_ptr());
        }
        if let Some(bits) = bits {
            bits.set(features.0);
        }
        Ok(())
    })
}
