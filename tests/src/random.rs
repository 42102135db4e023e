//! Random input that can be had again: `ROLLCALL_SEED` repeats a run, `ROLLCALL_LONG` makes it longer.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    io::{self, Write},
};

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The seed of this run: what `ROLLCALL_SEED` says, else a new one. Every failure names it.
pub fn seed() -> u64 {
    env::var("ROLLCALL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| RandomState::new().hash_one("rollcall"))
}

/// The same seed in every run: what `ROLLCALL_SEED` says, else `usual`. With `ROLLCALL_LONG` a new one.
pub fn seed_or(usual: u64) -> u64 {
    if env::var_os("ROLLCALL_SEED").is_some() || env::var_os("ROLLCALL_LONG").is_some() {
        seed()
    } else {
        usual
    }
}

/// `usual`, or `long` where `ROLLCALL_LONG` asks for the longer run.
pub fn cases<T>(usual: T, long: T) -> T {
    if env::var_os("ROLLCALL_LONG").is_some() {
        long
    } else {
        usual
    }
}

/// A source of cases that `seed` alone decides. It keeps no file of failures: the seed is enough.
pub fn runner(seed: u64, cases: u32) -> TestRunner {
    let bytes = seed.to_le_bytes().repeat(4);
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Says on standard error, past the test harness, what was run.
pub fn tell(figures: &str) {
    // A test does not fail over a closed terminal.
    let _ = writeln!(io::stderr(), "{figures}");
}
