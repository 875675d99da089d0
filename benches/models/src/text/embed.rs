//! Ids to tokens: the sum of three tables' rows, normalised. May import: the rest of `text`, `graph`, `model`.

use std::rc::Rc;

use super::{Builder, PositionIds, Types};
use crate::graph::{index, int};
use crate::model::layer_norm;

impl Builder<'_> {
    /// `batch × tokens × width`.
    pub(super) fn embed(&mut self) -> String {
        let word = self.table("word_embeddings", self.config.vocabulary);
        let mut x = self.look_up("word_embeddings", &word, "input_ids");
        if let Some(types) = self.type_ids() {
            let table = self.table("token_type_embeddings", 2);
            let rows = self.look_up("token_type_embeddings", &table, &types);
            x = self.graph.node("embeddings", "Add", &[&x, &rows], vec![]);
        }
        let positions = self.positions();
        let table = self.table("position_embeddings", self.config.positions);
        let rows = self.look_up("position_embeddings", &table, &positions);
        let x = self.graph.node("embeddings", "Add", &[&x, &rows], vec![]);
        layer_norm(self.weights, self.graph, "embeddings/LayerNorm", &x)
    }

    fn table(&mut self, name: &str, rows: usize) -> String {
        let (name, width) = (format!("embeddings.{name}.weight"), self.config.blocks.size.width);
        let (source, key) = (Rc::clone(self.weights), name.clone());
        self.graph.parameter(name, &[rows, width], move || source.vector(&key, rows * width, 0.0, 0.5))
    }

    fn look_up(&mut self, name: &str, table: &str, ids: &str) -> String {
        self.graph.node(&format!("embeddings/{name}"), "Gather", &[table, ids], vec![int("axis", 0)])
    }

    fn type_ids(&mut self) -> Option<String> {
        match self.config.types {
            Types::None => None,
            Types::Input => Some("token_type_ids".into()),
            Types::Zeros => {
                let buffer = vec![0; self.config.positions];
                let zeros = self.buffer_up_to_length(&buffer);
                let (batch, tokens) = (self.listed("", "input_ids", 0), self.listed("", "input_ids", 1));
                let shape = self.graph.concat("", &[&batch, &tokens], 0);
                Some(self.graph.node("", "Expand", &[&zeros, &shape], vec![]))
            }
        }
    }

    fn positions(&mut self) -> String {
        match self.config.position_ids {
            PositionIds::Buffer => {
                let buffer: Vec<i64> = (0..self.config.positions).map(index).collect();
                self.buffer_up_to_length(&buffer)
            }
            PositionIds::Range => {
                let tokens = self.size("", "input_ids", 1);
                let [start, step] = [0, 1].map(|n| self.graph.constant_i64("", &[], &[n]));
                let range = self.graph.node("", "Range", &[&start, &tokens, &step], vec![]);
                self.graph.with_axes("", "Unsqueeze", &range, &[0], vec![], 13)
            }
        }
    }

    /// `1 × tokens` of a buffer.
    fn buffer_up_to_length(&mut self, buffer: &[i64]) -> String {
        let buffer = self.graph.constant_i64("embeddings", &[1, buffer.len()], buffer);
        let tokens = self.listed("", "input_ids", 1);
        let [start, axis, step] = [0, 1, 1].map(|n| self.graph.constant_i64("embeddings", &[1], &[n]));
        self.graph.node("embeddings", "Slice", &[&buffer, &start, &tokens, &axis, &step], vec![])
    }
}
