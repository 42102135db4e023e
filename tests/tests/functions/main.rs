//! The functions as Lambda runs them: their own processes, called directly, over HTTP, by schedules and by the state
//! machine, and the alerts that they send.

mod incidents;
mod lambda_backfill;
mod lambda_checks;
mod lambda_dashboard;
mod lambda_runs;
mod sns_conformance;
mod stack;
mod state_machine;
