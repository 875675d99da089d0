//! Masks × graph. May import: `ir`, `error`, the rest of `masks`.

use std::collections::BTreeMap;

use super::find::{Found, find};
use super::parameter::{Cross, Model, Parameter, zero};
use super::units::Layer;
use super::{Applied, Entry, Mask, MaskReport, Masks};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Graph, Origins};

/// An entry of the file, and what it means for this graph.
struct Resolved<'a> {
    found: Found,
    effect: Effect<'a>,
    dims: Vec<usize>,
    masked: usize,
}

enum Effect<'a> {
    Matrix(&'a Mask),
    Units(BTreeMap<Parameter, Cross>),
}

impl Masks {
    /// Zeroes what the masks prune. The graph is as the importer made it: passes that split or merge heads come later.
    ///
    /// # Errors
    ///
    /// `BadMask` if an entry fits no parameter (the hint says which name is near) or several, has another shape, or
    /// fits the same parameter as another entry; the graph is unchanged then.
    pub fn apply(&self, graph: &mut Graph, origins: &Origins) -> Result<MaskReport> {
        let mut resolved = Vec::with_capacity(self.entries.len());
        self.resolve(Model { graph, origins }, |name, entry| resolved.push((name, entry)))?;
        let mut report = MaskReport::default();
        for (name, entry) in resolved {
            let zeroed = match &entry.effect {
                Effect::Matrix(mask) => {
                    let cols = mask.dims[1];
                    let parameter = entry.found.parameter;
                    zero(graph, origins, parameter, |row, col| mask.keep[row * cols + col])
                }
                Effect::Units(crosses) => {
                    crosses.iter().map(|(p, c)| zero_cross(graph, origins, *p, c)).sum()
                }
            };
            report.masks.push(Applied {
                parameter: name.to_owned(),
                node: graph.nodes[entry.found.parameter.node].name.clone(),
                matched: entry.found.matched,
                dims: entry.dims,
                masked: entry.masked,
                zeroed,
            });
        }
        Ok(report)
    }

    /// The same masks as matrices, each named by the graph's own path of the parameter.
    ///
    /// # Errors
    ///
    /// Those of [`Masks::apply`].
    pub fn expanded(&self, graph: &Graph, origins: &Origins) -> Result<Masks> {
        let model = Model { graph, origins };
        let mut masks = Masks::default();
        self.resolve(model, |_, entry| match entry.effect {
            Effect::Matrix(mask) => masks.and(model.name(entry.found.parameter), mask.clone()),
            Effect::Units(crosses) => {
                crosses.iter().for_each(|(p, cross)| masks.and(model.name(*p), cross.mask()))
            }
        })?;
        Ok(masks)
    }

    /// Masks that leave rows and columns of parameters.
    ///
    /// # Errors
    ///
    /// `BadMask` if two parameters of the graph have the name of one of these.
    pub(crate) fn of_crosses(model: Model<'_>, crosses: &BTreeMap<Parameter, Cross>) -> Result<Masks> {
        let parameters = model.parameters();
        let mut masks = Masks::default();
        for (parameter, cross) in crosses {
            let name = model.name(*parameter);
            find(model, &parameters, &name)?;
            masks.and(name, cross.mask());
        }
        Ok(masks)
    }

    /// Keeps of a parameter what this mask keeps too.
    fn and(&mut self, name: String, mask: Mask) {
        match self.entries.entry(name).or_insert_with(|| Entry::Matrix(mask.clone())) {
            Entry::Matrix(old) => {
                old.keep.iter_mut().zip(&mask.keep).for_each(|(old, new)| *old &= new);
            }
            Entry::Bits(_) | Entry::Indices(_) => unreachable!("only matrices are put together"),
        }
    }

    fn resolve<'a>(&'a self, model: Model<'_>, mut then: impl FnMut(&'a str, Resolved<'a>)) -> Result<()> {
        let parameters = model.parameters();
        let mut taken: BTreeMap<(Parameter, bool), &str> = BTreeMap::new();
        let mut all = Vec::with_capacity(self.entries.len());
        for (name, entry) in &self.entries {
            let found = find(model, &parameters, name)?;
            if let Some(other) = taken.insert((found.parameter, found.keep), name) {
                let what = format!("two masks for one parameter: `{other}` and `{name}`");
                return Err(Error::new(ErrorKind::BadMask, what)
                    .at_node(name)
                    .hint(format!("both fit `{}`", model.name(found.parameter))));
            }
            all.push((name, resolved(model, found, entry).map_err(|e| e.at_node(name))?));
        }
        all.into_iter().for_each(|(name, entry)| then(name, entry));
        Ok(())
    }
}

fn resolved<'a>(model: Model<'_>, found: Found, entry: &'a Entry) -> Result<Resolved<'a>> {
    let error = |what: &str| Error::new(ErrorKind::BadMask, what);
    if !found.keep {
        let Entry::Matrix(mask) = entry else {
            return Err(error("a mask of a parameter is a matrix")
                .expected("two dimensions")
                .got("one")
                .hint("keep-lists of hidden units are named `.keep`, `.keep_l0` or `.keep_l0_reverse`"));
        };
        let expected = model.dims(found.parameter);
        if mask.dims != expected {
            let show = |dims: [usize; 2]| format!("`{}x{}`", dims[0], dims[1]);
            return Err(error("a mask of the wrong shape")
                .expected(show(expected))
                .got(show(mask.dims))
                .hint("masks have the shape of the parameter in PyTorch"));
        }
        let masked = mask.keep.iter().filter(|keep| !**keep).count();
        return Ok(Resolved { found, effect: Effect::Matrix(mask), dims: mask.dims.to_vec(), masked });
    }
    let layer = Layer::of(model, found.parameter)?;
    let keep = match entry {
        Entry::Matrix(mask) => {
            return Err(error("a keep-list is a vector")
                .expected("one dimension")
                .got(format!("`{}x{}`", mask.dims[0], mask.dims[1])));
        }
        Entry::Bits(keep) => keep.clone(),
        Entry::Indices(kept) => {
            if let Some(beyond) = kept.last().filter(|last| **last >= layer.len) {
                return Err(error("a keep-list names a hidden unit that isn't there")
                    .expected(format!("below `{}`", layer.len))
                    .got(format!("`{beyond}`")));
            }
            let mut keep = vec![false; layer.len];
            kept.iter().for_each(|unit| keep[*unit] = true);
            keep
        }
    };
    if keep.len() != layer.len {
        return Err(error("a keep-list of the wrong length")
            .expected(format!("`{}`, one for each hidden unit", layer.len))
            .got(format!("`{}`", keep.len()))
            .hint("indices of kept units are i32 or i64; bool, u8 and floats are 0 or 1 for each unit"));
    }
    let mut crosses = BTreeMap::new();
    layer.prune(model, &keep, &mut crosses);
    let masked = keep.iter().filter(|keep| !**keep).count();
    Ok(Resolved { found, effect: Effect::Units(crosses), dims: vec![layer.len], masked })
}

/// Zeroes all of a parameter but a cross; gives the number of new zeros.
pub(crate) fn zero_cross(graph: &mut Graph, origins: &Origins, parameter: Parameter, cross: &Cross) -> usize {
    zero(graph, origins, parameter, |row, col| cross.rows[row] && cross.cols[col])
}

impl Cross {
    /// As a matrix.
    fn mask(&self) -> Mask {
        let keep = self.rows.iter().flat_map(|row| self.cols.iter().map(move |col| *row && *col));
        Mask { dims: [self.rows.len(), self.cols.len()], keep: keep.collect() }
    }
}
