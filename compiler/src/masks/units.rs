//! Hidden units that can be pruned, of an LSTM's direction or of a product: the rows that make one and the columns that
//! read it. May import: `ir`, `error`, `parameter`.

use std::collections::BTreeMap;

use super::parameter::{Cross, Kind, Model, Parameter};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Graph, Op, ValueId};

/// Hidden units that stand together.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// The matrix whose rows make the units; of an LSTM W.
    pub(crate) own: Parameter,
    /// R of an LSTM: its rows make the units too, and its columns read them.
    pub(crate) recurrent: Option<Parameter>,
    /// Number of units.
    pub(crate) len: usize,
    /// What reads them, besides R.
    pub(crate) readers: Vec<Reader>,
    /// Whether an activation stands between them and what reads them.
    pub(crate) activated: bool,
}

/// A matrix that reads hidden units.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) parameter: Parameter,
    /// For each of its columns, the hidden unit that it is multiplied by.
    pub(crate) columns: Vec<Option<usize>>,
}

impl Layer {
    /// The hidden units whose matrix is `own`: W of an LSTM or the matrix of a `Linear`.
    ///
    /// # Errors
    ///
    /// `BadMask` if something other than a product with constants reads them: then they can't be removed.
    pub(crate) fn of(model: Model<'_>, own: Parameter) -> Result<Self> {
        let node = model.node(own);
        let (recurrent, first, len) = match (&node.op, own.kind) {
            (Op::MultiHeadLstm(lstm), Kind::Input(unit) | Kind::Recurrent(unit)) => {
                let recurrent = Parameter { node: own.node, kind: Kind::Recurrent(unit) };
                (Some(recurrent), lstm.units[unit].output, lstm.units[unit].hidden)
            }
            _ => (None, 0, model.dims(own)[0]),
        };
        let width = model.graph.dims(node.output)[1];
        // One matrix for several groups of channels makes the same units of each.
        let made = if model.repeated(own).is_some() { width } else { len };
        let mut columns = vec![None; width];
        for column in 0..made {
            columns[first + column] = Some(column % len);
        }
        let mut layer = Self { own, recurrent, len, readers: Vec::new(), activated: false };
        layer.trace(model, node.output, columns)?;
        Ok(layer)
    }

    /// Follows columns of a value to all that reads them.
    fn trace(&mut self, model: Model<'_>, value: ValueId, columns: Vec<Option<usize>>) -> Result<()> {
        let graph = model.graph;
        let mut traced = BTreeMap::from([(value, columns)]);
        for (index, node) in graph.nodes.iter().enumerate() {
            if !node.inputs.iter().any(|input| traced.contains_key(input)) {
                continue;
            }
            let operand = traced.get(&node.inputs[0]);
            let alone = operand.is_some() && !node.inputs[1..].iter().any(|input| traced.contains_key(input));
            let moved = match (&node.op, operand) {
                (Op::ConcatCols, _) => concatenated(graph, &traced, &node.inputs),
                (Op::SliceCols { start, len }, Some(columns)) => columns[*start..start + len].to_vec(),
                (Op::SliceRows { .. } | Op::ReverseRows, Some(columns)) => columns.clone(),
                (Op::Activation(_), Some(columns)) => {
                    self.activated = true;
                    columns.clone()
                }
                (Op::Linear(_), Some(columns)) if alone => {
                    self.read(model, Parameter { node: index, kind: Kind::Linear }, columns)?;
                    continue;
                }
                (Op::MultiHeadLstm(lstm), Some(columns)) => {
                    for unit in 0..lstm.units.len() {
                        self.read(model, Parameter { node: index, kind: Kind::Input(unit) }, columns)?;
                    }
                    continue;
                }
                _ => return Err(self.pinned(model, &node.name)),
            };
            if moved.iter().any(Option::is_some) {
                traced.insert(node.output, moved);
            }
        }
        match graph.outputs.iter().find(|port| traced.contains_key(&port.value)) {
            Some(port) => Err(self.pinned(model, &port.name)),
            None => Ok(()),
        }
    }

    fn read(&mut self, model: Model<'_>, parameter: Parameter, units: &[Option<usize>]) -> Result<()> {
        let Some(places) = model.operand_columns(parameter) else {
            return Err(self.pinned(model, &model.node(parameter).name));
        };
        let mut columns = vec![None; model.dims(parameter)[1]];
        for (place, unit) in places.iter().zip(units) {
            if let Some(place) = place {
                columns[*place] = *unit;
            }
        }
        if columns.iter().any(Option::is_some) {
            self.readers.push(Reader { parameter, columns });
        }
        Ok(())
    }

    fn pinned(&self, model: Model<'_>, reader: &str) -> Error {
        Error::new(ErrorKind::BadMask, "hidden units that can't be removed")
            .at_node(&model.node(self.own).name)
            .expected("products with constants read them")
            .got(format!("`{reader}` reads them"))
            .hint("give masks of the single weights instead")
    }

    /// The matrices whose rows make the units.
    pub(crate) fn makers(&self) -> impl Iterator<Item = Parameter> {
        [Some(self.own), self.recurrent].into_iter().flatten()
    }

    /// Adds to `crosses` what goes with the units that are not kept.
    pub(crate) fn prune(&self, model: Model<'_>, keep: &[bool], crosses: &mut BTreeMap<Parameter, Cross>) {
        for maker in self.makers() {
            let rows = &mut model.cross(crosses, maker).rows;
            rows.iter_mut().enumerate().for_each(|(row, kept)| *kept &= keep[row % self.len]);
        }
        if let Some(recurrent) = self.recurrent {
            let cols = &mut model.cross(crosses, recurrent).cols;
            cols.iter_mut().zip(keep).for_each(|(kept, keep)| *kept &= keep);
        }
        for reader in &self.readers {
            let cols = model.cross(crosses, reader.parameter).cols.iter_mut();
            cols.zip(&reader.columns).for_each(|(kept, unit)| *kept &= unit.is_none_or(|unit| keep[unit]));
        }
    }
}

impl Model<'_> {
    /// What is kept of a parameter so far.
    fn cross<'a>(&self, crosses: &'a mut BTreeMap<Parameter, Cross>, parameter: Parameter) -> &'a mut Cross {
        let [rows, cols] = self.dims(parameter);
        let all = || Cross { rows: vec![true; rows], cols: vec![true; cols] };
        crosses.entry(parameter).or_insert_with(all)
    }
}

fn concatenated(
    graph: &Graph,
    traced: &BTreeMap<ValueId, Vec<Option<usize>>>,
    inputs: &[ValueId],
) -> Vec<Option<usize>> {
    let columns = |input: &ValueId| match traced.get(input) {
        Some(columns) => columns.clone(),
        None => vec![None; graph.dims(*input)[1]],
    };
    inputs.iter().flat_map(columns).collect()
}
