//! Targets' YAML.

use farc::cost::CostModel;
use farc::target::from_yaml;

use super::words;

/// Reads a target, and asks what the compiler asks of it. Whether it was read.
pub fn check(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let Ok(target) = from_yaml(text) else { return false };
    assert!(target.requires().missing_from(target.has()) == far_format::cpu::Features::NONE);
    assert!(target.peak_fma_per_second() > 0.0);
    let costs = CostModel::of(&target);
    let _ = (
        costs.block(7, 65, 33),
        costs.recurrence(197, 64),
        costs.attention(197, 192, 3),
        costs.moved(1 << 20),
    );
    true
}

/// Another target, made of this one.
pub fn mutate(data: &[u8], most: usize, seed: u64) -> Vec<u8> {
    words::mutate(data, most, seed)
}
