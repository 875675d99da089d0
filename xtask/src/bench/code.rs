//! The program's machine code as text, and its innermost loops. May import: `command`, `error`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::command;
use crate::error::Result;

/// Disassembled functions.
pub(crate) struct Code {
    functions: Vec<Function>,
}

struct Function {
    name: String,
    insns: Vec<Insn>,
}

/// One instruction.
#[derive(Clone, Debug)]
pub(crate) struct Insn {
    pub(crate) address: u64,
    /// As an assembler reads it, but for targets of branches.
    pub(crate) text: String,
}

/// A loop that has no other inside.
pub(crate) struct InnerLoop {
    /// Its function, without hashes.
    pub(crate) function: String,
    pub(crate) insns: Vec<Insn>,
    /// RISC-V's vector configuration that holds at its beginning, as the instruction that sets it.
    pub(crate) vector_type: Option<String>,
}

/// Disassembles the kernels in a program.
pub(crate) fn read(objdump: &str, program: &Path) -> Result<Code> {
    let mut objdump = Command::new(objdump);
    objdump.args(["-d", "--demangle", "--no-show-raw-insn", "--no-print-imm-hex"]).arg(program);
    Ok(parse(&command::stdout(&mut objdump)?))
}

fn parse(text: &str) -> Code {
    let mut functions: Vec<Function> = Vec::new();
    for line in text.lines() {
        if let Some(name) =
            line.strip_suffix(">:").and_then(|line| line.split_once(" <")).map(|(_, name)| name)
        {
            functions.push(Function { name: plain(name), insns: Vec::new() });
        } else if let (Some(function), Some((address, text))) = (functions.last_mut(), line.split_once(':'))
            && let Ok(address) = u64::from_str_radix(address.trim(), 16)
        {
            function.insns.push(Insn { address, text: text.trim().replace('\t', " ") });
        }
    }
    Code { functions }
}

/// A function's name without hash and suffixes of the linker.
fn plain(name: &str) -> String {
    let name = name.split(" (.llvm.").next().unwrap_or(name);
    let hash = name.rsplit_once("::h").filter(|(_, hash)| hash.len() == 16);
    hash.map_or(name, |(name, _)| name).to_owned()
}

impl Code {
    /// All innermost loops: from the target of a branch backwards to the branch, without another such branch inside.
    pub(crate) fn loops(&self) -> impl Iterator<Item = InnerLoop> {
        self.functions.iter().flat_map(|function| {
            let insns = &function.insns;
            let start_of = move |end: usize| {
                let target = insns[end].target()?;
                insns[..=end].iter().rposition(|insn| insn.address == target)
            };
            (0..insns.len()).filter_map(move |end| {
                let start = start_of(end)?;
                let inner = |i: usize| start_of(i).is_some_and(|inner| inner >= start);
                if (start..end).any(inner) {
                    return None;
                }
                let before = insns[..start].iter().rev().find(|insn| insn.is_configuration());
                let last = insns[start..=end].iter().rev().find(|insn| insn.is_configuration());
                Some(InnerLoop {
                    function: function.name.clone(),
                    insns: insns[start..=end].to_vec(),
                    vector_type: last.or(before).map(|insn| insn.text.clone()),
                })
            })
        })
    }
}

impl Insn {
    fn mnemonic(&self) -> &str {
        self.text.split(' ').next().unwrap_or("")
    }

    /// Where a branch goes.
    fn target(&self) -> Option<u64> {
        let mnemonic = self.mnemonic();
        if !(mnemonic.starts_with('b') || ["cbz", "cbnz", "tbz", "tbnz", "j"].contains(&mnemonic)) {
            return None;
        }
        let (before, _) = self.text.split_once('<')?;
        let target = before.trim().rsplit([' ', ',']).next()?;
        u64::from_str_radix(target.trim_start_matches("0x"), 16).ok()
    }

    /// Whether it sets the configuration of RISC-V's vectors.
    pub(crate) fn is_configuration(&self) -> bool {
        self.mnemonic().starts_with("vset")
    }

    pub(crate) fn is_branch(&self) -> bool {
        self.target().is_some()
    }

    pub(crate) fn is_multiply_add(&self) -> bool {
        [
            "fmla",
            "sdot",
            "smmla",
            "smlal",
            "smlal2",
            "vfmacc.vf",
            "vfmacc.vv",
            "vfmadd.vf",
            "vfmadd.vv",
            "vwmul.vx",
            "vwmacc.vx",
        ]
        .contains(&self.mnemonic())
    }

    /// Loads of vectors, and of the numbers that multiply them.
    pub(crate) fn is_load(&self) -> bool {
        [
            "ldp",
            "ldr",
            "ldur",
            "ld1",
            "ld1r",
            "vle8.v",
            "vle16.v",
            "vle32.v",
            "vl1re32.v",
            "vl2re32.v",
            "vl4re32.v",
            "lb",
            "lbu",
            "flh",
            "flw",
            "c.flw",
        ]
        .contains(&self.mnemonic())
    }
}

impl InnerLoop {
    pub(crate) fn multiply_adds(&self) -> usize {
        self.insns.iter().filter(|insn| insn.is_multiply_add()).count()
    }

    pub(crate) fn loads(&self) -> usize {
        self.insns.iter().filter(|insn| insn.is_load()).count()
    }

    /// Whether it is there for a product: most of it are loads and multiply-adds.
    pub(crate) fn is_product(&self) -> bool {
        let others = self.insns.len() - self.loads() - self.multiply_adds();
        self.multiply_adds() > 0 && others * 2 <= self.insns.len()
    }

    /// Neither loads nor multiply-adds, by name and number: the loop's own, and whatever should not be there.
    pub(crate) fn others(&self) -> BTreeMap<String, usize> {
        let mut others = BTreeMap::new();
        for insn in self.insns.iter().filter(|insn| !insn.is_load() && !insn.is_multiply_add()) {
            *others.entry(insn.mnemonic().to_owned()).or_default() += 1;
        }
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
0000000000001000 <far::kernels::tile::h0123456789abcdef (.llvm.77)>:
    1000: \tvsetivli\tzero, 16, e32, m4, ta, ma
    1004: \tflw\tfa0, 0(a0)
    1008: \tvfmacc.vf\tv8, fa0, v4
    100c: \tbne\ta0, a1, 0x1004 <far::kernels::tile::h0123456789abcdef (.llvm.77)+0x4>
    1010: \tbnez\ta2, 0x1000 <far::kernels::tile::h0123456789abcdef (.llvm.77)>
    1014: \tret
";

    #[test]
    fn innermost_loops_are_found() {
        let loops: Vec<_> = parse(TEXT).loops().collect();
        assert_eq!(loops.len(), 1);
        let found = &loops[0];
        assert_eq!(found.function, "far::kernels::tile");
        assert_eq!(found.insns.iter().map(|insn| insn.address).collect::<Vec<_>>(), [0x1004, 0x1008, 0x100c]);
        assert_eq!((found.multiply_adds(), found.loads()), (1, 1));
        assert_eq!(found.others(), BTreeMap::from([("bne".to_owned(), 1)]));
        assert!(found.is_product());
        assert_eq!(found.vector_type.as_deref(), Some("vsetivli zero, 16, e32, m4, ta, ma"));
    }
}
