//! Names in a mask file → parameters of a graph. Exporters rename initializers, but keep the modules' paths in the names
//! of nodes or of other parameters, from which the importer names its nodes. May import: `ir`, `error`, `parameter`,
//! `units`.

use super::Match;
use super::parameter::{Kind, Model, Parameter};
use super::units::Layer;
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Op, ValueId};

/// What the last part of a name says.
struct Leaf {
    /// Last part of the parameter's name; of a keep-list, that of the matrix that makes the units.
    parameter: &'static str,
    keep: bool,
}

/// By the last part of the names in a file.
const LEAVES: [(&str, Leaf); 8] = [
    ("weight", Leaf { parameter: "weight", keep: false }),
    ("weight_ih_l0", Leaf { parameter: "weight_ih_l0", keep: false }),
    ("weight_hh_l0", Leaf { parameter: "weight_hh_l0", keep: false }),
    ("weight_ih_l0_reverse", Leaf { parameter: "weight_ih_l0_reverse", keep: false }),
    ("weight_hh_l0_reverse", Leaf { parameter: "weight_hh_l0_reverse", keep: false }),
    ("keep", Leaf { parameter: "weight", keep: true }),
    ("keep_l0", Leaf { parameter: "weight_ih_l0", keep: true }),
    ("keep_l0_reverse", Leaf { parameter: "weight_ih_l0_reverse", keep: true }),
];

/// Where an entry goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) parameter: Parameter,
    pub(super) matched: Match,
    /// Whether the entry is named as a keep-list.
    pub(super) keep: bool,
}

/// Finds the parameter that a name in a mask file means.
///
/// # Errors
///
/// `BadMask` if there is none, or more than one.
pub(super) fn find(model: Model<'_>, parameters: &[Parameter], name: &str) -> Result<Found> {
    let (module, last) = name.rsplit_once('.').unwrap_or(("", name));
    let Some((_, leaf)) = LEAVES.iter().find(|(known, _)| *known == last) else {
        return Err(unknown(model, parameters, name));
    };
    let candidates = || parameters.iter().copied().filter(|p| model.leaf(*p) == leaf.parameter);
    let path = |parameter: Parameter| model.node(parameter).name.as_str();
    let by_path: Vec<_> = candidates().filter(|p| path(*p) == module).collect();
    let by_end = || candidates().filter(|p| is_end(path(*p), module) || is_end(module, path(*p)));
    let by_neighbours = || candidates().filter(|p| is_between(model, *p, module));
    let choices = [
        (Match::Path, by_path),
        // PyTorch has no LSTM that runs in reverse only: such a node may go by either name.
        (Match::Path, single_direction(model, parameters, module, leaf)),
        (Match::PathEnd, by_end().collect()),
        (Match::Neighbours, by_neighbours().collect()),
    ];
    for (matched, found) in choices {
        match found[..] {
            [] => {}
            [parameter] if model.operand_columns(parameter).is_none() => {
                return Err(bad(name, "a mask of a parameter whose columns were added up on import".into())
                    .hint("the model reads one channel twice; prune it before the export"));
            }
            [parameter, ref others @ ..] if others.iter().all(|other| model.is_shared(parameter, *other)) => {
                return Ok(Found { parameter, matched, keep: leaf.keep });
            }
            _ => return Err(ambiguous(model, name, &found)),
        }
    }
    Err(unknown(model, parameters, name))
}

/// Whether a path is the end of a longer one.
fn is_end(long: &str, short: &str) -> bool {
    !short.is_empty() && long.strip_suffix(short).is_some_and(|front| front.ends_with('.'))
}

/// The parameter of a module that has one direction only, whatever that is called.
fn single_direction(model: Model<'_>, parameters: &[Parameter], module: &str, leaf: &Leaf) -> Vec<Parameter> {
    let stem = leaf.parameter.trim_end_matches("_reverse");
    let lstm = |p: &&Parameter| p.kind != Kind::Linear && model.node(**p).name == module;
    let found: Vec<_> =
        parameters.iter().filter(lstm).filter(|p| model.leaf(**p).starts_with(stem)).copied().collect();
    if found.len() == 1 { found } else { Vec::new() }
}

/// Whether the parameter belongs to an LSTM without a path, one of whose neighbours has the module's parent.
fn is_between(model: Model<'_>, parameter: Parameter, module: &str) -> bool {
    let Some((parent, _)) = module.rsplit_once('.') else { return false };
    let node = model.node(parameter);
    if parameter.kind == Kind::Linear || node.name.contains('.') {
        return false;
    }
    let before = linear_before(model, node.inputs[0]);
    let after = Layer::of(model, parameter).map(|layer| layer.readers).unwrap_or_default();
    let mut neighbours = after.iter().map(|reader| reader.parameter.node).chain(before);
    neighbours.any(|neighbour| {
        let name = &model.graph.nodes[neighbour].name;
        name.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The product that makes a value, looking through slices and reversals.
fn linear_before(model: Model<'_>, value: ValueId) -> Option<usize> {
    let producer = model.graph.producer(value)?;
    let node = &model.graph.nodes[producer];
    match node.op {
        Op::Linear(_) => Some(producer),
        Op::SliceCols { .. } | Op::SliceRows { .. } | Op::ReverseRows => linear_before(model, node.inputs[0]),
        _ => None,
    }
}

fn bad(name: &str, what: String) -> Error {
    Error::new(ErrorKind::BadMask, what).at_node(name)
}

fn ambiguous(model: Model<'_>, name: &str, found: &[Parameter]) -> Error {
    let names: Vec<_> = found.iter().take(3).map(|p| format!("`{}`", model.name(*p))).collect();
    let same = names.windows(2).all(|pair| pair[0] == pair[1]);
    bad(name, format!("a mask fits several parameters: {}", names.join(", ")))
        .expected("`1`")
        .got(format!("`{}`", found.len()))
        .hint(match same {
            true => "modules that run more than once can't be pruned by name",
            false => "name the mask by the whole path",
        })
}

fn unknown(model: Model<'_>, parameters: &[Parameter], name: &str) -> Error {
    let known = parameters.iter().map(|p| model.name(*p));
    let keeps = LEAVES.iter().filter(|(_, leaf)| leaf.keep).flat_map(|(last, leaf)| {
        let own = parameters.iter().filter(|p| model.leaf(**p) == leaf.parameter);
        own.map(move |p| format!("{}.{last}", model.node(*p).name))
    });
    let likeness = |known: &String| strsim::normalized_levenshtein(known, name);
    let near = known.chain(keeps).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let error = bad(name, format!("a mask fits no parameter: the model has no `{name}`"));
    match near {
        Some(near) => error.hint(format!("the nearest name is `{near}`")),
        None => error.hint("the model has no parameters that can be masked"),
    }
}
