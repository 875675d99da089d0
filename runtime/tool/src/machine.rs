//! What this machine is, as far as its system says: board, CPU, clock, temperature, memory. Linux says it in files.
//! May import: nothing of this crate.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Facts of a machine; `None` or empty where its system doesn't say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    /// The board, as its device tree names it.
    pub board: Option<String>,
    /// The CPU, as the kernel names it.
    pub cpu: Option<String>,
    /// The kernel's version.
    pub kernel: Option<String>,
    /// Bytes of a page.
    pub page_bytes: Option<u64>,
    /// Bytes of memory, and how many of them are free for programs.
    pub memory: Option<(u64, u64)>,
    /// Governors of the CPUs' clocks, and how many CPUs each governs.
    pub governors: BTreeMap<String, usize>,
    /// The fastest CPU's clock now and at most, in MHz.
    pub clock_mhz: Option<(u64, u64)>,
    /// The hottest part, in °C.
    pub celsius: Option<f64>,
    /// What slows the CPU down now, in words.
    pub throttled: Vec<String>,
    /// What has slowed it down since it was started, in words.
    pub was_throttled: Vec<String>,
}

/// Bits of a Raspberry Pi's `get_throttled`; 16 further up each says that it happened since the start.
const PI_BITS: [(u64, &str); 4] = [
    (1, "the supply's voltage is too low"),
    (1 << 1, "the clock is capped"),
    (1 << 2, "it throttles"),
    (1 << 3, "the soft limit of the temperature is reached"),
];

impl Machine {
    /// Of the system whose files are under `root`; that is `/` but for tests.
    pub fn read(root: &Path) -> Machine {
        let at = |path: &str| root.join(path.trim_start_matches('/'));
        let mut machine = Machine {
            board: text(&at("/proc/device-tree/model")),
            cpu: cpu_name(&at("/proc/cpuinfo")),
            kernel: text(&at("/proc/sys/kernel/osrelease")),
            page_bytes: page_bytes(&at("/proc/self/auxv")),
            memory: memory(&at("/proc/meminfo")),
            ..Machine::default()
        };
        machine.clocks(&at("/sys/devices/system/cpu"));
        machine.thermal(&at("/sys/class/thermal"));
        machine.raspberry_pi(&at("/sys/devices/platform"));
        machine
    }

    fn clocks(&mut self, cpus: &Path) {
        let mut throttled = 0;
        for cpu in folders(cpus, "cpu") {
            let cpufreq = cpu.join("cpufreq");
            if let Some(governor) = text(&cpufreq.join("scaling_governor")) {
                *self.governors.entry(governor).or_default() += 1;
            }
            let mhz = |file: &str| number(&cpufreq.join(file)).map(|khz| khz / 1000);
            if let (Some(now), Some(most)) = (mhz("scaling_cur_freq"), mhz("cpuinfo_max_freq")) {
                self.clock_mhz = self.clock_mhz.max(Some((now, most)));
                if let Some(cap) = mhz("scaling_max_freq").filter(|cap| *cap < most) {
                    let capped = format!("the clock may not exceed {cap} MHz of {most} MHz");
                    if !self.throttled.contains(&capped) {
                        self.throttled.push(capped);
                    }
                }
            }
            throttled += number(&cpu.join("thermal_throttle/core_throttle_count")).unwrap_or(0);
        }
        if throttled > 0 {
            self.was_throttled.push(format!("cores were slowed down for heat, {throttled} times"));
        }
    }

    fn thermal(&mut self, thermal: &Path) {
        let zones = folders(thermal, "thermal_zone");
        let celsius = zones.iter().filter_map(|zone| text(&zone.join("temp"))?.parse::<i64>().ok());
        // Thousandths; absurd ones are sensors that aren't there.
        self.celsius = celsius.filter(|m| (-50_000..200_000).contains(m)).max().map(|m| m as f64 / 1e3);
        for device in folders(thermal, "cooling_device") {
            let Some(kind) = text(&device.join("type")) else { continue };
            let cools_cpu = kind.contains("cpufreq") || kind == "Processor";
            if cools_cpu && number(&device.join("cur_state")).is_some_and(|state| state > 0) {
                let slowed = "the kernel slows the CPU down for heat".to_owned();
                if !self.throttled.contains(&slowed) {
                    self.throttled.push(slowed);
                }
            }
        }
    }

    fn raspberry_pi(&mut self, platform: &Path) {
        let below = |folder: &Path| folders(folder, "soc");
        let firmware = below(platform).into_iter().flat_map(|soc| [below(&soc), vec![soc]].concat());
        let bits = firmware.filter_map(|folder| text(&folder.join("get_throttled"))).next();
        let bits = bits.and_then(|bits| u64::from_str_radix(bits.trim_start_matches("0x"), 16).ok());
        for (bit, what) in PI_BITS {
            if bits.is_some_and(|bits| bits & bit != 0) {
                self.throttled.push(what.into());
            } else if bits.is_some_and(|bits| bits & (bit << 16) != 0) {
                self.was_throttled.push(what.into());
            }
        }
    }
}

