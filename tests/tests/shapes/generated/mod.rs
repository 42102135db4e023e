//! Applications made at random, each written as a file of the corpus and played as one. A failure is told with the
//! smallest application that still fails: its SQL can go into `tests/shapes` as it is.
//!
//! Three applications, the same in every run. `ROLLCALL_SEED` begins with another, `ROLLCALL_LONG` makes it 200 that are new.

mod application;
mod code;
mod expectations;
mod table;

use anyhow::{Error, Result, anyhow};
use rollcall_tests::random;

use crate::play;
use application::Application;

/// Their seeds follow each other: first, first + 1, and so on.
#[tokio::test]
async fn applications_made_at_random_fare_like_their_twins() -> Result<()> {
    let (first, cases) = (random::seed_or(1000), random::cases(3, 200));
    random::tell(&format!("{cases} applications (ROLLCALL_SEED={first})"));
    for seed in (0..cases).map(|number| first.wrapping_add(number)) {
        let application = Application::random(&mut random::runner(seed, 1))?;
        if let Err(failure) = play_generated(seed, application).await {
            return Err(with_the_smallest(seed, application, failure).await);
        }
    }
    Ok(())
}

async fn play_generated(seed: u64, application: Application) -> Result<()> {
    play(&format!("generated_{seed}"), &application.file()).await
}

/// Sets one dimension after another back to its simplest choice, while that still fails.
async fn with_the_smallest(seed: u64, application: Application, failure: Error) -> Error {
    let (mut smallest, mut its_failure) = (application, format!("{failure:#}"));
    for simplify in Application::SIMPLIFY {
        let mut simpler = smallest;
        simplify(&mut simpler);
        if simpler == smallest {
            continue;
        }
        if let Err(failure) = play_generated(seed, simpler).await {
            (smallest, its_failure) = (simpler, format!("{failure:#}"));
        }
    }
    anyhow!(
        "ROLLCALL_SEED={seed}: {application:?}\n{failure:#}\n\n{}\nThe smallest that fails: {smallest:?}\n{its_failure}\n\n{}",
        application.file(),
        smallest.file()
    )
}
