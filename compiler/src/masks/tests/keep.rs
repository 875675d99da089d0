//! Keep-lists: what they prune, and which are refused.

use super::*;
use crate::masks::{Applied, Match};

/// The weights that became zero, by their first constant's hundreds.
fn zeroed(masks: &Masks) -> (Vec<f32>, Applied) {
    let before = model();
    let mut after = before.clone();
    let report = masks.apply(&mut after, &Origins::default()).unwrap();
    let mut zeroed = Vec::new();
    for (a, b) in before.nodes.iter().zip(&after.nodes) {
        for (a, b) in a.op.weights().into_iter().zip(b.op.weights()) {
            let pairs = before.weight(a).data.iter().zip(after.weight(b).data.iter());
            zeroed.extend(pairs.filter(|(a, b)| a != b).map(|(a, _)| *a));
        }
    }
    zeroed.sort_by(f32::total_cmp);
    (zeroed, report.masks[0].clone())
}

fn read(name: &str, dtype: Dtype, len: usize, data: &[u8]) -> Masks {
    Masks::from_bytes(&file(name, dtype, &[len], data)).unwrap()
}

#[test]
fn a_unit_goes_with_its_rows_and_all_columns_that_read_it() {
    // Unit 1 of the reverse direction: output column 3, so row 3 of the 4×3 projection.
    let mut expected = vec![509.0, 510.0, 511.0];
    for gate in 0..4 {
        let row = 2 * gate + 1;
        expected.extend((0..3).map(|col| (300 + 3 * row + col) as f32));
        // Its rows in R, and its column in those of the other unit.
        expected.extend([400 + 2 * row, 401 + 2 * row, 401 + 2 * (row - 1)].map(|x| x as f32));
    }
    expected.sort_by(f32::total_cmp);
    let name = "b.0.lstm.keep_l0_reverse";
    let ways = [
        read(name, Dtype::BOOL, 2, &[1, 0]),
        read(name, Dtype::U8, 2, &[1, 0]),
        read(name, Dtype::F32, 2, &f32s(&[1.0, 0.0])),
        read(name, Dtype::I64, 1, &[0; 8]),
        read(name, Dtype::I32, 1, &[0; 4]),
    ];
    for masks in ways {
        let (zeroed, applied) = zeroed(&masks);
        assert_eq!(zeroed, expected);
        let Applied { dims, masked, zeroed, matched, node, .. } = applied;
        assert_eq!((dims, masked, zeroed, matched), (vec![2], 1, expected.len(), Match::Path));
        assert_eq!(node, "b.0.lstm");
    }
}

#[test]
fn nothing_may_be_kept() {
    let (zeroed, applied) = zeroed(&read("b.0.lstm.keep_l0", Dtype::I64, 0, &[]));
    // W, R and the two rows of the projection.
    assert_eq!((applied.masked, zeroed.len()), (2, 24 + 16 + 6));
}

#[test]
fn keep_lists_and_matrices_are_expanded_to_the_same() {
    let list = read("b.0.lstm.keep_l0", Dtype::U8, 2, &[0, 1]);
    let expanded = list.expanded(&model(), &Origins::default()).unwrap();
    assert!(expanded.is_full() && !list.is_full());
    assert_eq!(expanded.len(), 3);
    let again = Masks::from_bytes(&expanded.to_safetensors().unwrap()).unwrap();
    assert_eq!(again, expanded);
    let (mut a, mut b) = (model(), model());
    list.apply(&mut a, &Origins::default()).unwrap();
    again.apply(&mut b, &Origins::default()).unwrap();
    a.normalise();
    b.normalise();
    assert_eq!(a, b);
}

#[test]
fn lists_that_do_not_fit_are_refused() {
    let eight = |x: i64| x.to_le_bytes();
    let lists = |numbers: &[i64]| numbers.iter().copied().flat_map(eight).collect::<Vec<u8>>();
    let name = "b.0.lstm.keep_l0";
    let length = error(name, Dtype::U8, &[3], &[1, 0, 1]);
    assert_eq!(length.got.as_deref(), Some("`3`"));
    let beyond = error(name, Dtype::I64, &[2], &lists(&[0, 2]));
    assert_eq!((beyond.expected.as_deref(), beyond.got.as_deref()), (Some("below `2`"), Some("`2`")));
    // A 0/1 list that NumPy made of integers is not taken for indices.
    let twice = error(name, Dtype::I64, &[3], &lists(&[1, 0, 1]));
    assert!(twice.hint.as_deref().is_some_and(|hint| hint.contains("bool")), "{twice:?}");
    let negative = error(name, Dtype::I64, &[1], &lists(&[-1]));
    assert_eq!(negative.got.as_deref(), Some("`-1`"));
    let half = error(name, Dtype::F32, &[2], &f32s(&[0.5, 1.0]));
    assert_eq!(half.got.as_deref(), Some("`0.5`"));
    let matrix = error(name, Dtype::U8, &[1, 2], &[1, 1]);
    assert!(matrix.what.contains("a keep-list is a vector"), "{matrix}");
    let vector = error("b.0.proj.weight", Dtype::U8, &[12], &[1; 12]);
    assert!(vector.what.contains("a mask of a parameter is a matrix"), "{vector}");
    let cube = error(name, Dtype::U8, &[1, 1, 2], &[1, 1]);
    assert_eq!(cube.got.as_deref(), Some("`[1, 1, 2]`"));
}

#[test]
fn units_that_are_read_by_more_than_products_are_refused() {
    let mut graph = parse(
        r#"graph "g"
        input "x" %x : 2x3 dims 2x3
        %a = linear %x {0..3 -> 0..2: @0} : 2x2 # m.fc1
        %n = layer_norm %a eps=0.00001 : 2x2 # m.norm
        %b = linear %n {0..2 -> 0..3: @1} : 2x3 # m.fc2
        output "y" %b dims 2x3
        @0: 3x2 = [1 2 3 4 5 6] @1: 2x3 = [1 2 3 4 5 6]"#,
    )
    .unwrap();
    let refused = |graph: &mut Graph, name| {
        let error = read(name, Dtype::U8, 2, &[1, 0]).apply(graph, &Origins::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadMask);
        error.got.unwrap()
    };
    assert_eq!(refused(&mut graph, "m.fc1.keep"), "`m.norm` reads them");
    let lists = file("m.fc2.keep", Dtype::U8, &[3], &[1, 0, 1]);
    let error = Masks::from_bytes(&lists).unwrap().apply(&mut graph, &Origins::default()).unwrap_err();
    assert_eq!(error.got.as_deref(), Some("`y` reads them"));
}
