//! Numbers and tables for people. May import: nothing of ours.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

/// A size in a unit that leaves one to four digits before the point.
pub(super) fn bytes(n: u64) -> String {
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
pub(super) fn millions(n: u64) -> String {
    format!("{:.2} M", n as f64 / 1e6)
}

/// Columns under a header; those in `right` are numbers.
pub(super) fn table(header: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    // Rows of spaces at the end of a line help nobody.
    table.to_string().lines().map(|line| line.trim_end().to_owned() + "\n").collect()
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
}
