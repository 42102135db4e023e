//! The table: for a terminal, in Markdown, as JSON.
#![expect(clippy::print_stdout, reason = "this is where the program prints")]

use anyhow::Result;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::Arguments;
use crate::figure::Figure;
use crate::row::{Row, Unit};
use crate::scale::Scale;

pub(crate) fn print(
    arguments: &Arguments,
    scale: &Scale,
    server: &str,
    rows: &[Row],
) -> Result<()> {
    let cores = std::thread::available_parallelism()?;
    if arguments.json {
        let report = json!({
            "server": server,
            "cores": cores,
            "users": scale.users,
            "audit_log_entries": scale.audit,
            "operations": rows.iter().map(as_json).collect::<Vec<_>>(),
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    println!(
        "{} users, {} entries of the audit log, {server}, {cores} cores. Medians; half of the runs lie between the figures in parentheses.\n",
        scale.users, scale.audit,
    );
    let (preset, line_break) = if arguments.markdown {
        (presets::ASCII_MARKDOWN, "<br>")
    } else {
        (presets::UTF8_FULL_CONDENSED, "\n")
    };
    let mut table = Table::new();
    table
        .load_style(preset)
        .set_header(["operation", "goal", "seen", "lower bound", "baseline"]);
    for row in rows {
        let goals: Vec<_> = row.goals.iter().map(|goal| goal.text(row)).collect();
        let lower_bound = row.lower_bound.as_ref();
        let baseline = row.baseline.as_ref();
        table.add_row([
            row.name.clone(),
            goals.join(line_break),
            text(&row.ours, row.unit),
            lower_bound.map_or_else(String::new, |(is, figure)| {
                format!("{is}: {}", text(figure, row.unit))
            }),
            baseline.map_or_else(String::new, |figure| text(figure, row.unit)),
        ]);
    }
    println!("{table}");
    Ok(())
}

fn as_json(row: &Row) -> Value {
    let goals = row
        .goals
        .iter()
        .map(|goal| json!({ "goal": goal, "met": goal.is_met(row) }));
    let lower_bound = row
        .lower_bound
        .as_ref()
        .map(|(is, figure)| json!({ "is": is, "figure": figure }));
    json!({
        "operation": row.name,
        "unit": row.unit,
        "ours": row.ours,
        "baseline": row.baseline,
        "lower_bound": lower_bound,
        "goals": goals.collect::<Vec<_>>(),
        "is_good": row.is_good(),
    })
}

fn text(figure: &Figure, unit: Unit) -> String {
    let [low, high] = figure.quartiles;
    let is_small = unit == Unit::Milliseconds && figure.median < 10.0;
    let digits = if is_small { 2 } else { 0 };
    let median = format!("{:.digits$}{}", figure.median, unit.text());
    if figure.runs == 1 {
        return median;
    }
    format!("{median} ({low:.digits$}–{high:.digits$})")
}
