//! Tables for people.

use std::fmt::Display;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use console::{Term, measure_text_width};
use jiff::Timestamp;

use crate::terminal::wrapped;

/// A table with a head; where a terminal is too narrow for its longest words, a paragraph for each row.
pub(crate) fn with_head<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = rows.into_iter().map(|row| row.map(printable)).collect();
    let longest_word = |text: &str| text.split(' ').map(measure_text_width).max().unwrap_or(0);
    let narrowest: [usize; N] = std::array::from_fn(|column| {
        let words = rows.iter().map(|row| longest_word(&row[column]));
        words.max().unwrap_or(0).max(longest_word(head[column]))
    });
    let columns = Term::stdout().size_checked().map(|(_, columns)| columns);
    if columns
        .is_some_and(|columns| narrowest.iter().sum::<usize>() + 3 * N + 1 > usize::from(columns))
    {
        return paragraphs(head, &rows);
    }
    let mut table = empty();
    table.set_header(head);
    table.add_rows(rows);
    for (column, width) in table.column_iter_mut().zip(narrowest) {
        let width = u16::try_from(width + 2).unwrap_or(u16::MAX);
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
    }
    format!("{table}\n")
}

fn paragraphs<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    rows.iter()
        .map(|row| {
            let more = head.iter().zip(row).skip(1);
            let more: String = more
                .map(|(name, value)| format!("  {name}: {value}\n"))
                .collect();
            wrapped(&format!("{}\n{more}", row[0]), "  ")
        })
        .collect()
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
