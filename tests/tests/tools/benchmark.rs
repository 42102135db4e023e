//! The benchmark measures what it says; what it measures is not judged here.

use std::process::Command;

use anyhow::{Result, ensure};
use rollcall_tests::programs::program;
use serde_json::Value;

#[test]
fn a_small_benchmark_measures_every_operation_in_every_way() -> Result<()> {
    let output = Command::new(program("rollcall-bench")?)
        .args(["--users", "400", "--audit", "4000", "--rounds", "1"])
        .args(["--signup-seconds", "0.1", "--no-goals", "--json"])
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let operations = report["operations"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    ensure!(operations.len() == 12, "{report}");
    for operation in operations {
        for way in ["ours", "lower_bound"] {
            ensure!(
                operation[way]["median_ms"].as_f64() > Some(0.0),
                "{way} of {operation}"
            );
        }
        ensure!(
            operation["times_lower_bound"].as_f64() > Some(0.0),
            "{operation}"
        );
    }
    Ok(())
}
