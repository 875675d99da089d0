//! Graphs as text.

use farc::cost::CostModel;
use farc::ir::text::{Detail, parse, print};
use farc::ir::verify;
use farc::passes::{self, PassOptions, Report};
use farc::precision::DtypeOptions;
use farc::schedule;

use super::words;

/// Most elements of one value of graphs that are transformed: larger ones would only be slow.
const MOST: usize = 1 << 12;

/// Reads a graph; a sound one is printed and read again, and goes through passes and schedule. Whether it is one.
pub fn check(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let Ok(graph) = parse(text) else { return false };
    if verify(&graph).is_err() {
        return false;
    }
    let printed = print(&graph, Detail::Full);
    let again = parse(&printed).expect("what is printed can be read");
    assert_eq!(print(&again, Detail::Full), printed, "what is read is printed otherwise");
    let small = (0..graph.values.len()).all(|value| {
        let [rows, cols] = graph.dims(farc::ir::ValueId(value as u32));
        rows.checked_mul(cols).is_some_and(|elements| elements <= MOST)
    });
    if small && graph.batch.most <= 4 {
        let target = farc::target::find("x86_64").expect("a known target");
        let mut graph = graph;
        let costs = CostModel::of(&target);
        passes::run(&mut graph, &costs, &PassOptions::default(), &mut Report::default())
            .unwrap_or_else(|error| panic!("a sound graph can't be transformed: {error} {error:?}"));
        // A schedule may refuse it.
        let _ = schedule::plan(&graph, &target, &DtypeOptions::default());
    }
    true
}

/// Another graph, made of this one.
pub fn mutate(data: &[u8], most: usize, seed: u64) -> Vec<u8> {
    words::mutate(data, most, seed)
}