/// The first 4 KiB of a file as one line; `None` where there is nothing.
fn text(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned();
    let text: String = text.trim_matches(|c: char| c.is_whitespace() || c == '\0').into();
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    (!text.is_empty()).then_some(plain)
}

fn number(path: &Path) -> Option<u64> {
    text(path)?.parse().ok()
}

/// Folders of a folder whose names are a prefix and then anything but letters, sorted.
fn folders(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let rest = name.strip_prefix(prefix);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic()))
        })
        .collect();
    found.sort();
    found
}

fn cpu_name(cpuinfo: &Path) -> Option<String> {
    let text = fs::read_to_string(cpuinfo).ok()?;
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
    };
    value("model name").or_else(|| value("uarch")).or_else(|| {
        let (implementer, part) = (value("CPU implementer")?, value("CPU part")?);
        Some(
            arm_core(&implementer, &part)
                .map_or(format!("implementer {implementer}, part {part}"), String::from),
        )
    })
}

/// Cores of Arm's own design that boards have.
fn arm_core(implementer: &str, part: &str) -> Option<&'static str> {
    const CORES: [(&str, &str); 11] = [
        ("0xd03", "Cortex-A53"),
        ("0xd04", "Cortex-A35"),
        ("0xd05", "Cortex-A55"),
        ("0xd07", "Cortex-A57"),
        ("0xd08", "Cortex-A72"),
        ("0xd09", "Cortex-A73"),
        ("0xd0a", "Cortex-A75"),
        ("0xd0b", "Cortex-A76"),
        ("0xd0c", "Neoverse-N1"),
        ("0xd41", "Cortex-A78"),
        ("0xd42", "Cortex-A78AE"),
    ];
    let known = CORES.iter().find(|(number, _)| *number == part).map(|(_, name)| *name);
    known.filter(|_| implementer == "0x41")
}

/// `AT_PAGESZ` of the auxiliary vector: pairs of words.
fn page_bytes(auxv: &Path) -> Option<u64> {
    const AT_PAGESZ: u64 = 6;
    let bytes = fs::read(auxv).ok()?;
    let words: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    words.as_chunks().0.iter().find(|[key, _]| *key == AT_PAGESZ).map(|[_, value]| *value)
}

fn memory(meminfo: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(meminfo).ok()?;
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some((bytes("MemTotal:")?, bytes("MemAvailable:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_raspberry_pi_that_is_too_hot() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(root, "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0");
        put(root, "proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n");
        put(root, "proc/meminfo", "MemTotal:  8000 kB\nMemAvailable:  4000 kB\n");
        for cpu in ["cpu0", "cpu1", "cpufreq"] {
            put(root, &format!("sys/devices/system/cpu/{cpu}/cpufreq/scaling_governor"), "ondemand\n");
        }
        put(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1500000\n");
        put(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "1800000\n");
        put(root, "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "2400000\n");
        put(root, "sys/class/thermal/thermal_zone0/temp", "84200\n");
        put(root, "sys/class/thermal/thermal_zone1/temp", "-274000\n");
        put(root, "sys/class/thermal/cooling_device0/type", "cpufreq-cpu0\n");
        put(root, "sys/class/thermal/cooling_device0/cur_state", "2\n");
        put(root, "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled", "50004\n");
        let machine = Machine::read(root);
        assert_eq!(machine.board.as_deref(), Some("Raspberry Pi 5 Model B Rev 1.0"));
        assert_eq!(machine.cpu.as_deref(), Some("Cortex-A76"));
        assert_eq!(machine.memory, Some((8_192_000, 4_096_000)));
        assert_eq!(machine.governors, BTreeMap::from([("ondemand".into(), 2)]));
        assert_eq!((machine.clock_mhz, machine.celsius), (Some((1500, 2400)), Some(84.2)));
        assert_eq!(
            machine.throttled,
            [
                "the clock may not exceed 1800 MHz of 2400 MHz",
                "the kernel slows the CPU down for heat",
                "it throttles"
            ]
        );
        assert_eq!(machine.was_throttled, ["the supply's voltage is too low"]);
    }

    #[test]
    fn a_system_that_says_nothing() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Machine::read(root.path()), Machine::default());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_one_has_pages_and_memory() {
        let machine = Machine::read(Path::new("/"));
        assert!(machine.page_bytes.is_none_or(|bytes| bytes.is_power_of_two() && bytes >= 4096));
        assert!(machine.memory.is_none_or(|(total, free)| total >= free));
    }
}
