//! What the tests themselves stand on, where the sandbox's server comes from, what is skipped, and the benchmark.

mod benchmark;
mod sources;
mod support;
mod targets;
