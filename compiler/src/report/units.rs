//! Numbers as people read them. May import: nothing of ours.

/// A size in a unit that leaves one to four digits before the point.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];
    let (mut value, mut unit) = (n as f64, 0);
    while value >= 10_000.0 && unit + 1 < UNITS.len()
        || (unit > 0 && value >= 1024.0 && unit + 1 < UNITS.len())
    {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A count in millions.
pub fn millions(n: u64) -> String {
    format!("{:.2} M", n as f64 / 1e6)
}

/// A time, given in milliseconds.
pub fn time(ms: f64) -> String {
    match ms {
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.2} ms"),
        ms => format!("{:.1} µs", ms * 1e3),
    }
}

/// A part of a whole.
pub fn percent(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.1} %", 100.0 * part / whole) } else { "–".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_fitting_units() {
        assert_eq!(bytes(0), "0 bytes");
        assert_eq!(bytes(9_999), "9999 bytes");
        assert_eq!(bytes(10_240), "10.0 KiB");
        assert_eq!(bytes(5 << 20), "5.0 MiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }

    #[test]
    fn times_and_parts() {
        assert_eq!([time(123.4), time(1.234), time(0.0123)], ["123 ms", "1.23 ms", "12.3 µs"]);
        assert_eq!([percent(1.0, 8.0), percent(0.0, 0.0)], ["12.5 %", "–"]);
    }
}
