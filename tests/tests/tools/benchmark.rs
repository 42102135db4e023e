//! The benchmark measures what it says. What takes time is not judged here; what can be counted is.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rollcall_tests::programs::program;
use serde_json::Value;

#[test]
fn a_small_benchmark_holds_every_operation_against_its_goal() -> Result<()> {
    let output = Command::new(program("rollcall-bench")?)
        .args(["--size", "tiny", "--json"])
        .output()?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let operations = report["operations"].as_array().context("no operations")?;
    let names: BTreeSet<_> = operations
        .iter()
        .map(|row| row["operation"].as_str())
        .collect();
    ensure!(names.len() == 32 && operations.len() == 32, "{report}");
    for row in operations {
        let figures = [
            &row["ours"],
            &row["baseline"],
            &row["lower_bound"]["figure"],
        ];
        for figure in figures.into_iter().filter(|figure| !figure.is_null()) {
            let is_difference = row["operation"] == "what looking adds";
            ensure!(
                is_difference || figure["median"].as_f64() > Some(0.0),
                "{row}"
            );
        }
        for goal in row["goals"].as_array().context("no goals")? {
            let needs = match goal["goal"].as_object().and_then(|goal| goal.keys().next()) {
                Some(kind) if kind == "times_lower_bound" => "lower_bound",
                Some(kind) if kind == "times_baseline" => "baseline",
                _ => "ours",
            };
            ensure!(!row[needs].is_null(), "{goal} of {row}");
        }
        if row["unit"] == "" {
            ensure!(row["is_good"] == true, "{row}");
        }
    }
    let are_good = operations.iter().all(|row| row["is_good"] == true);
    ensure!(
        output.status.code() == Some(i32::from(!are_good)),
        "{report}"
    );
    Ok(())
}
