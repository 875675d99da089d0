//! Three ways to say what is pruned: 0/1 matrices, keep-lists, and zeros in the weights. They mean the same artifact.

#[path = "common/size.rs"]
mod size;

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use far_models::{Config, Form, Projection, Pruning, generate};
use farc::masks::{Masks, Match};
use farc::target::Target;
use farc::verify::{self, HostRunner};
use farc::{Compiled, Options, compile};
use prost::Message;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use size::SMALL;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value};
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};
use zip::write::SimpleFileOptions;

fn config(form: Form, projection: Projection, pruning: Pruning) -> Config {
    Config { form, projection, pruning, seed: 3, ..Config::new(SMALL) }
}

fn compiled(onnx: &[u8], masks: Option<&Masks>) -> Compiled {
    let target = Target::resolve("x86_64").expect("a target");
    compile(onnx, masks, &target, &Options::default()).unwrap_or_else(|e| panic!("{e} {e:?}"))
}

/// The keep-lists that matrices amount to: for each LSTM and direction, the units with a row in R.
fn keep_lists(masks: &[u8]) -> BTreeMap<String, Vec<bool>> {
    let file = SafeTensors::deserialize(masks).expect("a mask file");
    let mut lists = BTreeMap::new();
    for (name, mask) in file.iter().filter(|(name, _)| name.contains(".weight_hh_l0")) {
        let hidden = mask.shape()[1];
        let rows = mask.data().chunks(4 * hidden).take(hidden);
        let keep: Vec<bool> = rows.map(|row| row.iter().any(|byte| *byte != 0)).collect();
        lists.insert(name.replace(".weight_hh_l0", ".keep_l0"), keep);
    }
    lists
}

fn safetensors(entries: &[(String, Dtype, usize, Vec<u8>)]) -> Masks {
    let views = entries.iter().map(|(name, dtype, len, data)| {
        (name.as_str(), TensorView::new(*dtype, vec![*len], data).expect("a tensor"))
    });
    Masks::from_bytes(&safetensors::serialize(views, None).expect("a file")).expect("masks")
}

fn as_bits(lists: &BTreeMap<String, Vec<bool>>) -> Masks {
    let entry = |(name, keep): (&String, &Vec<bool>)| {
        (name.clone(), Dtype::U8, keep.len(), keep.iter().map(|k| u8::from(*k)).collect())
    };
    safetensors(&lists.iter().map(entry).collect::<Vec<_>>())
}

fn indices(keep: &[bool]) -> Vec<u8> {
    let kept = (0..keep.len()).filter(|unit| keep[*unit]);
    kept.flat_map(|unit| (unit as i64).to_le_bytes()).collect()
}

fn as_indices(lists: &BTreeMap<String, Vec<bool>>) -> Masks {
    let entry = |(name, keep): (&String, &Vec<bool>)| {
        let data = indices(keep);
        (name.clone(), Dtype::I64, data.len() / 8, data)
    };
    safetensors(&lists.iter().map(entry).collect::<Vec<_>>())
}

/// An array as NumPy saves it.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    [&file, header.as_bytes(), data].concat()
}

fn npz(arrays: &[(String, Vec<u8>)]) -> Masks {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (i, (name, array)) in arrays.iter().enumerate() {
        // Stored as by `savez`, and deflated as by `savez_compressed`.
        let method = [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated][i % 2];
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(format!("{name}.npy"), options).expect("an entry");
        zip.write_all(array).expect("an array");
    }
    Masks::from_bytes(&zip.finish().expect("a file").into_inner()).expect("masks")
}

fn packed_lists(lists: &BTreeMap<String, Vec<bool>>) -> Masks {
    let entry = |(name, keep): (&String, &Vec<bool>)| {
        let data = indices(keep);
        (name.clone(), npy("<i8", &format!("({},)", data.len() / 8), &data))
    };
    npz(&lists.iter().map(entry).collect::<Vec<_>>())
}

fn packed_matrices(masks: &[u8]) -> Masks {
    let file = SafeTensors::deserialize(masks).expect("a mask file");
    let entry = |(name, mask): (&str, TensorView<'_>)| {
        let shape = format!("({}, {})", mask.shape()[0], mask.shape()[1]);
        (name.to_owned(), npy("<f4", &shape, mask.data()))
    };
    npz(&file.iter().map(entry).collect::<Vec<_>>())
}

#[test]
fn masks_keep_lists_and_zeros_give_the_same_bytes() {
    let forms = [
        (Form::Monolithic, Projection::HeadPost),
        (Form::Monolithic, Projection::Single),
        (Form::Parallel, Projection::HeadPost),
        (Form::Parallel, Projection::Single),
    ];
    for (form, projection) in forms {
        for fraction in [0.3, 0.6, 0.95] {
            let name = format!("{form:?} {projection:?} {fraction}");
            let zeros = generate(&config(form, projection, Pruning::Zeros { fraction })).expect("a model");
            let dense = generate(&config(form, projection, Pruning::Masks { fraction })).expect("a model");
            let file = dense.masks.expect("masks");
            let lists = keep_lists(&file);
            let expected = compiled(&zeros.onnx, None);
            let hidden = expected.report.compiled.hidden_units;
            assert!(hidden < expected.report.imported.hidden_units, "{name}: {hidden}");
            let matrices = Masks::from_bytes(&file).expect("masks");
            let ways = [
                ("matrices", matrices),
                ("packed matrices", packed_matrices(&file)),
                ("bits", as_bits(&lists)),
                ("indices", as_indices(&lists)),
                ("packed indices", packed_lists(&lists)),
            ];
            for (way, masks) in ways {
                let got = compiled(&dense.onnx, Some(&masks));
                assert_eq!(got.report.kept, expected.report.kept, "{name}, {way}");
                assert!(got.artifact == expected.artifact, "{name}, {way}: other bytes");
                let report = got.report.masks.expect("a report");
                assert!(report.masks.iter().all(|mask| mask.matched == Match::Path), "{name}, {way}");
                assert!(report.masks.iter().any(|mask| mask.zeroed > 0), "{name}, {way}");
            }
        }
    }
}

