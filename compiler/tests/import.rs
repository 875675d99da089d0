//! The example models, imported and evaluated in f64, against the logits that PyTorch gave.

use std::path::PathBuf;

use farc::ir::{self, Graph};
use farc::onnx::{ImportOptions, import};
use ndarray::{Array2, Array4};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion").join(name)
}

fn imported(name: &str) -> Graph {
    let bytes = std::fs::read(file(&format!("{name}.onnx"))).unwrap();
    let graph = import(&bytes, &ImportOptions::default()).unwrap();
    ir::verify(&graph).unwrap();
    graph
}

/// Largest difference from PyTorch's logits as a part of their range, on some images.
fn largest_difference(name: &str) -> f64 {
    let graph = imported(name);
    let images: Array4<f32> = ndarray_npy::read_npy(file("images.npy")).unwrap();
    let expected: Array2<f32> = ndarray_npy::read_npy(file(&format!("{name}.logits.npy"))).unwrap();
    let mut largest = 0.0f64;
    for index in [0, 1, 499] {
        let image: Vec<f32> = images.index_axis(ndarray::Axis(0), index).iter().copied().collect();
        let logits = ir::eval::outputs(&graph, &[&image]).unwrap().remove(0);
        let expected = expected.row(index);
        let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        for (got, expected) in logits.iter().zip(expected) {
            largest = largest.max((got - f64::from(*expected)).abs() / f64::from(high - low));
        }
    }
    largest
}

#[test]
fn logits_are_those_of_pytorch() {
    for name in ["deit", "far-parallel"] {
        println!(
            "{}",
            ir::text::print(&imported(name), ir::text::Detail::Summary)
                .lines()
                .filter(|l| !l.contains("weight"))
                .collect::<Vec<_>>()
                .join("\n")
        );
        let difference = largest_difference(name);
        println!("{difference}");
        assert!(difference < 2e-6, "{name}: {difference:e}");
    }
}
