//! The path of the module that a node came from, e.g. `blocks.0.attn.pre_proj`. May import: `node`, `recognise`, `tensor`.

use super::node::Node;
use super::recognise::Tensor;

/// A module's path, or what stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModulePath {
    pub(super) text: String,
    /// Whether neither the node's scope nor a parameter told it.
    pub(super) guessed: bool,
}

/// Exporters keep the path in the node's name (`/blocks.0/attn/pre_proj/MatMul`), or in the names of parameters
/// (`blocks.0.attn.pre_proj.weight`), or not at all.
pub(super) fn module_path(node: &Node, inputs: &[Option<Tensor>]) -> ModulePath {
    let known = |text| ModulePath { text, guessed: false };
    if let Some(path) = scope(node.name()) {
        return known(path);
    }
    let constants = inputs.iter().flatten().filter_map(Tensor::constant);
    if let Some(path) = constants.filter_map(|c| c.origin.as_deref()).find_map(of_parameter) {
        return known(path.to_owned());
    }
    let text = node.name().trim_matches('/').replace('/', ".");
    ModulePath { text: if text.is_empty() { node.op().to_lowercase() } else { text }, guessed: true }
}

/// `/blocks.0/attn/MatMul_1` → `blocks.0.attn`. A module of a list is named with its list: `/blocks/blocks.0/…`.
fn scope(name: &str) -> Option<String> {
    let (modules, _) = name.strip_prefix('/')?.rsplit_once('/')?;
    let mut path: Vec<&str> = Vec::new();
    for module in modules.split('/') {
        let inside = |list: &&str| module.strip_prefix(*list).is_some_and(|rest| rest.starts_with('.'));
        path.pop_if(|list| inside(&&**list));
        path.push(module);
    }
    Some(path.join("."))
}

/// `blocks.0.attn.pre_proj.weight` → `blocks.0.attn.pre_proj`. Names that exporters make up are no paths.
pub(super) fn of_parameter(name: &str) -> Option<&str> {
    let (module, _) = name.rsplit_once('.')?;
    (!module.is_empty() && !name.contains([':', '/'])).then_some(module)
}
