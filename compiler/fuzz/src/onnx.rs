//! ONNX models.

use far_engine::{Model, Session, SessionOptions};
use farc::ir::verify;
use farc::onnx::{ImportOptions, import, inspect};
use farc::precision::DtypeOptions;
use farc::{Options, compile};

use super::protobuf;

/// Small enough that every case is quick.
fn limits() -> ImportOptions {
    ImportOptions { max_bytes: 64 << 10, max_nodes: 512, max_elements: 1 << 14, ..ImportOptions::default() }
}

/// The same for models that leave sizes open.
fn open_limits() -> ImportOptions {
    ImportOptions { max_tokens: Some(5), ..limits() }
}

/// Imports a model; where it is one, compiles it, and proves and loads the artifact. Whether it was imported.
pub fn check(model: &[u8]) -> bool {
    let mut import_options = limits();
    let mut graph = import(model, &import_options);
    if graph.as_ref().is_err_and(|error| error.what.contains("no fixed size")) {
        import_options = open_limits();
        graph = import(model, &import_options);
    }
    // It is told of, whether it can be imported or not.
    let told = inspect(model, &import_options);
    let Ok(graph) = graph else { return false };
    assert!(told.is_ok(), "it is imported, and can't be inspected: {told:?}");
    verify(&graph).expect("what is imported keeps the rules");
    let target = farc::target::find(std::env::consts::ARCH).expect("the host is a target");
    let options = Options { import: import_options, dtype: DtypeOptions::default(), ..Options::default() };
    // It may be refused, by an error: as too large, for example.
    if let Ok(compiled) = compile(model, None, &target, &options) {
        let model = Model::from_bytes(&compiled.artifact).expect("what farc writes is proved");
        let options = SessionOptions { threads: 1, ..SessionOptions::default() };
        Session::new(model, &options).expect("what farc writes has a session");
    }
    true
}

/// Another model, made of this one.
pub fn mutate(data: &[u8], most: usize, seed: u64) -> Vec<u8> {
    protobuf::mutate(data, most, seed)
}
