//! Random histories of a project on a real PostgreSQL: whatever happens, and in whatever order, the promises hold
//! after each step. Half of them are of projects whose profiles Rollcall's own trigger makes, half of projects with a
//! trigger of their own that Rollcall watches.
//!
//! `ROLLCALL_SEED` repeats a run, `ROLLCALL_LONG` makes it 10,000 histories instead of 128.

mod model;
mod step;
mod world;

use std::{
    cell::RefCell,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Result, anyhow};
use proptest::test_runner::TestCaseError;
use rollcall_tests::random;

use model::Stance;
use step::history;
use world::World;

/// Histories are played in so many projects at once: a database works on one core at a time.
const PROJECTS: [Stance; 2] = [Stance::Make, Stance::Watch];

/// Keeps P1, P2, P4, P5, P6, P7 and P11; each `ensure` of `model` and `world` names the one it is about.
#[test]
fn the_promises_hold_after_every_step_of_any_history() -> Result<()> {
    let (seed, cases) = (random::seed(), random::cases(128, 10_000));
    let steps = AtomicUsize::new(0);
    let outcomes: Vec<Result<()>> = thread::scope(|scope| {
        let players: Vec<_> = (0..)
            .zip(PROJECTS)
            .map(|(number, stance)| {
                let steps = &steps;
                let seed = seed.wrapping_add(number);
                scope.spawn(move || play(stance, seed, cases / 2, steps))
            })
            .collect();
        let ends = players.into_iter().map(|player| player.join());
        ends.map(|end| end.unwrap_or_else(|_| Err(anyhow!("a player panicked"))))
            .collect()
    });
    random::tell(&format!(
        "{cases} histories, {} steps (ROLLCALL_SEED={seed})",
        steps.into_inner()
    ));
    for outcome in outcomes {
        outcome.map_err(|error| anyhow!("ROLLCALL_SEED={seed}: {error}"))?;
    }
    Ok(())
}

fn play(stance: Stance, seed: u64, cases: u32, steps: &AtomicUsize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Shrinking plays a history many times over, each time from an empty project.
    let world = RefCell::new(runtime.block_on(World::new(stance))?);
    random::runner(seed, cases).run(&history(), |history| {
        let played = runtime.block_on(world.borrow_mut().play(&history));
        steps.fetch_add(history.len(), Ordering::Relaxed);
        played.map_err(|error| TestCaseError::fail(format!("{stance:?}: {error:#}")))
    })?;
    Ok(())
}
