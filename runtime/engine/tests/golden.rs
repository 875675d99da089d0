//! Artifacts of the first days of format 1, and the bits that they gave then: `far-format/tests/data/golden`. A library of
//! this format reads and runs them for ever. Those of other architectures are read by far-format's own tests.
//!
//!     FAR_GOLDEN=1 cargo test -p far-engine --test golden
//!
//! makes those that are missing; it never changes one that is there.

mod common;
#[path = "golden/specimen.rs"]
mod specimen;

use std::path::{Path, PathBuf};
use std::{env, fs};

use common::{host, noise};
use far_engine::{Error, Extent, Input, Isa, Model, Session, SessionOptions};
use far_format::cpu::Arch;
use far_kernels::Kernels;
use specimen::{SPECIMENS, Specimen, TOKENS, VOCAB};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../format/tests/data/golden")
}

fn file(specimen: Specimen, arch: Arch) -> PathBuf {
    folder().join(format!("{}-{arch}.far", specimen.name()))
}

/// The bits of a specimen's outputs, a line each, in hexadecimal.
fn bits_file(specimen: Specimen) -> PathBuf {
    folder().join(format!("{}.bits", specimen.name()))
}

/// What every specimen is given: an image of noise, or a batch of two sentences, of which the first is shorter.
fn run(specimen: Specimen, model: &far_engine::Counted<Model>, options: &SessionOptions) -> Vec<Vec<f32>> {
    let mut session = Session::new(far_engine::Counted::clone(model), options).unwrap();
    let (image, extent) = (noise(77, 3 * 8 * 8), Extent { batch: 2, tokens: TOKENS });
    let words: Vec<i64> = (0..2 * TOKENS as i64).map(|i| i * 5 % VOCAB as i64).collect();
    let mask: Vec<i32> = (0..2 * TOKENS).map(|i| i32::from(!(TOKENS - 2..TOKENS).contains(&i))).collect();
    let (batch, tokens) = if specimen.is_text() { (2, TOKENS) } else { (1, 0) };
    let ports = session.model().outputs();
    let mut outputs: Vec<Vec<f32>> =
        ports.iter().map(|port| vec![f32::NAN; port.elements(batch, tokens)]).collect();
    let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    if specimen.is_text() {
        session.run_extent(extent, &[Input::I64(&words), Input::I32(&mask)], &mut slices).unwrap();
    } else {
        session.run(&[&image], &mut slices).unwrap();
    }
    outputs
}

fn to_text(outputs: &[Vec<f32>]) -> String {
    let line = |output: &Vec<f32>| {
        let words: Vec<String> = output.iter().map(|x| format!("{:08x}", x.to_bits())).collect();
        words.join(" ") + "\n"
    };
    outputs.iter().map(line).collect()
}

fn from_text(text: &str) -> Vec<Vec<f32>> {
    let word = |word| f32::from_bits(u32::from_str_radix(word, 16).unwrap());
    text.lines().map(|line| line.split(' ').map(word).collect()).collect()
}

/// Writes what is missing. Where this CPU has no kernels that promise a specimen's bits, those of the same weights in f32
/// stand for them, for a comparison that is not exact.
fn make_missing() {
    fs::create_dir_all(folder()).unwrap();
    for specimen in SPECIMENS {
        for arch in specimen.archs().filter(|arch| !file(specimen, *arch).exists()) {
            fs::write(file(specimen, arch), specimen.artifact(arch)).unwrap();
        }
        if !bits_file(specimen).exists() {
            let stand_in = if specimen.is_exact() { specimen } else { Specimen::F32 };
            let model = Model::from_bytes(&stand_in.artifact(host())).unwrap();
            let options = SessionOptions { isa: Some(Isa::Scalar), threads: 1, ..SessionOptions::default() };
            fs::write(bits_file(specimen), to_text(&run(stand_in, &model, &options))).unwrap();
        }
    }
}

#[test]
fn what_was_written_once_gives_the_same_bits_for_ever() {
    if env::var_os("FAR_GOLDEN").is_some() {
        make_missing();
    }
    let mut ran = 0;
    for specimen in SPECIMENS.into_iter().filter(|specimen| specimen.archs().any(|arch| arch == host())) {
        let expected = from_text(&fs::read_to_string(bits_file(specimen)).unwrap());
        let file = file(specimen, host());
        // Miri maps no files.
        let model = match cfg!(miri) {
            true => Model::from_bytes(&fs::read(&file).unwrap()),
            false => Model::open(&file),
        };
        let model = match model {
            Err(Error::Features { .. }) if !specimen.is_exact() => continue, // not on this CPU
            model => model.unwrap_or_else(|error| panic!("{}: {error}", specimen.name())),
        };
        for isa in Kernels::available().map(|kernels| kernels.isa()) {
            for threads in [1, 2] {
                let options = SessionOptions { isa: Some(isa), threads, ..SessionOptions::default() };
                let found = run(specimen, &model, &options);
                if specimen.is_exact() {
                    assert_eq!(to_text(&found), to_text(&expected), "{} with {isa}", specimen.name());
                } else {
                    let (found, expected) = (found.concat(), expected.concat());
                    let wide: Vec<f64> = expected.iter().copied().map(f64::from).collect();
                    common::assert_close(&found, &wide, 0.05);
                }
                ran += 1;
            }
        }
    }
    assert!(ran >= 8 || cfg!(miri), "only {ran} runs");
}
