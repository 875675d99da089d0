mod keep;
mod names;
mod npz;
mod shared;

use safetensors::tensor::{Dtype, TensorView, serialize};

use super::Masks;
use crate::error::{Error, ErrorKind};
use crate::ir::text::parse;
use crate::ir::{Graph, Origins};

/// A bidirectional LSTM of two hidden units over three channels, and its projection. Each weight is its own number:
/// W of the forward unit has 100 and up, R 200 and up, of the reverse unit 300 and 400; the projection 500.
fn model() -> Graph {
    let numbers =
        |first: usize, len: usize| (first..first + len).map(|i| format!("{i} ")).collect::<String>();
    parse(&format!(
        r#"graph "g"
        input "x" %x : 5x3 dims 5x3
        %l = lstm %x {{head 0 forward 0..3 -> 0..2: w @0, r @1, bias @2}} {{head 0 reverse 0..3 -> 2..4: w @3, r @4, bias @2}} : 5x4 # b.0.lstm
        %y = linear %l {{0..4 -> 0..3: @5}} : 5x3 # b.0.proj
        %z = linear %y {{0..3 -> 0..3: @6}} : 5x3 # twice
        %u = linear %z {{0..3 -> 0..3: @6}} : 5x3 # twice
        output "y" %u dims 5x3
        @0: 8x3 = [{}] @1: 8x2 = [{}] @2: 1x8 = [1 2 3 4 5 6 7 8] @3: 8x3 = [{}] @4: 8x2 = [{}] @5: 4x3 = [{}]
        @6: 3x3 = [1 2 3 4 5 6 7 8 9]"#,
        numbers(100, 24),
        numbers(200, 16),
        numbers(300, 24),
        numbers(400, 16),
        numbers(500, 12)
    ))
    .unwrap()
}

fn f32s(data: &[f32]) -> Vec<u8> {
    data.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn file(name: &str, dtype: Dtype, shape: &[usize], data: &[u8]) -> Vec<u8> {
    serialize([(name, TensorView::new(dtype, shape.to_vec(), data).unwrap())], None).unwrap()
}

/// All ones but for one element.
fn without(dims: [usize; 2], row: usize, col: usize) -> Vec<f32> {
    let mut mask = vec![1.0; dims[0] * dims[1]];
    mask[row * dims[1] + col] = 0.0;
    mask
}

/// Applies a mask that prunes one element; gives the weights that became zero.
fn pruned(name: &str, dims: [usize; 2], row: usize, col: usize) -> Vec<f32> {
    let before = model();
    let mut after = before.clone();
    let masks = Masks::from_bytes(&file(name, Dtype::F32, &dims, &f32s(&without(dims, row, col)))).unwrap();
    let report = masks.apply(&mut after, &Origins::default()).unwrap();
    let mut zeroed = Vec::new();
    for (a, b) in before.nodes.iter().zip(&after.nodes) {
        for (a, b) in a.op.weights().into_iter().zip(b.op.weights()) {
            let pairs = before.weight(a).data.iter().zip(after.weight(b).data.iter());
            zeroed.extend(pairs.filter(|(a, b)| a != b).map(|(a, b)| if *b == 0.0 { *a } else { f32::NAN }));
        }
    }
    assert_eq!((report.masks[0].masked, report.masks[0].zeroed), (1, 1));
    assert_eq!(report.masks[0].parameter, name);
    zeroed
}

#[test]
fn each_mask_meets_its_parameter_in_pytorchs_layout() {
    // Gates in PyTorch: i, f, g, o; here: i, o, f, c. Row `2 * gate + unit`.
    for (torch, ours) in [(0, 0), (1, 2), (2, 3), (3, 1)] {
        for unit in 0..2 {
            let (row, our_row) = (2 * torch + unit, 2 * ours + unit);
            let at = |first: usize, cols: usize, col: usize| vec![(first + our_row * cols + col) as f32];
            assert_eq!(pruned("b.0.lstm.weight_ih_l0", [8, 3], row, 2), at(100, 3, 2));
            assert_eq!(pruned("b.0.lstm.weight_hh_l0", [8, 2], row, 1), at(200, 2, 1));
            assert_eq!(pruned("b.0.lstm.weight_ih_l0_reverse", [8, 3], row, 0), at(300, 3, 0));
            assert_eq!(pruned("b.0.lstm.weight_hh_l0_reverse", [8, 2], row, 0), at(400, 2, 0));
        }
    }
    // Out × in there, in × out here.
    assert_eq!(pruned("b.0.proj.weight", [3, 4], 2, 1), [505.0]);
}

#[test]
fn bytes_and_bools_are_masks_too() {
    let mut mask = vec![1u8; 12];
    mask[5] = 0;
    let read = |dtype| Masks::from_bytes(&file("b.0.proj.weight", dtype, &[3, 4], &mask)).unwrap();
    assert_eq!(read(Dtype::U8), read(Dtype::BOOL));
    let floats: Vec<f32> = mask.iter().map(|x| f32::from(*x)).collect();
    assert_eq!(
        Masks::from_bytes(&file("b.0.proj.weight", Dtype::F32, &[3, 4], &f32s(&floats))).unwrap(),
        read(Dtype::U8)
    );
}

fn error(name: &str, dtype: Dtype, shape: &[usize], data: &[u8]) -> Error {
    let mut graph = model();
    let error = Masks::from_bytes(&file(name, dtype, shape, data))
        .and_then(|masks| masks.apply(&mut graph, &Origins::default()))
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadMask);
    assert_eq!(error.place.node.as_deref(), Some(name));
    assert_eq!(graph, model(), "the graph is unchanged");
    error
}

