//! The numbers of a model. They depend on the seed, the sizes and a parameter's place in the model, never on the form:
//! each form arranges the same blocks. Gates stand in ONNX's order i, o, f, c. May import: `config`, `rng`.

use crate::config::{Config, Error, Pruning, Size, kept_units};
use crate::rng::Rng;

/// Which way time runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Reverse,
}

impl Direction {
    pub(crate) const BOTH: [Self; 2] = [Self::Forward, Self::Reverse];

    /// ONNX's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Reverse => "reverse",
        }
    }
}

/// A row-major matrix.
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) data: Vec<f32>,
}

impl Matrix {
    pub(crate) fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols] }
    }

    /// Copies `block` to the place whose first element is `(row, col)`.
    pub(crate) fn place(&mut self, row: usize, col: usize, block: &Self) {
        for (i, line) in block.data.chunks_exact(block.cols).enumerate() {
            let start = (row + i) * self.cols + col;
            self.data[start..start + block.cols].copy_from_slice(line);
        }
    }

    fn row_range(&self, row: usize, count: usize) -> Self {
        let data = self.data[row * self.cols..(row + count) * self.cols].to_vec();
        Self { rows: count, cols: self.cols, data }
    }

    fn transposed(&self) -> Self {
        let mut out = Self::zeros(self.cols, self.rows);
        for (i, line) in self.data.chunks_exact(self.cols).enumerate() {
            for (j, &value) in line.iter().enumerate() {
                out.data[j * self.rows + i] = value;
            }
        }
        out
    }
}

/// All parameters of a model, made on demand.
pub(crate) struct Weights {
    pub(crate) config: Config,
    /// Live units by block, head and direction, ascending.
    live: Vec<Vec<[Vec<usize>; 2]>>,
}

