//! Mask files.

use std::sync::OnceLock;

use farc::ir::Graph;
use farc::masks::Masks;
use farc::onnx::{Imported, import_parameters};

use super::random::Random;
use super::words;

/// The model that masks are applied to.
fn model() -> &'static Imported {
    static MODEL: OnceLock<Imported> = OnceLock::new();
    MODEL.get_or_init(|| {
        let bytes = include_bytes!("../../tests/data/forms/monolithic-head_proj.onnx");
        import_parameters(bytes, &Default::default()).expect("a model of the tests")
    })
}

/// Reads masks, writes and reads them again, applies them. Whether they are some.
pub fn check(file: &[u8]) -> bool {
    let Ok(masks) = Masks::from_bytes(file) else { return false };
    if masks.is_full() {
        let again = masks.to_safetensors().expect("what was read can be written");
        assert!(Masks::from_bytes(&again).expect("what was written can be read") == masks);
    }
    let Imported { graph, origins } = model();
    let mut pruned: Graph = graph.clone();
    if masks.apply(&mut pruned, origins).is_err() {
        assert!(pruned == *graph, "refused masks changed the graph");
    }
    true
}

/// Another file, made of this one: safetensors by their header's words, with its length made right; others by bytes.
pub fn mutate(data: &[u8], most: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let header = data.first_chunk().map(|len| u64::from_le_bytes(*len) as usize);
    let parts = header.and_then(|len| data[8..].split_at_checked(len));
    let mut bytes = match parts {
        Some((header, rest)) if random.below(4) > 0 => {
            let header = words::mutate(header, most, random.next());
            [&(header.len() as u64).to_le_bytes(), &header[..], rest].concat()
        }
        _ => data.to_vec(),
    };
    for _ in 0..random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            2 => drop(bytes.remove(at)),
            3 => bytes[at] = random.next() as u8,
            _ => bytes[at] ^= 1 << random.below(8),
        }
    }
    bytes.truncate(most);
    bytes
}
