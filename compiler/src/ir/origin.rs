//! How the importer laid out parameters: what is needed to find them again by the names and places that they have in
//! the framework they were trained with. True for a graph fresh from the import; passes don't keep it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ValueId;

/// Where parameters are from, and differ from their form in the framework, by the output of the node that reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    origins: BTreeMap<ValueId, Origin>,
}

/// Origin of one parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// For each input channel of the parameter, the column of the constant where it stands; `None` where that is the
    /// same. Columns that are not named hold zeros.
    pub columns: Option<Vec<usize>>,
    /// The constant of the source model that it was made from. Nodes that share one share the parameter.
    pub initializer: Option<Arc<str>>,
    /// Whether the LSTM ran over reversed tokens, so that its direction here is the opposite.
    pub flipped: bool,
}

impl Origins {
    /// Notes one, if there is anything to note.
    pub fn insert(&mut self, output: ValueId, origin: Origin) {
        if origin != Origin::default() {
            self.origins.insert(output, origin);
        }
    }

    /// The one of the node with this output.
    pub fn get(&self, output: ValueId) -> Option<&Origin> {
        self.origins.get(&output)
    }
}
