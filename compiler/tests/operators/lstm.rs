//! `LSTM`: what the `onnx` package does not know, against small numbers worked out here.

use super::*;

const STEPS: usize = 5;
const HIDDEN: usize = 2;

/// Numbers with no symmetry to hide behind.
fn wave(len: usize, phase: f64) -> Vec<f64> {
    (0..len).map(|i| (1.3 * i as f64 + phase).sin() * 0.8).collect()
}

/// Weights of a bidirectional node over one feature, the inputs from W on.
fn weights() -> [Option<Tensor>; 3] {
    [
        real(&[2, 4 * HIDDEN, 1], &wave(8 * HIDDEN, 0.1)),
        real(&[2, 4 * HIDDEN, HIDDEN], &wave(8 * HIDDEN * HIDDEN, 0.7)),
        real(&[2, 8 * HIDDEN], &wave(16 * HIDDEN, 1.9)),
    ]
}

fn bidirectional(x: &[f64], batch: usize, lengths: Option<Tensor>) -> Values {
    let [w, r, b] = weights();
    let x = real(&[x.len() / batch, batch, 1], x);
    run("LSTM", 17, vec![text_attribute("direction", "bidirectional")], &[x, w, r, b, lengths], 3)
        .expect("a valid node")
}

/// `Y` of one sequence of a batch: by step, then direction, then unit.
fn sequence(y: &Tensor, b: usize, steps: usize) -> Vec<f64> {
    let y = y.as_real().expect("real numbers");
    let mut out = Vec::new();
    for t in 0..steps {
        for d in 0..2 {
            out.extend((0..HIDDEN).map(|h| y[[t, d, b, h]]));
        }
    }
    out
}

#[test]
fn sequence_lens_is_running_each_sequence_by_itself() {
    let (long, short) = (wave(STEPS, 0.3), wave(3, 2.2));
    let mut both = Vec::new();
    for (t, &value) in long.iter().enumerate() {
        // What stands after a sequence's end must not matter.
        both.extend([value, short.get(t).copied().unwrap_or(1e9)]);
    }
    let together = bidirectional(&both, 2, int(&[2], &[STEPS as i64, 3]));
    for (b, x) in [&long, &short].into_iter().enumerate() {
        let alone = bidirectional(x, 1, None);
        assert_eq!(sequence(&together["y0"], b, x.len()), sequence(&alone["y0"], 0, x.len()));
        let tail = sequence(&together["y0"], b, STEPS).split_off(x.len() * 2 * HIDDEN);
        assert!(tail.iter().all(|&v| v == 0.0), "{tail:?}");
        for last in ["y1", "y2"] {
            let together = together[last].as_real().expect("real numbers");
            let alone = alone[last].as_real().expect("real numbers");
            for (d, h) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                assert_eq!(together[[d, b, h]], alone[[d, 0, h]]);
            }
        }
    }
}

#[test]
fn reverse_is_forward_on_the_sequence_turned_round() {
    let [w, r, b] = weights();
    let half = |x: Option<Tensor>| {
        let x = x.expect("given");
        let x = x.as_real().expect("real numbers").index_axis(ndarray::Axis(0), 0).to_owned();
        let shape = [&[1], x.shape()].concat();
        real(&shape, x.as_slice().expect("standard layout"))
    };
    let [w, r, b] = [w, r, b].map(half);
    let mut x = wave(STEPS, 0.3);
    let go = |direction: &str, x: &[f64]| {
        let inputs = [real(&[STEPS, 1, 1], x), w.clone(), r.clone(), b.clone()];
        reals(
            &run("LSTM", 17, vec![text_attribute("direction", direction)], &inputs, 1).expect("valid"),
            "y0",
        )
    };
    let reverse = go("reverse", &x);
    let forward = go("forward", &x);
    x.reverse();
    let turned: Vec<f64> = go("forward", &x).chunks(HIDDEN).rev().flatten().copied().collect();
    assert_eq!(reverse, turned);
    assert_ne!(reverse, forward);
}

/// One unit and one step, all weights 0: the biases are what the gates see.
fn gates(bias: [f64; 4], c: f64, attributes: Vec<AttributeProto>, peepholes: Option<Tensor>) -> [f64; 2] {
    let b = [bias.to_vec(), vec![0.0; 4]].concat();
    let inputs = [
        real(&[1, 1, 1], &[0.0]),
        real(&[1, 4, 1], &[0.0; 4]),
        real(&[1, 4, 1], &[0.0; 4]),
        real(&[1, 8], &b),
        None,
        None,
        real(&[1, 1, 1], &[c]),
        peepholes,
    ];
    let out = run("LSTM", 17, attributes, &inputs, 3).expect("a valid node");
    ["y1", "y2"].map(|name| reals(&out, name)[0])
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn close(got: [f64; 2], expected: [f64; 2]) {
    assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-15), "{got:?} instead of {expected:?}");
}

#[test]
fn gates_by_hand() {
    // Biases of the gates i, o, f, c.
    let [i, o, f, c] = [0.3, -0.2, 0.9, 0.5];
    let cell = sigmoid(f) * 2.0 + sigmoid(i) * c.tanh();
    close(gates([i, o, f, c], 2.0, vec![], None), [sigmoid(o) * cell.tanh(), cell]);

    let coupled = (1.0 - sigmoid(i)) * 2.0 + sigmoid(i) * c.tanh();
    let attributes = vec![int_attribute("input_forget", 1)];
    close(gates([i, o, f, c], 2.0, attributes, None), [sigmoid(o) * coupled.tanh(), coupled]);

    // Peepholes of i, o, f: o looks at the new cell.
    let cell = sigmoid(f + 0.7 * 2.0) * 2.0 + sigmoid(i + 0.1 * 2.0) * c.tanh();
    let output = sigmoid(o - 0.4 * cell) * cell.tanh();
    close(gates([i, o, f, c], 2.0, vec![], real(&[1, 3], &[0.1, -0.4, 0.7])), [output, cell]);
}

#[test]
fn clip_bounds_what_enters_the_activations() {
    let clip = AttributeProto {
        name: "clip".into(),
        r#type: AttributeType::Float.into(),
        f: 0.25,
        ..Default::default()
    };
    let cell = sigmoid(0.25) * 2.0 + sigmoid(0.1) * (-0.25f64).tanh();
    close(gates([0.1, -3.0, 5.0, -5.0], 2.0, vec![clip], None), [sigmoid(-0.25) * 0.25f64.tanh(), cell]);
}

#[test]
fn other_activations() {
    let activations = |names: [&str; 3]| AttributeProto {
        name: "activations".into(),
        r#type: AttributeType::Strings.into(),
        strings: names.map(|n| n.as_bytes().to_vec()).into(),
        ..Default::default()
    };
    let cell = 0.5f64.tanh() * 2.0 + 0.3f64.tanh() * 1.5;
    let got = gates([0.3, 0.4, 0.5, 1.5], 2.0, vec![activations(["Tanh", "relu", "Sigmoid"])], None);
    close(got, [0.4f64.tanh() * sigmoid(cell), cell]);

    let refused = run(
        "LSTM",
        17,
        vec![activations(["Sigmoid", "Affine", "Tanh"])],
        &[real(&[1, 1, 1], &[0.0]), real(&[1, 4, 1], &[0.0; 4]), real(&[1, 4, 1], &[0.0; 4])],
        1,
    );
    assert_eq!(refused.expect_err("not supported").kind, ErrorKind::UnsupportedAttribute);
}
