//! Whether a RISC-V CPU has vectors that kernels may use: V 1.0, not its draft 0.7.1, and not switched off.
//! May import: `far_format::cpu`. [`decide`] judges; [`probe`] asks the system, without any vector instruction.
//!
//! The draft (T-Head C906 and C910: Allwinner D1, TH1520, SG2042) has other encodings, and kernels of its vendors report
//! it by the same bit of `AT_HWCAP` as V 1.0.

use std::format;
use std::string::String;

use far_format::cpu::Features;

/// What the system says.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    /// What `riscv_hwprobe` says of all CPUs; `None`: the kernel has no such call (before Linux 6.4).
    hwprobe: Option<Hwprobe>,
    /// `AT_HWCAP`: a bit for each single-letter extension.
    hwcap: u64,
    /// `PR_RISCV_V_GET_CONTROL`; `None`: the kernel has no such control.
    vector_control: Option<u32>,
    /// Whether the device tree or /proc/cpuinfo names a core or a chip with the draft.
    names_draft: bool,
}

/// The keys of `riscv_hwprobe` that matter here.
#[derive(Clone, Copy, Debug, Default)]
struct Hwprobe {
    /// `mvendorid`; all ones where CPUs differ.
    vendor: u64,
    /// `marchid`; all ones where CPUs differ.
    arch: u64,
    /// Bits of `RISCV_HWPROBE_KEY_IMA_EXT_0` that all CPUs have.
    extensions: u64,
}

/// Bit of V in `AT_HWCAP`.
const HWCAP_V: u64 = 1 << (b'V' - b'A');
/// `RISCV_HWPROBE_IMA_V` and `RISCV_HWPROBE_EXT_ZVFH`.
const HWPROBE_V: u64 = 1 << 2;
const HWPROBE_ZVFH: u64 = 1 << 30;
/// `PR_RISCV_V_VSTATE_CTRL_CUR_MASK` and `PR_RISCV_V_VSTATE_CTRL_ON`.
const CONTROL_CURRENT: u32 = 3;
const CONTROL_ON: u32 = 2;
/// T-Head. Its cores with the draft report 0 as their `marchid`, those with V 1.0 (C908, C920v2) do not.
const VENDOR_THEAD: u64 = 0x5b7;

/// What kernels may use.
fn decide(facts: &Facts) -> Features {
    if facts.vector_control.is_some_and(|control| control & CONTROL_CURRENT != CONTROL_ON) {
        return Features::NONE;
    }
    let (v, zvfh) = match facts.hwprobe {
        Some(probe) => {
            let draft = probe.vendor == VENDOR_THEAD && probe.arch == 0;
            (probe.extensions & HWPROBE_V != 0 && !draft, probe.extensions & HWPROBE_ZVFH != 0)
        }
        None => (facts.hwcap & HWCAP_V != 0 && !facts.names_draft, false),
    };
    match (v, zvfh) {
        (false, _) => Features::NONE,
        (true, false) => Features::V,
        (true, true) => Features::V.with(Features::ZVFH),
    }
}

/// Why [`decide`] decides so, in words.
fn explain(facts: &Facts) -> String {
    if facts.vector_control.is_some_and(|control| control & CONTROL_CURRENT != CONTROL_ON) {
        return "vectors are switched off for this process by prctl(PR_RISCV_V_SET_CONTROL)".into();
    }
    match facts.hwprobe {
        Some(Hwprobe { vendor: VENDOR_THEAD, arch: 0, extensions }) if extensions & HWPROBE_V != 0 => {
            "riscv_hwprobe tells V, of a T-Head core with the draft 0.7.1, which there are no kernels for".into()
        }
        Some(Hwprobe { vendor, arch, .. }) => {
            format!("by riscv_hwprobe, mvendorid {vendor:#x}, marchid {arch:#x}")
        }
        None if facts.names_draft => {
            "AT_HWCAP tells V, but the system names a core that may have the draft 0.7.1; riscv_hwprobe, which would \
             tell, needs Linux 6.4"
                .into()
        }
        None => "by AT_HWCAP; this kernel has no riscv_hwprobe (before Linux 6.4)".into(),
    }
}

