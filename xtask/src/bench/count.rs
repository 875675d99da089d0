//! Instructions of one image under QEMU. May import: `board`, `command`, `error`, `platform`, `workspace`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::board::Place;
use crate::command;
use crate::error::{Error, Result};
use crate::platform::Platform;
use crate::workspace::{Workspace, create_dir};

/// The plugin of QEMU that counts, and the program that is counted.
pub(crate) struct Counter<'a> {
    plugin: PathBuf,
    program: &'a Path,
}

/// Executed instructions.
pub(crate) struct Counts {
    /// All of them.
    pub(crate) total: u64,
    /// By the symbol of the function.
    pub(crate) functions: BTreeMap<String, u64>,
    /// How often the instruction at an address was executed, where at all.
    addresses: BTreeMap<u64, u64>,
}

impl<'a> Counter<'a> {
    /// Builds the plugin for this machine.
    pub(crate) fn build(workspace: &Workspace, program: &'a Path) -> Result<Self> {
        let folder = workspace.target.join("bench");
        create_dir(&folder)?;
        let plugin = folder.join("insn.so");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-o"]).arg(&plugin);
        command::run(cc.arg(workspace.root.join("benches/insn/insn.c")))?;
        Ok(Self { plugin, program })
    }

    /// One image costs the count of a run of two images less that of a run of one.
    pub(crate) fn one_image(&self, platform: &Platform, place: &Place, model: &Path) -> Result<Counts> {
        let one = self.run(platform, place, model, 1)?;
        let two = self.run(platform, place, model, 2)?;
        let mut counts = Counts { total: 0, functions: BTreeMap::new(), addresses: BTreeMap::new() };
        for (block, executed) in two {
            let executed = executed.saturating_sub(one.get(&block).copied().unwrap_or(0));
            if executed == 0 {
                continue;
            }
            counts.total += executed * block.insns;
            *counts.functions.entry(block.symbol).or_default() += executed * block.insns;
            // Every address in the block: those inside of an instruction are never asked for.
            for address in (block.start..block.end).step_by(2) {
                *counts.addresses.entry(address).or_default() += executed;
            }
        }
        Ok(counts)
    }

    fn run(
        &self,
        platform: &Platform,
        place: &Place,
        model: &Path,
        images: u32,
    ) -> Result<BTreeMap<Block, u64>> {
        let out = self.plugin.with_extension("tsv");
        let mut qemu = Command::new(platform.qemu());
        qemu.args(["-cpu", &place.qemu, "-plugin"]);
        qemu.arg(format!("{},out={}", self.plugin.display(), out.display()));
        qemu.arg(self.program).arg("bench").arg(model);
        qemu.args(["--warmup", "0", "--threads", "1", "--runs", &images.to_string()]);
        command::stdout(&mut qemu)?;
        let text = std::fs::read_to_string(&out).map_err(Error::io("read", &out))?;
        text.lines()
            .map(|line| {
                parse(line)
                    .ok_or_else(|| Error::Unexpected(format!("the counter of instructions wrote `{line}`")))
            })
            .collect()
    }
}

/// Instructions that QEMU translated in one piece.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Block {
    start: u64,
    end: u64,
    insns: u64,
    symbol: String,
}

/// A line of the plugin.
fn parse(line: &str) -> Option<(Block, u64)> {
    let mut fields = line.split('\t');
    let count = fields.next()?.parse().ok()?;
    let insns = fields.next()?.parse().ok()?;
    let mut address = || u64::from_str_radix(fields.next()?, 16).ok();
    let (start, end) = (address()?, address()?);
    Some((Block { start, end, insns, symbol: fields.next()?.to_owned() }, count))
}

impl Counts {
    /// How often the instruction at an address was executed.
    pub(crate) fn at(&self, address: u64) -> u64 {
        self.addresses.get(&address).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let (block, count) = parse("12\t3\t40a0\t40ac\tmain").unwrap();
        assert_eq!((block.start, block.end, block.insns, block.symbol.as_str()), (0x40a0, 0x40ac, 3, "main"));
        assert_eq!(count, 12);
        assert!(parse("12\t3\tzz\t40ac\tmain").is_none());
    }
}
