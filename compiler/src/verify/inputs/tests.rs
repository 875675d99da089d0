use far_format::layout::Precision;
use far_format::plan::{Batch, Dim, Embed, Operand, Step};
use far_tool::npy::Array;

use super::*;
use crate::verify::Given;

const OPEN: Open = Open { batch: true, tokens: true };

fn port(name: &str, dtype: Dtype, dims: &[Dim]) -> Port {
    Port { name: name.into(), dtype, dims: dims.to_vec() }
}

fn fixed(name: &str, dims: &[u32]) -> Port {
    port(name, Dtype::F32, &dims.iter().copied().map(Dim::Fixed).collect::<Vec<_>>())
}

fn plan(inputs: Vec<Port>) -> Plan {
    Plan { inputs, ..Plan::default() }
}

/// Ids of a table of 7 rows, and a mask.
fn text() -> Plan {
    let dims = [Dim::Batch, Dim::Tokens];
    let out = Operand { tensor: 0, row: 0, col: 0, rows: 9, cols: 2 };
    let op = StepOp::Embed(Embed { input: 0, table: 0, vocab: 7, precision: Precision::F32, out });
    Plan {
        steps: vec![Step { name: String::new(), op }],
        tokens: 9,
        batch: Batch { most: 3, fixed: false },
        lengths: Some(1),
        ..plan(vec![port("ids", Dtype::I64, &dims), port("mask", Dtype::I32, &dims)])
    }
}

fn input(name: Option<&str>, shape: &[usize]) -> Given {
    let len = shape.iter().product::<usize>();
    let data = Data::F32((0..len).map(|v| v as f32).collect());
    Given { name: name.map(Into::into), values: Array { shape: shape.to_vec(), data } }
}

fn with(inputs: Vec<Given>) -> Result<Vec<Sample>> {
    let plan = plan(vec![fixed("a", &[1, 2]), fixed("b", &[3])]);
    samples(&plan, OPEN, &Options { inputs, ..Options::default() })
}

fn floats(sample: &Sample) -> Vec<Vec<f32>> {
    let floats = |elements: &Data| match elements {
        Data::F32(values) => values.clone(),
        other => panic!("{other:?}"),
    };
    sample.inputs.iter().map(floats).collect()
}

#[test]
fn seeds_repeat() {
    let plan = plan(vec![fixed("a", &[1, 2]), fixed("b", &[3])]);
    let make = |seed, count| {
        samples(&plan, OPEN, &Options { seed, samples: Some(count), ..Options::default() }).expect("valid")
    };
    assert_eq!(make(1, 3), make(1, 3));
    assert_ne!(make(1, 3), make(2, 3));
    assert_eq!(make(1, 3).len(), 3);
    let many: Vec<f32> = make(9, 2000).iter().flat_map(floats).flatten().collect();
    let mean = many.iter().sum::<f32>() / many.len() as f32;
    let variance = many.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / many.len() as f32;
    assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
}

#[test]
fn sizes_vary_and_integers_fit() {
    let samples = samples(&text(), OPEN, &Options { samples: Some(8), ..Options::default() }).expect("valid");
    let extents: Vec<_> = samples.iter().map(|s| (s.extent.batch, s.extent.tokens)).take(4).collect();
    assert_eq!(extents, [(1, 9), (3, 1), (1, 5), (3, 8)]);
    assert!(samples.iter().any(|s| s.lengths.windows(2).any(|pair| pair[0] != pair[1])), "padded");
    for sample in &samples {
        let [Data::I64(ids), Data::I32(mask)] = &sample.inputs[..] else { panic!("{sample:?}") };
        assert!(ids.iter().all(|id| (0..7).contains(id)));
        for (row, length) in mask.chunks(sample.extent.tokens).zip(&sample.lengths) {
            let expected: Vec<i32> = (0..row.len()).map(|i| i32::from(i < *length)).collect();
            assert_eq!(row, expected);
        }
    }
    let closed = Open { batch: false, tokens: false };
    let whole = super::samples(&text(), closed, &Options::default()).expect("valid");
    assert!(whole.iter().all(|s| s.extent.tokens == 9 && s.lengths.iter().all(|length| *length == 9)));
}

#[test]
fn given_inputs_are_cut_into_samples() {
    let one = with(vec![input(Some("b"), &[3]), input(None, &[1, 2])]).expect("valid");
    assert_eq!(floats(&one[0]), [vec![0.0, 1.0], vec![0.0, 1.0, 2.0]]);
    let single = plan(vec![fixed("a", &[1, 2])]);
    let options = Options { inputs: vec![input(None, &[3, 2])], samples: Some(2), ..Options::default() };
    let two = samples(&single, OPEN, &options).expect("valid");
    assert_eq!(two.iter().map(floats).collect::<Vec<_>>(), [[vec![0.0, 1.0]], [vec![2.0, 3.0]]]);
}

#[test]
fn given_batches_are_cut_as_the_model_takes_them() {
    let given = |data| Given { name: None, values: Array { shape: vec![4, 2], data } };
    let mask = Data::I32(vec![1, 1, 1, 0, 1, 1, 1, 0]);
    let inputs = vec![given(Data::I64((0..8).collect())), given(mask)];
    let cut = samples(&text(), OPEN, &Options { inputs, ..Options::default() }).expect("valid");
    assert_eq!(cut.iter().map(|s| s.lengths.clone()).collect::<Vec<_>>(), [vec![2, 1, 2], vec![1]]);
    assert_eq!(cut[1].inputs[0], Data::I64(vec![6, 7]));
}

#[test]
fn inputs_that_dont_fit_are_errors() {
    for inputs in [
        vec![input(Some("c"), &[1])],
        vec![input(None, &[1, 2])],
        vec![input(None, &[1, 2]), input(Some("a"), &[1, 2])],
        vec![input(None, &[1, 2]), input(None, &[3]), input(None, &[3])],
        vec![input(None, &[2, 2]), input(None, &[3])],
        vec![input(None, &[1, 3]), input(None, &[3])],
        vec![input(None, &[0, 2]), input(None, &[3])],
    ] {
        let shapes: Vec<_> = inputs.iter().map(|i| (i.name.clone(), i.values.shape.clone())).collect();
        assert_eq!(with(inputs).expect_err("does not fit").kind, ErrorKind::BadInput, "{shapes:?}");
    }
    let ids = vec![input(None, &[1, 2]), input(None, &[1, 2])];
    let error = samples(&text(), OPEN, &Options { inputs: ids, ..Options::default() }).expect_err("floats");
    assert_eq!((error.kind, error.expected.as_deref()), (ErrorKind::BadInput, Some("i64")));
}