/// Whether a description of the hardware names a core or a chip that has, or may have, the draft. T-Head's cores with
/// V 1.0 are among them: without `riscv_hwprobe` nothing reliable tells them apart.
fn names_draft(description: &str) -> bool {
    const NAMES: [&str; 9] =
        ["thead", "t-head", "c906", "c910", "c920", "sg2042", "th1520", "sun20i", "0x5b7"];
    let description = description.to_ascii_lowercase();
    NAMES.iter().any(|name| description.contains(name))
}

#[cfg(target_arch = "riscv64")]
pub(crate) use probe::vector_bytes;
#[cfg(target_arch = "riscv64")]
pub(super) use probe::{detect, found_by};

#[cfg(target_arch = "riscv64")]
mod probe {
    use std::fs;
    use std::path::Path;
    use std::string::String;
    use std::sync::OnceLock;

    use super::{Facts, Features, HWCAP_V, Hwprobe, decide, explain, names_draft};

    /// What kernels may use, asked once.
    pub(crate) fn detect() -> Features {
        static FEATURES: OnceLock<Features> = OnceLock::new();
        *FEATURES.get_or_init(|| decide(&facts()))
    }

    /// How that is known.
    pub(crate) fn found_by() -> String {
        explain(&facts())
    }

    fn facts() -> Facts {
        // SAFETY: no pointers are involved.
        let hwcap = unsafe { libc::getauxval(libc::AT_HWCAP) };
        let hwprobe = hwprobe();
        // Reading files is for old kernels only.
        let names_draft = hwprobe.is_none() && hwcap & HWCAP_V != 0 && system_names_draft();
        Facts { hwprobe, hwcap, vector_control: vector_control(), names_draft }
    }

    /// `struct riscv_hwprobe`.
    #[repr(C)]
    struct Pair {
        key: i64,
        value: u64,
    }

    fn hwprobe() -> Option<Hwprobe> {
        const SYS_RISCV_HWPROBE: libc::c_long = 258;
        const KEY_VENDOR: i64 = 0;
        const KEY_ARCH: i64 = 1;
        const KEY_IMA_EXT_0: i64 = 4;
        let mut pairs = [KEY_VENDOR, KEY_ARCH, KEY_IMA_EXT_0].map(|key| Pair { key, value: 0 });
        let no_cpu_set = core::ptr::null_mut::<libc::c_ulong>();
        // SAFETY: `pairs` is writable for as many pairs as are named; an empty CPU set means all CPUs.
        let result = unsafe {
            libc::syscall(SYS_RISCV_HWPROBE, pairs.as_mut_ptr(), pairs.len(), 0usize, no_cpu_set, 0u32)
        };
        // A key that the kernel does not know comes back as -1 with the value 0.
        (result == 0).then(|| Hwprobe {
            vendor: pairs[0].value,
            arch: pairs[1].value,
            extensions: pairs[2].value,
        })
    }

    fn vector_control() -> Option<u32> {
        const PR_RISCV_V_GET_CONTROL: libc::c_int = 70;
        // SAFETY: this option takes no argument and changes nothing.
        let control = unsafe { libc::prctl(PR_RISCV_V_GET_CONTROL, 0, 0, 0, 0) };
        u32::try_from(control).ok()
    }

    fn system_names_draft() -> bool {
        let tree = Path::new("/proc/device-tree");
        let cpus = fs::read_dir(tree.join("cpus")).into_iter().flatten().flatten();
        let nodes = cpus.map(|cpu| cpu.path()).chain([tree.to_path_buf()]);
        let mut files = nodes.map(|node| node.join("compatible")).chain(["/proc/cpuinfo".into()]);
        files.any(|file| fs::read(file).is_ok_and(|text| names_draft(&String::from_utf8_lossy(&text))))
    }

