//! The table, as text and as JSON.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is where the program prints"
)]

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use crate::Arguments;
use crate::operation::Operation;
use crate::timing::Timing;

/// Whether every goal that is judged was met.
pub(crate) fn print(arguments: &Arguments, server: &str, operations: &[Operation]) -> Result<bool> {
    let met = operations.iter().all(|operation| {
        operation
            .goals
            .iter()
            .all(|goal| goal.is_met(operation) != Some(false))
    });
    if arguments.json {
        let rows: Vec<_> = operations
            .iter()
            .map(|operation| {
                json!({
                    "operation": operation.name,
                    "ours": operation.ours,
                    "baseline": operation.baseline,
                    "lower_bound": operation.lower_bound,
                    "lower_bound_is": operation.lower_bound_is,
                    "times_lower_bound": operation.over_lower_bound(),
                    "baseline_times_ours": operation.under_baseline(),
                    "goals": operation.goals.iter().map(|goal| json!({"goal": goal, "met": goal.is_met(operation)})).collect::<Vec<_>>(),
                })
            })
            .collect();
        let report = json!({
            "server": server,
            "users": arguments.users,
            "audit_log_entries": arguments.audit,
            "goals_met": met,
            "operations": rows,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(met);
    }
    println!(
        "{} users, {} entries of the audit log, {server}. Milliseconds: median (half of the runs lie between).\n",
        arguments.users, arguments.audit,
    );
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
        "operation",
        "ours",
        "baseline",
        "lower bound",
        "× lower bound",
        "baseline ×",
        "goal",
    ]);
    for column in 1..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for operation in operations {
        table.add_row([
            format!(
                "{}\n  lower bound: {}",
                operation.name, operation.lower_bound_is
            ),
            text(&operation.ours),
            operation
                .baseline
                .as_ref()
                .map_or_else(|| "-".to_owned(), text),
            text(&operation.lower_bound),
            format!("{:.2}", operation.over_lower_bound()),
            operation
                .under_baseline()
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}")),
            operation
                .goals
                .iter()
                .map(|goal| goal.text(operation))
                .collect::<Vec<_>>()
                .join("\n"),
        ]);
    }
    println!("{table}");
    Ok(met)
}

/// Says how to reach the server that was left running.
pub(crate) fn kept(url: &str, stop: &str) {
    eprintln!("The server runs on: {url}\nTo stop it: {stop}");
}

fn text(timing: &Timing) -> String {
    let digits = if timing.median_ms < 10.0 { 2 } else { 0 };
    format!(
        "{:.digits$}\n({:.digits$}–{:.digits$})\nbest {:.digits$}",
        timing.median_ms, timing.quartiles_ms[0], timing.quartiles_ms[1], timing.best_ms
    )
}
