//! Looking at a project in which nothing is installed.

use std::time::Instant;

use anyhow::{Result, ensure};
use rollcall::checks::health::HealthReport;
use rollcall::checks::next_signup::{self, Asker};
use rollcall::migrations::{self, Extent};
use rollcall::session::Session;
use rollcall_sandbox::Database;

use crate::data;
use crate::figure::{self, Figure};
use crate::row::{Goal, Row};

/// The baseline's triggers write what goes with Rollcall.
const REMOVE_BASELINE: &str = "drop schema baseline cascade";

/// What an application has of its own.
const APPLICATION: &str = "
    create function public.make_profile() returns trigger language plpgsql security definer set search_path = '' as $$
    begin
      insert into public.profiles (id, email) values (new.id, new.email);
      return new;
    end $$;
    create trigger on_auth_user_created after insert on auth.users for each row execute function public.make_profile();";

/// Comes last: takes Rollcall out of the database.
pub(crate) async fn measure(database: &Database, rounds: u32) -> Result<Vec<Row>> {
    let installed = health(database, rounds).await?;
    let admin = rollcall_sandbox::connect(&database.url_as("supabase_admin")).await?;
    admin.batch_execute(REMOVE_BASELINE).await?;
    migrations::roll_back(&mut data::rollcall(database).await?, Extent::Everything).await?;
    admin.batch_execute(APPLICATION).await?;
    let looking = health(database, rounds).await?;
    let more = looking.plus(-installed.median);
    Ok(vec![
        Row::milliseconds("looking without an installation", looking)
            .lower_bound("with one", installed),
        Row::milliseconds("what looking adds", more).goal(Goal::AtMost(1000.0)),
    ])
}

/// What `rollcall health` takes on an open connection.
async fn health(database: &Database, rounds: u32) -> Result<Figure> {
    let mut session = Session::of_any_stance(data::settings(&database.url())?, |_| ());
    let [taken] = figure::interleave(rounds, [()], async |()| {
        let start = Instant::now();
        let report: HealthReport = session
            .run(async |database| next_signup::take(database, Asker::Person).await)
            .await?;
        ensure!(report.users.is_some(), "nobody was compared: {report:?}");
        Ok(start.elapsed().as_secs_f64() * 1000.0)
    })
    .await?;
    Ok(taken)
}
