//! Mask files: for each pruned parameter, by its name and with its shape in PyTorch, a full 0/1 matrix of f32.
//! May import: `config`, `weights`.

use std::borrow::Cow;
use std::path::Path;
use std::rc::Rc;

use safetensors::{Dtype, View};

use crate::config::{Error, Form, Projection, Size};
use crate::weights::{Direction, Weights};

/// One mask, made when it is written: an element is 1 where its row and its column live.
struct Mask {
    shape: [usize; 2],
    rows: Vec<bool>,
    cols: Vec<bool>,
}

impl Mask {
    fn new(rows: Vec<bool>, cols: Vec<bool>) -> Self {
        Self { shape: [rows.len(), cols.len()], rows, cols }
    }
}

impl View for Mask {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let cells = self.rows.iter().flat_map(|&row| self.cols.iter().map(move |&col| row && col));
        Cow::Owned(cells.flat_map(|live| f32::from(u8::from(live)).to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        4 * self.rows.len() * self.cols.len()
    }
}

pub(crate) fn serialize(weights: &Rc<Weights>) -> Result<Vec<u8>, Error> {
    Ok(safetensors::serialize(masks(weights), None)?)
}

pub(crate) fn write(weights: &Rc<Weights>, path: &Path) -> Result<(), Error> {
    Ok(safetensors::serialize_to_file(masks(weights), None, path)?)
}

fn masks(weights: &Weights) -> Vec<(String, Mask)> {
    let config = &weights.config;
    let Size { heads, width, depth, .. } = config.size;
    let all: Vec<usize> = (0..heads).collect();
    let mut masks = Vec::new();
    for block in (0..depth).filter(|&block| config.is_replaced(block)) {
        let attn = format!("blocks.{block}.attn");
        match config.form {
            Form::Attention => {}
            Form::Monolithic => lstm(&mut masks, weights, block, &format!("{attn}.lstm"), &all),
            Form::Parallel => {
                for head in 0..heads {
                    lstm(&mut masks, weights, block, &format!("{attn}.l.{head}"), &[head]);
                }
            }
        }
        match (config.projection, config.form) {
            (Projection::Single, _) => {
                let mask = projection(weights, block, &all, width);
                masks.push((format!("{attn}.proj.weight"), mask));
            }
            (Projection::HeadPost, Form::Parallel) => {
                for head in 0..heads {
                    let mask = projection(weights, block, &[head], config.size.hidden);
                    masks.push((format!("{attn}.hp.{head}.weight"), mask));
                }
            }
            (Projection::HeadPost, _) => {
                let mask = projection(weights, block, &all, heads * config.size.hidden);
                masks.push((format!("{attn}.head_proj.weight"), mask));
            }
        }
    }
    masks
}

/// The masks of one LSTM module: a dead unit's four gate rows, and its column in the recurrent weights.
fn lstm(masks: &mut Vec<(String, Mask)>, weights: &Weights, block: usize, module: &str, heads: &[usize]) {
    let inputs = heads.len() * weights.config.size.head_width();
    for direction in Direction::BOTH {
        let live = live(weights, block, heads, direction);
        let rows = live.repeat(4);
        let suffix = match direction {
            Direction::Forward => "",
            Direction::Reverse => "_reverse",
        };
        masks.push((format!("{module}.weight_ih_l0{suffix}"), Mask::new(rows.clone(), vec![true; inputs])));
        masks.push((format!("{module}.weight_hh_l0{suffix}"), Mask::new(rows, live)));
    }
}

/// The mask of what follows: a dead unit's column.
fn projection(weights: &Weights, block: usize, heads: &[usize], outputs: usize) -> Mask {
    let cols = Direction::BOTH.iter().flat_map(|&direction| live(weights, block, heads, direction)).collect();
    Mask::new(vec![true; outputs], cols)
}

/// Whether each unit of some heads in one direction lives.
fn live(weights: &Weights, block: usize, heads: &[usize], direction: Direction) -> Vec<bool> {
    let of_head = |&head: &usize| {
        let live = weights.live(block, head, direction);
        (0..weights.config.size.hidden).map(move |unit| live.contains(&unit))
    };
    heads.iter().flat_map(of_head).collect()
}
