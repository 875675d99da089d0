//! The precision of every step that has weights: what was asked for, step by step, and what the target can do.
//! May import: `target`, `error`; far-format (precisions and the features that they need).
//!
//! It is a decision of the schedule: weights of a graph are f32, whatever is asked for. LayerNorm, softmax, attention's own
//! products, residual sums and cell states stay f32.

use std::fmt;
use std::str::FromStr;

use far_format::layout::Precision;
use glob::Pattern;

use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;

/// So many near misses are named.
const NEAR: usize = 3;

/// What may be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32 bits.
    #[default]
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// Integers of 8 bits, scaled by output channel and by token.
    Int8,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Int8];

    /// As users write it.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::Int8 => "int8",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dtype {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|dtype| dtype.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(|dtype| format!("`{dtype}`")).join(", ");
            Error::new(ErrorKind::BadOption, "no such dtype").expected(names).got(format!("`{name}`"))
        })
    }
}

/// Whether sums may be in half precision where weights are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum F16Arithmetic {
    /// Where the target computes with it.
    #[default]
    Auto,
    /// Half precision is for storage only: the bits are those of every other machine.
    Never,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DtypeOptions {
    /// For all steps but the exceptions.
    pub dtype: Dtype,
    /// Exceptions: a pattern over the names of modules, in which `*` stands for any characters, and what the steps that it
    /// fits get. A pattern that fits a module fits all that is in it. Of several that fit, the last one counts.
    pub dtype_for: Vec<(String, Dtype)>,
    /// What half precision means.
    pub f16_arithmetic: F16Arithmetic,
}

/// Says for one step after another what its precision is.
#[derive(Debug)]
pub(crate) struct Precisions {
    otherwise: Precision,
    exceptions: Vec<Exception>,
    /// The steps that asked.
    names: Vec<String>,
}

#[derive(Debug)]
struct Exception {
    pattern: Pattern,
    precision: Precision,
    fits: bool,
}

impl Precisions {
    /// For a target.
    ///
    /// # Errors
    /// A dtype that the target can't compute with, or a pattern that is none.
    pub(crate) fn new(options: &DtypeOptions, target: &Target) -> Result<Self> {
        let exceptions = options.dtype_for.iter().map(|(text, dtype)| {
            let pattern = Pattern::new(text).map_err(|e| {
                Error::new(ErrorKind::BadOption, format!("`{text}` is no pattern: {e}"))
                    .expected("the name of a module, in which `*` may stand for any characters")
            })?;
            Ok(Exception { pattern, precision: options.precision(*dtype, target)?, fits: false })
        });
        Ok(Self {
            otherwise: options.default_precision(target)?,
            exceptions: exceptions.collect::<Result<_>>()?,
            names: Vec::new(),
        })
    }

    /// That of the products of a step.
    pub(crate) fn of(&mut self, step: &str) -> Precision {
        self.names.push(step.to_owned());
        let mut precision = self.otherwise;
        for exception in self.exceptions.iter_mut().filter(|e| fits(&e.pattern, step)) {
            exception.fits = true;
            precision = exception.precision;
        }
        precision
    }

    /// That of a table of which a step takes rows: it is stored, not multiplied.
    pub(crate) fn of_table(&mut self, step: &str) -> Precision {
        match self.of(step) {
            Precision::F16Arith | Precision::Bf16 => Precision::F16,
            precision => precision,
        }
    }

    /// After all steps.
    ///
    /// # Errors
    /// A pattern that fits none of them.
    pub(crate) fn finish(&self) -> Result<()> {
        let Some(unused) = self.exceptions.iter().find(|e| !e.fits) else { return Ok(()) };
        let pattern = unused.pattern.as_str();
        let likeness = |name: &str| strsim::normalized_levenshtein(name, pattern);
        let mut near: Vec<&str> = self.names.iter().map(String::as_str).collect();
        near.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
        let near = near.iter().take(NEAR).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Err(Error::new(ErrorKind::BadOption, format!("`{pattern}` fits no step that has weights"))
            .expected("the name of a module, in which `*` may stand for any characters")
            .hint(format!(
                "the nearest are {near}; `farc inspect` of an artifact lists all, after rewrites that may have folded one into another"
            )))
    }
}

impl DtypeOptions {
    /// The precision of all steps but the exceptions.
    ///
    /// # Errors
    /// The target can't compute with it.
    pub fn default_precision(&self, target: &Target) -> Result<Precision> {
        self.precision(self.dtype, target)
    }

    fn precision(&self, dtype: Dtype, target: &Target) -> Result<Precision> {
        let can = |precision: Precision| {
            precision.features(target.arch).is_some_and(|needed| target.has().contains(needed))
        };
        // Who names an architecture itself says that the machine will have what is asked for.
        let named = target.name == target.arch.name();
        match dtype {
            Dtype::F32 => Ok(Precision::F32),
            Dtype::Int8 => Ok(Precision::Int8),
            Dtype::F16 if self.f16_arithmetic == F16Arithmetic::Auto && can(Precision::F16Arith) => {
                Ok(Precision::F16Arith)
            }
            Dtype::F16 => Ok(Precision::F16),
            Dtype::Bf16 if can(Precision::Bf16) => Ok(Precision::Bf16),
            Dtype::Bf16 if named && Precision::Bf16.features(target.arch).is_some() => Ok(Precision::Bf16),
            Dtype::Bf16 => Err(no_bf16(target)),
        }
    }
}

