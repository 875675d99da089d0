//! Numbers and tables for people. May import: `farc::report`.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
pub(super) use farc::report::units::{bytes, millions, percent, time};

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
