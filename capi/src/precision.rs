//! In which precisions a model computes.
//! May import: `ffi`, `status`, `model`, the format's precisions.

use std::ffi::c_char;
use std::fmt;

use far_format::layout::Precision;
use far_format::plan::{Plan, StepOp};

use crate::ffi::{CText, Failure, Out, guard, reference, text};
use crate::model::far_model;
use crate::status::far_status;

/// Precision of weights and products.
pub type far_precision = i32;

macro_rules! precisions {
    ($($name:ident = $precision:ident;)*) => {
        $(
            #[doc = concat!("`", stringify!($precision), "`.")]
            pub const $name: far_precision = Precision::$precision as far_precision;
        )*
    };
}

precisions! {
    FAR_PRECISION_F32 = F32;
    FAR_PRECISION_F16 = F16;
    FAR_PRECISION_BF16 = Bf16;
    FAR_PRECISION_INT8 = Int8;
    FAR_PRECISION_F16_ARITH = F16Arith;
}

/// That of a step; of one without weights f32.
pub(crate) fn of(op: &StepOp) -> Precision {
    op.precision().unwrap_or_default()
}

/// Those of all steps.
pub(crate) struct Precisions {
    bits: u64,
    names: CText,
}

impl Precisions {
    pub(crate) fn new(plan: &Plan) -> Result<Precisions, Failure> {
        let bits = plan.steps.iter().filter_map(|step| step.op.precision()).fold(0, |bits, p| bits | bit(p));
        let bits = if bits == 0 { bit(Precision::F32) } else { bits };
        Ok(Precisions { bits, names: text(format_args!("{}", Names(bits)))? })
    }
}

const fn bit(precision: Precision) -> u64 {
    1 << precision as u8
}

/// Names of some, as `f32+int8`.
struct Names(u64);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Precision::ALL.into_iter().filter(|precision| self.0 & bit(*precision) != 0);
        for (i, precision) in known.enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { "+" }, precision.name())?;
        }
        Ok(())
    }
}

/// The precisions in which a model computes.
///
/// # Safety
///
/// `model` is NULL or a live handle; `bits` and `names` are NULL or may be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn far_model_precisions(
    model: *const far_model,
    bits: *mut u64,
    names: *mut *const c_char,
) -> far_status {
    guard(|| {
        // SAFETY: the caller's promise.
        let precisions = unsafe { reference(model, "model") }?.precisions();
        // SAFETY: the caller's promise.
        let (bits, names) = unsafe { (Out::optional(bits, "bits")?, Out::optional(names, "names")?) };
        if let Some(bits) = bits {
            bits.set(precisions.bits);
        }
        if let Some(names) = names {
            names.set(precisions.names.as_ptr());
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_joined_in_order() {
        let bits = bit(Precision::Int8) | bit(Precision::F32);
        assert_eq!(Names(bits).to_string(), "f32+int8");
        assert_eq!(Names(bit(Precision::F16)).to_string(), "f16");
    }
}