fn no_bf16(target: &Target) -> Error {
    let error = Error::new(ErrorKind::BadOption, format!("`{}` has no products in bfloat16", target.name));
    let error = match Precision::Bf16.features(target.arch) {
        Some(needed) => error
            .expected(format!("a CPU with `{}`", needed.missing_from(target.has())))
            .got(format!("`{}`", target.has())),
        None => error.expected("a target of x86_64").got(format!("{}", target.arch)),
    };
    error.hint("`f16` halves the weights on every machine, and `int8` is a quarter")
}

/// Whether a pattern fits a name or a module that it is in.
fn fits(pattern: &Pattern, name: &str) -> bool {
    let modules = name.match_indices('.').map(|(end, _)| &name[..end]);
    modules.chain([name]).any(|name| pattern.matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target;

    fn precisions(dtype: Dtype, exceptions: &[(&str, Dtype)], target: &str) -> Result<Precisions> {
        let dtype_for = exceptions.iter().map(|(pattern, dtype)| ((*pattern).to_owned(), *dtype)).collect();
        let options = DtypeOptions { dtype, dtype_for, ..DtypeOptions::default() };
        Precisions::new(&options, &target::find(target).unwrap())
    }

    #[test]
    fn the_last_pattern_that_fits_counts() {
        let exceptions = [
            ("blocks.*.mlp.fc1", Dtype::F32),
            ("blocks.1", Dtype::F16),
            ("blocks.1.attn.lstm.gates", Dtype::Int8),
        ];
        let mut precisions = precisions(Dtype::Int8, &exceptions, "x86_64").unwrap();
        assert_eq!(precisions.of("blocks.0.mlp.fc1"), Precision::F32);
        assert_eq!(precisions.of("blocks.0.mlp.fc2"), Precision::Int8);
        assert_eq!(precisions.of("blocks.1.mlp.fc1"), Precision::F16);
        assert_eq!(precisions.of("blocks.1.attn.lstm"), Precision::F16);
        assert_eq!(precisions.of("blocks.1.attn.lstm.gates"), Precision::Int8);
        assert_eq!(precisions.of("blocks.11.attn.lstm"), Precision::Int8);
        precisions.finish().unwrap();
    }

    #[test]
    fn a_pattern_that_fits_nothing_has_near_misses() {
        let mut precisions = precisions(Dtype::F32, &[("block.0.fc1", Dtype::Int8)], "x86_64").unwrap();
        for step in ["head", "blocks.0.fc1", "blocks.0.fc2", "blocks.1.fc1", "norm"] {
            precisions.of(step);
        }
        let error = precisions.finish().unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadOption);
        assert!(error.hint.unwrap().contains("`blocks.0.fc1`, `blocks.0.fc2`, `blocks.1.fc1`"));
        let error = self::precisions(Dtype::F32, &[("a**b", Dtype::Int8)], "x86_64").unwrap_err();
        assert!(error.what.contains("`a**b` is no pattern"), "{error}");
    }

    #[test]
    fn half_precision_computes_where_the_target_can() {
        let of = |target, f16_arithmetic| {
            let options = DtypeOptions { dtype: Dtype::F16, f16_arithmetic, ..DtypeOptions::default() };
            options.default_precision(&target::find(target).unwrap()).unwrap()
        };
        assert_eq!(of("raspberry-pi-5", F16Arithmetic::Auto), Precision::F16Arith);
        assert_eq!(of("raspberry-pi-5", F16Arithmetic::Never), Precision::F16);
        for target in ["raspberry-pi-4", "aarch64", "riscv64", "riscv64-v", "x86_64"] {
            assert_eq!(of(target, F16Arithmetic::Auto), Precision::F16, "{target}");
        }
    }

    #[test]
    fn bfloat16_is_for_machines_that_have_it() {
        let of = |target: &Target| {
            DtypeOptions { dtype: Dtype::Bf16, ..DtypeOptions::default() }.default_precision(target)
        };
        let mut mine = target::find("x86_64").unwrap();
        assert_eq!(of(&mine).unwrap(), Precision::Bf16);
        mine.name = "mine".into();
        let error = of(&mine).unwrap_err();
        assert!(error.expected.as_deref().unwrap().contains("avx512bf16"), "{error}");
        let error = of(&target::find("raspberry-pi-5").unwrap()).unwrap_err();
        assert_eq!(error.got.as_deref(), Some("aarch64"));
    }

    #[test]
    fn tables_are_stored_only() {
        let mut precisions = precisions(Dtype::F16, &[], "raspberry-pi-5").unwrap();
        assert_eq!((precisions.of("a"), precisions.of_table("b")), (Precision::F16Arith, Precision::F16));
    }

    #[test]
    fn names_of_dtypes() {
        for dtype in Dtype::ALL {
            assert_eq!(dtype.name().parse::<Dtype>().unwrap(), dtype);
        }
        assert!("int4".parse::<Dtype>().unwrap_err().expected.unwrap().contains("`int8`"));
    }
}