#[test]
fn masks_that_do_not_fit_are_refused() {
    let ones = f32s(&[1.0; 12]);
    let unknown = error("b.0.head_proj.weight", Dtype::F32, &[3, 4], &ones);
    assert_eq!(unknown.hint.as_deref(), Some("the nearest name is `b.0.proj.weight`"));
    let shape = error("b.0.proj.weight", Dtype::F32, &[4, 3], &ones);
    assert_eq!((shape.expected.as_deref(), shape.got.as_deref()), (Some("`3x4`"), Some("`4x3`")));
    let several = error("twice.weight", Dtype::F32, &[3, 3], &f32s(&[1.0; 9]));
    assert!(several.what.contains("several parameters"), "{several}");
    let bias = error("b.0.proj.bias", Dtype::F32, &[12], &ones);
    assert!(bias.what.contains("the model has no `b.0.proj.bias`"), "{bias}");
    let half = error("b.0.proj.weight", Dtype::F32, &[3, 4], &f32s(&[0.5; 12]));
    assert_eq!(half.got.as_deref(), Some("`0.5`"));
    let nan = error("b.0.proj.weight", Dtype::F32, &[3, 4], &f32s(&[f32::NAN; 12]));
    assert_eq!(nan.place.field.as_deref(), Some("row 0, column 0"));
    let two = error("b.0.proj.weight", Dtype::U8, &[3, 4], &[2; 12]);
    assert_eq!(two.got.as_deref(), Some("`2`"));
    let kind = error("b.0.proj.weight", Dtype::F16, &[3, 4], &[0; 24]);
    assert_eq!(kind.got.as_deref(), Some("`F16`"));
}

#[test]
fn broken_files_are_refused() {
    let sound = file("b.0.proj.weight", Dtype::F32, &[3, 4], &f32s(&[1.0; 12]));
    for end in 0..sound.len() {
        assert_eq!(Masks::from_bytes(&sound[..end]).unwrap_err().kind, ErrorKind::BadMask, "cut at {end}");
    }
    let mut huge = sound;
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(Masks::from_bytes(&huge).unwrap_err().kind, ErrorKind::BadMask);
    let missing = Masks::read(std::path::Path::new("no/such/file.safetensors")).unwrap_err();
    assert_eq!(missing.kind, ErrorKind::Io);
    assert!(missing.place.file.is_some());
}
