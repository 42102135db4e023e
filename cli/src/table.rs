//! Tables for people.

use std::fmt::Display;

use comfy_table::{ContentArrangement, Table, presets};
use console::Term;
use jiff::Timestamp;

/// A table with a head.
pub(crate) fn with_head<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = empty();
    table.set_header(head);
    for row in rows {
        table.add_row(row.map(printable));
    }
    format!("{table}\n")
}

/// Names and their values.
pub(crate) fn of_facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = empty();
    for (name, value) in facts {
        table.add_row([name.to_owned(), printable(value)]);
    }
    format!("{table}\n")
}

/// Whatever stands in the database, as text that cannot steer a terminal.
fn printable(text: String) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn empty() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    // a terminal wraps long cells; a file or a pipe gets them whole
    if let Some((_, columns)) = Term::stdout().size_checked() {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(columns);
    }
    table
}

/// A value, or a dash where there is none.
pub(crate) fn or_dash<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A moment to the second, UTC.
pub(crate) fn moment(timestamp: Timestamp) -> String {
    timestamp.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
