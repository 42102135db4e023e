//! Users without a profile by the number, the options to repair them with, and how long a run is leased.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use rollcall::backfill::{Progress, RunOptions, Source};
use uuid::Uuid;

use crate::project::Project;

/// The lease of a run whose worker is gone has ended after this long, with time to spare.
pub const LEASE: Duration = Duration::from_secs(30);

/// User number `number`; the order of the numbers is the order of the ids.
pub fn user(number: u32) -> Uuid {
    Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0000 + u128::from(number))
}

/// Users `from` to `to`, past every trigger. The address of a bad one begins with `bad`.
pub async fn add_missing(project: &Project, from: u32, to: u32, bad: &[u32]) -> Result<()> {
    let bad: Vec<i32> = bad
        .iter()
        .map(|number| i32::try_from(*number))
        .collect::<Result<_, _>>()?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&format!(
            "begin; set local session_replication_role = replica;
             insert into auth.users (id, email, created_at)
             select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
               case when n = any (array{bad:?}::integer[]) then 'bad' else 'user' end || n || '@example.com', now() - interval '1 day'
             from generate_series({from}, {to}) n;
             commit"
        ))
        .await?;
    Ok(())
}

/// No profile for a bad address.
pub const NO_BAD_ADDRESS: &str =
    "alter table public.profiles add constraint no_bad check (email not like 'bad%')";

/// A project with users 1 to `number`, all of them without a profile, some with a bad address.
pub async fn project_with_missing(number: u32, bad: &[u32]) -> Result<Project> {
    let project = Project::migrated().await?;
    project
        .connect()
        .await?
        .batch_execute(NO_BAD_ADDRESS)
        .await?;
    add_missing(&project, 1, number, bad).await?;
    Ok(project)
}

/// What the command line asks for.
pub fn options(batch_size: u32, max_users: Option<u64>, account_type: Option<&str>) -> RunOptions {
    RunOptions {
        batch_size,
        max_users,
        account_type: account_type.map(ToOwned::to_owned),
        ..RunOptions::new(Source::Cli)
    }
}

/// Nobody watches the progress.
pub fn unwatched(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
