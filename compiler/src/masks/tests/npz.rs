//! Npz files: what NumPy writes, and hostile ones.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::masks::npz;

fn array(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    [&file, header.as_bytes(), data].concat()
}

fn packed(arrays: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, array) in arrays {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(array).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn one(array: &[u8]) -> Vec<u8> {
    packed(&[("b.0.proj.weight.npy", array)], CompressionMethod::Deflated)
}

fn refused(bytes: &[u8]) -> Error {
    Masks::from_bytes(bytes).unwrap_err()
}

/// 3×4, row-major.
const BITS: [u8; 12] = [1, 1, 1, 0, 1, 0, 1, 1, 0, 0, 0, 1];

#[test]
fn every_type_and_order_that_numpy_has_for_it() {
    let expected = Masks::from_bytes(&file("b.0.proj.weight", Dtype::U8, &[3, 4], &BITS)).unwrap();
    let wide = |f: fn(u8) -> Vec<u8>| BITS.iter().flat_map(|bit| f(*bit)).collect::<Vec<u8>>();
    let columns: Vec<u8> = (0..12).map(|i| BITS[i % 3 * 4 + i / 3]).collect();
    let arrays = [
        array("|b1", "False", "(3, 4)", &BITS),
        array("|u1", "False", "(3, 4)", &BITS),
        array("<i4", "False", "(3, 4)", &wide(|bit| i32::from(bit).to_le_bytes().to_vec())),
        array("<i8", "False", "(3, 4)", &wide(|bit| i64::from(bit).to_le_bytes().to_vec())),
        array("<f4", "False", "(3, 4)", &wide(|bit| f32::from(bit).to_le_bytes().to_vec())),
        array("<f8", "False", "(3, 4)", &wide(|bit| f64::from(bit).to_le_bytes().to_vec())),
        array("|b1", "True", "(3, 4)", &columns),
    ];
    for array in &arrays {
        assert_eq!(Masks::from_bytes(&one(array)).unwrap(), expected);
        let stored = packed(&[("b.0.proj.weight", array)], CompressionMethod::Stored);
        assert_eq!(Masks::from_bytes(&stored).unwrap(), expected, "stored, and without `.npy`");
    }
    assert!(Masks::from_bytes(&packed(&[], CompressionMethod::Stored)).unwrap().is_empty());
}

#[test]
fn broken_arrays_are_refused() {
    let cases = [
        (array(">f4", "False", "(3, 4)", &[0; 48]), "wrong type"),
        (array("|O", "False", "(3, 4)", &[0; 96]), "wrong type"),
        (array("|u1", "False", "(3, 4)", &BITS[..11]), "can't be read"),
        (array("|u1", "False", "(3, 4)", &[&BITS[..], &[0]].concat()), "bytes behind"),
        (array("|u1", "False", "(3, 4)", &[2; 12]), "neither 0 nor 1"),
        (array("|u1", "False", "()", &[1]), "a mask is a matrix"),
        // What is claimed is never allocated.
        (array("|u1", "False", "(1099511627776, 1048576)", &BITS), "can't be read"),
        (array("<f8", "False", "(4611686018427387904, 4)", &BITS), "impossible shape"),
        (array("<i8", "False", "(18446744073709551615,)", &BITS), "impossible shape"),
        (b"not an array".to_vec(), "not a .npy file"),
    ];
    for (array, what) in &cases {
        let error = refused(&one(array));
        assert_eq!(error.kind, ErrorKind::BadMask);
        assert_eq!(error.place.node.as_deref(), Some("b.0.proj.weight"));
        assert!(error.what.contains(what), "no `{what}`: {error}");
    }
    let good = array("|u1", "False", "(3, 4)", &BITS);
    let twice = packed(&[("a.npy", &good), ("a", &good)], CompressionMethod::Stored);
    assert!(refused(&twice).what.contains("two arrays"));
}

#[test]
fn broken_containers_are_refused() {
    let sound = one(&array("|u1", "False", "(3, 4)", &BITS));
    for end in 4..sound.len() {
        assert_eq!(refused(&sound[..end]).kind, ErrorKind::BadMask, "cut at {end}");
    }
    for at in 0..sound.len() {
        for bit in 0..8 {
            let mut changed = sound.clone();
            changed[at] ^= 1 << bit;
            // Read or refused, never a panic.
            let _ = Masks::from_bytes(&changed);
        }
    }
    let stored = packed(&[("a.npy", &array("|u1", "False", "(3, 4)", &BITS))], CompressionMethod::Stored);
    let data = stored.windows(12).position(|window| window == BITS).unwrap();
    let mut changed = stored;
    changed[data] ^= 1;
    assert!(refused(&changed).what.contains("checksum"), "{}", refused(&changed));
}

#[test]
fn what_unpacks_to_too_much_is_refused() {
    const LIMIT: u64 = 1 << 20;
    // Each array is sound for itself, and packed to a thousandth.
    let zeros = array("|u1", "False", "(512, 512)", &[0; 1 << 18]);
    let names = ["a.npy", "b.npy", "c.npy", "d.npy"];
    let arrays = names.map(|name| (name, &zeros[..]));
    let bomb = packed(&arrays, CompressionMethod::Deflated);
    assert!((bomb.len() as u64) < LIMIT / 100, "{}", bomb.len());
    assert_eq!(npz::read_within(&bomb, 2 * LIMIT).unwrap().len(), 4);
    let error = npz::read_within(&bomb, LIMIT).unwrap_err();
    assert_eq!((error.kind, error.place.node.as_deref()), (ErrorKind::LimitExceeded, Some("d")));
    assert_eq!(error.expected.as_deref(), Some("at most `1048576` bytes unpacked"));
}
