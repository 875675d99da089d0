//! Compiles the RISC-V vector kernels, which are C: stable Rust has no vector intrinsics for RISC-V.
//! Nothing to do for other architectures.
#![allow(clippy::print_stdout)] // how a build script talks to cargo

use std::process::ExitCode;

const DIR: &str = "src/rvv";
const SOURCES: [&str; 4] = ["gemm.c", "lstm.c", "rows.c", "elementwise.c"];
/// What is written in assembly, and the register group that it is for.
const ASSEMBLY: [(&str, &str); 3] = [("gemm_rows.S", "2"), ("gemm_rows_wide.S", "1"), ("lstm_24.S", "1")];
const HEADERS: [&str; 4] = ["far_rvv.h", "functions.h", "cell.h", "gemm_tile.h"];
/// Registers that hold the 16 lanes of a panel: one build of the kernels each, for VLEN 128, 256, and 512 or more.
const REGISTER_GROUPS: [&str; 3] = ["4", "2", "1"];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if target != "riscv64" {
        return ExitCode::SUCCESS;
    }
    for file in SOURCES.iter().chain(&HEADERS).chain(ASSEMBLY.iter().map(|(file, _)| file)) {
        println!("cargo::rerun-if-changed={DIR}/{file}");
    }
    for group in REGISTER_GROUPS {
        if let Err(error) = compile(group) {
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

/// One static library of all kernels for one size of register groups.
fn compile(group: &str) -> Result<(), cc::Error> {
    let assembly = ASSEMBLY.iter().filter(|(_, of)| *of == group).map(|(file, _)| *file);
    cc::Build::new()
        .files(SOURCES.into_iter().chain(assembly).map(|file| format!("{DIR}/{file}")))
        .define("FAR_LMUL", group)
        // The last -march counts; `cc` puts that of the target first, which has no vectors.
        .flag("-march=rv64gcv")
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
        .try_compile(&format!("far_rvv_m{group}"))
}
