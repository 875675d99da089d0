//! Compiles the RISC-V vector kernels, which are C: stable Rust has no vector intrinsics for RISC-V.
//! Nothing to do for other architectures.
#![allow(clippy::print_stdout)] // how a build script talks to cargo

use std::process::ExitCode;

const DIR: &str = "src/rvv";
const HEADERS: [&str; 7] =
    ["far_rvv.h", "functions.h", "epilogue.h", "cell.h", "int8.h", "half.h", "gemm_tile.h"];

/// A static library of kernels.
struct Library {
    name: &'static str,
    /// What they need beyond V.
    extension: &'static str,
    /// Files that are compiled for each size of register groups.
    sized: &'static [&'static str],
    /// Files for one size only, and for all of them together.
    single: &'static [(&'static str, Group)],
}

/// Registers that hold the 16 lanes of a panel; `None` where files don't depend on it.
type Group = Option<&'static str>;

/// For VLEN 128, 256, and 512 or more; last what is the same for all.
const GROUPS: [Group; 4] = [Some("4"), Some("2"), Some("1"), None];

const LIBRARIES: [Library; 2] = [
    Library {
        name: "far_rvv",
        extension: "",
        sized: &["gemm.c", "lstm.c", "gemm_i8.c", "lstm_i8.c", "lstm_i8_sums.S", "rows.c", "elementwise.c"],
        single: &[
            ("gemm_rows.S", Some("2")),
            ("gemm_rows_wide.S", Some("1")),
            ("lstm_24.S", Some("1")),
            ("gemm_i8_rows.S", None),
            ("widen.c", None),
        ],
    },
    Library {
        name: "far_rvv_zvfh",
        extension: "_zvfh",
        sized: &["gemm_f16.c", "lstm_f16.c"],
        single: &[("gemm_f16_rows.S", None)],
    },
];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if target != "riscv64" {
        return ExitCode::SUCCESS;
    }
    for file in HEADERS {
        println!("cargo::rerun-if-changed={DIR}/{file}");
    }
    for (library, group) in LIBRARIES.iter().flat_map(|library| GROUPS.map(|group| (library, group))) {
        if let Err(error) = library.compile(group) {
            let target = std::env::var("TARGET").unwrap_or_default();
            println!("cargo::error=the RISC-V vector kernels of libfar don't compile: {error}");
            println!(
                "cargo::error=they need clang 17 or gcc 14, or newer: name one, e.g. `CC_{}=clang`, with its `AR` \
                 if need be",
                target.replace('-', "_")
            );
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

impl Library {
    /// One static library of what is for that size of register groups.
    fn compile(&self, group: Group) -> Result<(), cc::Error> {
        let sized = if group.is_some() { self.sized } else { &[] };
        let single = self.single.iter().filter(|(_, of)| *of == group).map(|(file, _)| file);
        let files = sized.iter().chain(single).map(|file| format!("{DIR}/{file}"));
        let mut build = cc::Build::new();
        for file in files {
            println!("cargo::rerun-if-changed={file}");
            build.file(file);
        }
        if let Some(group) = group {
            build.define("FAR_LMUL", group);
        }
        build
            // The last -march counts; `cc` puts that of the target first, which has no vectors.
            .flag(format!("-march=rv64gcv{}", self.extension))
            .flag("-mabi=lp64d")
            .flag("-std=c11")
            // Every rounding is written out: nothing may be fused that is not fused in the scalar kernels.
            .flag("-ffp-contract=off")
            .flag("-fno-math-errno")
            // A compiler without the intrinsics has an error for each of them; the first says enough.
            .flag_if_supported("-fmax-errors=1")
            .opt_level(3)
            .debug(false)
            .extra_warnings(true)
            .try_compile(&group.map_or(self.name.to_owned(), |group| format!("{}_m{group}", self.name)))
    }
}