impl Weights {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        config.validate()?;
        let Size { hidden, heads, depth, .. } = config.size;
        let choose = |block, head, direction: Direction| {
            let name = format!("live.{block}.{head}.{}", direction.name());
            let mut rng = Rng::new(config.seed, &name);
            let count = kept_units(config.pruning.fraction(), rng.unit(), hidden);
            rng.choose(count, hidden)
        };
        let live = (0..depth)
            .map(|b| (0..heads).map(|h| Direction::BOTH.map(|direction| choose(b, h, direction))).collect())
            .collect();
        Ok(Self { config: config.clone(), live })
    }

    pub(crate) fn live(&self, block: usize, head: usize, direction: Direction) -> &[usize] {
        &self.live[block][head][direction as usize]
    }

    /// Hidden units of one head and direction as the model's file holds them.
    pub(crate) fn stored(&self, block: usize, head: usize, direction: Direction) -> usize {
        match self.config.pruning {
            Pruning::Ragged { .. } => self.live(block, head, direction).len(),
            _ => self.config.size.hidden,
        }
    }

    /// `len` numbers around `mean`.
    pub(crate) fn vector(&self, name: &str, len: usize, mean: f32, std: f64) -> Vec<f32> {
        let mut rng = Rng::new(self.config.seed, name);
        (0..len).map(|_| mean + rng.normal(std)).collect()
    }

    /// `inputs × outputs`, scaled so that inputs of variance 1 give outputs of variance `gain²`.
    pub(crate) fn linear(&self, name: &str, inputs: usize, outputs: usize, gain: f64) -> Matrix {
        let data = self.vector(name, inputs * outputs, 0.0, gain / (inputs as f64).sqrt());
        Matrix { rows: inputs, cols: outputs, data }
    }

    /// Input weights of one head and direction: `4H × d`.
    pub(crate) fn lstm_w(&self, block: usize, head: usize, direction: Direction) -> Matrix {
        let w = self.lstm("w", block, head, direction, self.config.size.head_width());
        self.prune_gates(&w, self.live(block, head, direction))
    }

    /// Recurrent weights of one head and direction: `4H × H`.
    pub(crate) fn lstm_r(&self, block: usize, head: usize, direction: Direction) -> Matrix {
        let live = self.live(block, head, direction);
        let r = self.prune_gates(&self.lstm("r", block, head, direction, self.config.size.hidden), live);
        self.prune(&r.transposed(), live).transposed()
    }

    /// Biases of one head and direction, `4H` of the input and `4H` of the recurrence. Dead units keep theirs.
    pub(crate) fn lstm_bias(&self, block: usize, head: usize, direction: Direction) -> [Vec<f32>; 2] {
        ["wb", "rb"].map(|which| {
            let bias = self.lstm(which, block, head, direction, 1);
            match self.config.pruning {
                Pruning::Ragged { .. } => self.prune_gates(&bias, self.live(block, head, direction)).data,
                _ => bias.data,
            }
        })
    }

    /// `4H × cols` of PyTorch's initial distribution, uniform within ±1/√H.
    fn lstm(&self, which: &str, block: usize, head: usize, direction: Direction, cols: usize) -> Matrix {
        let hidden = self.config.size.hidden;
        let name = format!("blocks.{block}.attn.lstm.{head}.{}.{which}", direction.name());
        let mut rng = Rng::new(self.config.seed, &name);
        let bound = 1.0 / (hidden as f64).sqrt();
        let data = (0..4 * hidden * cols).map(|_| rng.uniform(bound)).collect();
        Matrix { rows: 4 * hidden, cols, data }
    }

    /// One head's part of `head_proj`: `2H × H`, the forward units' rows first.
    pub(crate) fn head_proj(&self, block: usize, head: usize) -> Matrix {
        let hidden = self.config.size.hidden;
        let name = format!("blocks.{block}.attn.head_proj.{head}.weight");
        let dense = self.linear(&name, 2 * hidden, hidden, 2.0);
        let parts = Direction::BOTH.map(|direction| {
            self.prune(
                &dense.row_range(direction as usize * hidden, hidden),
                self.live(block, head, direction),
            )
        });
        stack(&parts, hidden)
    }

    /// The older form's `proj`: `2·n·H × D`, the rows of all forward units first.
    pub(crate) fn single_proj(&self, block: usize) -> Matrix {
        let Size { hidden, heads, width, .. } = self.config.size;
        let dense = self.linear(&format!("blocks.{block}.attn.proj.weight"), 2 * heads * hidden, width, 2.0);
        let mut parts = Vec::new();
        for direction in Direction::BOTH {
            for head in 0..heads {
                let row = (direction as usize * heads + head) * hidden;
                parts.push(self.prune(&dense.row_range(row, hidden), self.live(block, head, direction)));
            }
        }
        stack(&parts, width)
    }

    /// A unit's row in each of the four gates.
    fn prune_gates(&self, matrix: &Matrix, live: &[usize]) -> Matrix {
        let hidden = matrix.rows / 4;
        let gates: Vec<Matrix> =
            (0..4).map(|gate| self.prune(&matrix.row_range(gate * hidden, hidden), live)).collect();
        stack(&gates, matrix.cols)
    }

    /// One row a unit: zeroes or removes the dead ones, as the pruning says.
    fn prune(&self, matrix: &Matrix, live: &[usize]) -> Matrix {
        match self.config.pruning {
            Pruning::None | Pruning::Masks { .. } => matrix.row_range(0, matrix.rows),
            Pruning::Zeros { .. } => {
                let mut out = Matrix::zeros(matrix.rows, matrix.cols);
                for &row in live {
                    out.place(row, 0, &matrix.row_range(row, 1));
                }
                out
            }
            Pruning::Ragged { .. } => {
                let rows: Vec<Matrix> = live.iter().map(|&row| matrix.row_range(row, 1)).collect();
                stack(&rows, matrix.cols)
            }
        }
    }
}

/// Matrices of `cols` columns one below the other.
fn stack(parts: &[Matrix], cols: usize) -> Matrix {
    let data: Vec<f32> = parts.iter().flat_map(|part| &part.data).copied().collect();
    Matrix { rows: parts.iter().map(|part| part.rows).sum(), cols, data }
}