#[test]
fn hidden_units_of_an_mlp() {
    let model = generate(&config(Form::Monolithic, Projection::HeadPost, Pruning::None)).expect("a model");
    let keep: Vec<bool> = (0..16).map(|unit| unit % 3 != 1).collect();
    let lists = BTreeMap::from([("blocks.1.mlp.fc1.keep".to_owned(), keep.clone())]);
    let by_list = compiled(&model.onnx, Some(&as_indices(&lists)));
    let matrix = |rows: usize, cols: usize, kept: &dyn Fn(usize, usize) -> bool| {
        let data: Vec<u8> = (0..rows * cols).map(|i| u8::from(kept(i / cols, i % cols))).collect();
        npy("|u1", &format!("({rows}, {cols})"), &data)
    };
    let by_matrices = compiled(
        &model.onnx,
        Some(&npz(&[
            ("blocks.1.mlp.fc1.weight".into(), matrix(16, 12, &|row, _| keep[row])),
            ("blocks.1.mlp.fc2.weight".into(), matrix(12, 16, &|_, col| keep[col])),
        ])),
    );
    let dense = compiled(&model.onnx, None);
    assert!(by_list.artifact == by_matrices.artifact);
    // 5 units of 12 + 12 weights and a bias, for each of 5 tokens.
    assert!(by_list.report.totals.multiply_adds < dense.report.totals.multiply_adds);
}

/// Four tokens of two heads of three channels: one `Linear(3, 2)` for each head's channels, then one for all.
fn one_matrix_for_all_heads(weight: [f32; 6]) -> Vec<u8> {
    let floats = |name: &str, dims: &[i64], data: &[f32]| TensorProto {
        name: name.into(),
        data_type: DataType::Float as i32,
        dims: dims.to_vec(),
        float_data: data.to_vec(),
        ..Default::default()
    };
    let shape = |name: &str, dims: [i64; 4], len: usize| TensorProto {
        name: name.into(),
        data_type: DataType::Int64 as i32,
        dims: vec![len as i64],
        int64_data: dims[..len].to_vec(),
        ..Default::default()
    };
    let node = |name: &str, op: &str, inputs: [&str; 2], output: &str| NodeProto {
        name: name.into(),
        op_type: op.into(),
        input: inputs.map(String::from).to_vec(),
        output: vec![output.into()],
        ..Default::default()
    };
    let value = |name: &str, dims: &[i64]| {
        let dim = |d: &i64| Dimension { value: Some(Value::DimValue(*d)), ..Default::default() };
        let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
        let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
        let of_type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
        ValueInfoProto { name: name.into(), r#type: Some(of_type), ..Default::default() }
    };
    let graph = GraphProto {
        input: vec![value("x", &[1, 4, 6])],
        output: vec![value("y", &[1, 4, 2])],
        initializer: vec![
            shape("split", [1, 4, 2, 3], 4),
            shape("join", [1, 4, 4, 0], 3),
            floats("onnx::MatMul_9", &[3, 2], &weight),
            floats("onnx::MatMul_10", &[4, 2], &[0.5, -1.0, 2.0, 0.25, 1.0, 1.5, -0.5, 3.0]),
        ],
        node: vec![
            node("/attn/Reshape", "Reshape", ["x", "split"], "heads"),
            node("/attn/head_proj/MatMul", "MatMul", ["heads", "onnx::MatMul_9"], "each"),
            node("/attn/Reshape_1", "Reshape", ["each", "join"], "all"),
            node("/attn/post_proj/MatMul", "MatMul", ["all", "onnx::MatMul_10"], "y"),
        ],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { version: 17, ..Default::default() }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }.encode_to_vec()
}

#[test]
fn one_matrix_for_all_heads_has_one_mask() {
    let dense = one_matrix_for_all_heads([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    // Out × in: output 0 does not read input 1, output 1 not input 2.
    let mask = npy("|u1", "(2, 3)", &[1, 0, 1, 1, 1, 0]);
    let masks = npz(&[("attn.head_proj.weight".into(), mask)]);
    let got = compiled(&dense, Some(&masks));
    let zeros = one_matrix_for_all_heads([1.0, 2.0, 0.0, 4.0, 5.0, 0.0]);
    assert!(got.artifact == compiled(&zeros, None).artifact);
    let report = &got.report.masks.as_ref().expect("a report").masks[0];
    assert_eq!((report.dims.as_slice(), report.masked, report.zeroed), (&[2, 3][..], 2, 2));
    let file = masks.to_safetensors().expect("masks");
    let options = verify::Options { samples: Some(2), layers: false, ..verify::Options::default() };
    let verdict = verify::run(&dense, Some(&file), &got.artifact, &options, &HostRunner::default());
    assert!(verdict.expect("a run").passed, "the judge masks the one matrix too");
    let unmasked = verify::run(&dense, None, &got.artifact, &options, &HostRunner::default());
    assert!(!unmasked.expect("a run").passed);
}
