//! The artifact as a constant of a program: an object file for the linker, or a C array for any compiler, with a header.
//! A board then needs no file system, and `far_model_open_static` copies nothing. May import: `error`; far-format.

use std::fmt::Write as _;
use std::path::Path;

use far_format::SECTION_ALIGNMENT;
use far_format::cpu::Arch;
use object::write::{Object, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, FileFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope, elf,
};

use crate::error::{Error, ErrorKind, Result};

/// What follows `far_model_` in far.h: a constant of such a name would be a second meaning of it.
const TAKEN: &[&str] = &[
    "arena_size",
    "description",
    "free",
    "image_info",
    "info",
    "info_count",
    "input_count",
    "input_info",
    "labels",
    "name",
    "open",
    "open_memory",
    "open_static",
    "options",
    "output_count",
    "output_info",
    "precisions",
    "required_features",
];

/// The name of a model in C: its constants are `far_model_NAME` and `far_model_NAME_size`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CName(String);

impl CName {
    /// What an output's file name begins with.
    pub fn of(path: &Path) -> Result<CName> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let refused = |what: &str, expected: &str| {
            Err(Error::new(ErrorKind::BadInput, what)
                .in_file(path)
                .expected(expected)
                .got(format!("`{stem}`"))
                .hint(
                    "the constant is called `far_model_` and the file's name; choose another name with `-o`",
                ))
        };
        if stem.is_empty() || !stem.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return refused(
                "the file's name can't be part of a name in C",
                "letters of ASCII, digits and `_`, such as `my_model`",
            );
        }
        if TAKEN.iter().any(|taken| *taken == stem || taken.strip_suffix("_size") == Some(&stem)) {
            return refused("the constant would be called as something in far.h is", "any other name");
        }
        Ok(CName(stem.into_owned()))
    }

    fn constant(&self) -> String {
        format!("far_model_{}", self.0)
    }
}

/// The declarations of the constants.
pub(super) fn header(name: &CName, target: &str) -> String {
    let constant = name.constant();
    format!(
        "/*\n\
         \x20* A model compiled for {target} by farc {version}. With libfar:\n\
         \x20*\n\
         \x20*     far_model_open_static({constant}, {constant}_size, NULL, &model)\n\
         \x20*/\n\
         #ifndef FAR_MODEL_{name}_H\n\
         #define FAR_MODEL_{name}_H\n\
         \n\
         #include <stddef.h>\n\
         \n\
         #ifdef __cplusplus\n\
         extern \"C\" {{\n\
         #endif\n\
         \n\
         /** The artifact; its address is a multiple of {SECTION_ALIGNMENT}. */\n\
         extern const unsigned char {constant}[];\n\
         /** Its size in bytes. */\n\
         extern const size_t {constant}_size;\n\
         \n\
         #ifdef __cplusplus\n\
         }}\n\
         #endif\n\
         \n\
         #endif\n",
        // A target's name comes from a file.
        target = target.replace("*/", ""),
        version = env!("CARGO_PKG_VERSION"),
        name = name.0,
    )
}

/// The constants in C. `header` is the name of the file with their declarations.
pub(super) fn c(name: &CName, artifact: &[u8], header: &str) -> String {
    const LINE: usize = 32;
    let constant = name.constant();
    let mut text = format!(
        "#include \"{header}\"\n\n\
         const unsigned char {constant}[{size}] __attribute__((aligned({SECTION_ALIGNMENT}))) = {{\n",
        size = artifact.len()
    );
    text.reserve(artifact.len() * 4);
    for line in artifact.chunks(LINE) {
        for byte in line {
            let _ = write!(text, "{byte},"); // to a string: can't fail
        }
        text.push('\n');
    }
    let _ = write!(text, "}};\n\nconst size_t {constant}_size = sizeof {constant};\n");
    text
}

/// The constants in a relocatable ELF file.
pub(super) fn object(name: &CName, artifact: &[u8], arch: Arch) -> Result<Vec<u8>> {
    let (architecture, e_flags) = match arch {
        Arch::X86_64 => (Architecture::X86_64, 0),
        Arch::Aarch64 => (Architecture::Aarch64, 0),
        // Linkers refuse to mix conventions of calls; distributions have that of doubles in registers.
        Arch::Riscv64 => (Architecture::Riscv64, elf::EF_RISCV_FLOAT_ABI_DOUBLE | elf::EF_RISCV_RVC),
    };
    let mut file = Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
    file.flags = FileFlags::Elf { os_abi: elf::ELFOSABI_NONE, abi_version: 0, e_flags };
    let constant = name.constant();
    let size = (artifact.len() as u64).to_le_bytes();
    add(&mut file, &constant, artifact, SECTION_ALIGNMENT as u64);
    add(&mut file, &format!("{constant}_size"), &size, 8);
    // Without it, linkers give the program a stack that can be executed.
    file.add_section(Vec::new(), b".note.GNU-stack".to_vec(), SectionKind::Other);
    file.write()
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the object file can't be written: {e}")))
}

/// A constant in a section of its own, so that linkers can leave out what nobody uses.
fn add<'a>(file: &mut Object<'a>, name: &str, data: &'a [u8], alignment: u64) {
    let section = format!(".rodata.{name}").into_bytes();
    let section = file.add_section(Vec::new(), section, SectionKind::ReadOnlyData);
    file.set_section_data(section, data, alignment);
    file.add_symbol(Symbol {
        name: name.as_bytes().to_vec(),
        value: 0,
        size: data.len() as u64,
        kind: SymbolKind::Data,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(stem: &str) -> CName {
        CName::of(&Path::new("some/folder").join(format!("{stem}.o"))).unwrap()
    }

    #[test]
    fn names_are_what_c_takes() {
        for good in ["fashion", "deit_tiny_8", "3d", "_"] {
            assert_eq!(name(good).constant(), format!("far_model_{good}"));
        }
        for bad in ["deit-tiny", "a b", "grün", "a.b", "x\"", ""] {
            let error = CName::of(Path::new(&format!("{bad}.o"))).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadInput, "{bad}");
            assert!(error.hint.is_some_and(|hint| hint.contains("-o")));
        }
    }

    #[test]
    fn names_of_the_library_are_taken() {
        let header = concat!(env!("CARGO_MANIFEST_DIR"), "/../capi/include/far.h");
        let header = std::fs::read_to_string(header).unwrap();
        let words = header.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let theirs: std::collections::BTreeSet<_> = words
            .filter_map(|word| word.strip_prefix("far_model_"))
            .filter(|word| !word.is_empty())
            .collect();
        assert_eq!(Vec::from_iter(theirs), TAKEN, "far.h (left) and what is taken (right)");
        for taken in TAKEN.iter().chain(&["arena"]) {
            CName::of(&Path::new(taken).with_extension("c")).unwrap_err();
        }
    }

    #[test]
    fn a_target_can_not_end_the_comment() {
        let header = header(&name("x"), "a */ #error */");
        assert_eq!(header.matches("*/").count(), 3, "{header}");
    }

    #[test]
    fn objects_are_what_linkers_expect() {
        for (arch, machine, flags) in
            [(Arch::X86_64, 62, 0), (Arch::Aarch64, 183, 0), (Arch::Riscv64, 243, 5)]
        {
            let file = object(&name("x"), &[7; 100], arch).unwrap();
            let field = |at: usize, len: usize| {
                file[at..at + len].iter().rev().fold(0u32, |n, b| n << 8 | u32::from(*b))
            };
            assert_eq!(
                (field(16, 2), field(18, 2), field(48, 4)),
                (1, machine, flags),
                "{arch}: type, machine, flags"
            );
        }
    }
}
