//! What people start: the command line, the dashboard that it serves, the demo, the scripts.

mod cli;
mod dashboard_page;
mod dashboard_server;
mod demo;
mod scheduled_checks;
mod schema;
mod scripts;
mod without_tls;