    /// VLEN in bytes.
    ///
    /// # Safety
    /// The CPU has V 1.0.
    pub(crate) unsafe fn vector_bytes() -> usize {
        let bytes;
        // SAFETY: the caller promises V 1.0, which has the register `vlenb` (0xc22; by number, since the assembler may
        // not know the extension). It is read-only.
        unsafe {
            core::arch::asm!("csrr {}, 0xc22", out(reg) bytes, options(nomem, nostack, pure, preserves_flags));
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAINLINE: Facts = Facts {
        hwprobe: Some(Hwprobe { vendor: 0x710, arch: 0x8000_0000_5800_0001, extensions: HWPROBE_V | 0b11 }),
        hwcap: HWCAP_V,
        vector_control: Some(CONTROL_ON),
        names_draft: false,
    };

    fn with_hwprobe(change: impl Fn(&mut Hwprobe)) -> Facts {
        let mut probe = MAINLINE.hwprobe.unwrap();
        change(&mut probe);
        Facts { hwprobe: Some(probe), ..MAINLINE }
    }

    #[test]
    fn vectors_of_a_current_kernel_are_used() {
        assert_eq!(decide(&MAINLINE), Features::V);
        let half = with_hwprobe(|probe| probe.extensions |= HWPROBE_ZVFH);
        assert_eq!(decide(&half), Features::V.with(Features::ZVFH));
    }

    #[test]
    fn hwprobe_outweighs_hwcap() {
        let none = with_hwprobe(|probe| probe.extensions = 0b11);
        assert_eq!(decide(&none), Features::NONE);
        assert_eq!(decide(&Facts { hwcap: 0, ..MAINLINE }), Features::V);
    }

    #[test]
    fn half_precision_needs_v() {
        let alone = with_hwprobe(|probe| probe.extensions = HWPROBE_ZVFH);
        assert_eq!(decide(&alone), Features::NONE);
    }

    #[test]
    fn draft_is_told_by_vendor_and_zero_arch() {
        let c910 = with_hwprobe(|probe| (probe.vendor, probe.arch) = (VENDOR_THEAD, 0));
        assert_eq!(decide(&c910), Features::NONE);
        let c920v2 = with_hwprobe(|probe| (probe.vendor, probe.arch) = (VENDOR_THEAD, 0x8000_0000_0914_0d00));
        assert_eq!(decide(&c920v2), Features::V);
        let other = with_hwprobe(|probe| probe.arch = 0);
        assert_eq!(decide(&other), Features::V);
    }

    #[test]
    fn old_kernel_is_believed_unless_the_hardware_has_the_draft() {
        let old = Facts { hwprobe: None, vector_control: None, ..MAINLINE };
        assert_eq!(decide(&old), Features::V);
        assert_eq!(decide(&Facts { names_draft: true, ..old }), Features::NONE);
        assert_eq!(decide(&Facts { hwcap: 0x112d, ..old }), Features::NONE);
    }

    #[test]
    fn what_was_found_is_explained() {
        let old = Facts { hwprobe: None, ..MAINLINE };
        let c910 = with_hwprobe(|probe| (probe.vendor, probe.arch) = (VENDOR_THEAD, 0));
        for (facts, words) in [
            (MAINLINE, "by riscv_hwprobe, mvendorid 0x710"),
            (c910, "draft 0.7.1"),
            (old, "by AT_HWCAP"),
            (Facts { names_draft: true, ..old }, "names a core"),
            (Facts { vector_control: Some(1), ..MAINLINE }, "switched off"),
        ] {
            assert!(explain(&facts).contains(words), "{facts:?}: {}", explain(&facts));
        }
    }

    #[test]
    fn switched_off_is_off() {
        for control in [0, 1, 0b0001_1101] {
            assert_eq!(decide(&Facts { vector_control: Some(control), ..MAINLINE }), Features::NONE);
        }
        // Current on, next process off.
        assert_eq!(decide(&Facts { vector_control: Some(0b0110), ..MAINLINE }), Features::V);
    }

    #[test]
    fn draft_hardware_is_known_by_its_names() {
        for text in ["thead,c910\0riscv\0", "uarch\t\t: thead,c906", "sophgo,sg2042", "mvendorid\t: 0x5b7"] {
            assert!(names_draft(text), "{text}");
        }
        for text in ["spacemit,x60\0riscv\0", "uarch\t\t: sifive,u74-mc", "isa\t: rv64imafdcv", ""] {
            assert!(!names_draft(text), "{text}");
        }
    }
}
