//! Two sessions and one user, in every order in which their statements can come: a signup, the client's own insert of
//! the profile, a repair, a deletion, the upgrade of an anonymous user.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use rollcall_tests::{project::Project, random, sql};
use serde_json::Value;
use tokio::{
    task::{JoinHandle, JoinSet, LocalSet},
    time::{sleep, timeout},
};
use tokio_postgres::{Client, Error};

const USER: &str = "00000000-0000-4000-8000-000000000001";

/// Far more than any wait for a lock here takes.
const HANGS: Duration = Duration::from_secs(60);

/// What a session does in one transaction of three steps: begin, this, commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Actor {
    SignUp,
    ClientInsert,
    Repair,
    Delete,
    Upgrade,
}

impl Actor {
    fn role(self) -> &'static str {
        match self {
            Self::SignUp | Self::Delete | Self::Upgrade => "supabase_auth_admin",
            Self::ClientInsert => "authenticator",
            Self::Repair => "postgres",
        }
    }

    fn steps(self) -> [String; 3] {
        let (begin, statement) = match self {
            Self::SignUp => (
                "begin".to_owned(),
                format!(
                    "insert into auth.users (id, email, created_at) values ('{USER}', 'one@example.com', now())"
                ),
            ),
            Self::ClientInsert => (
                format!(
                    "begin; set local role authenticated; select set_config('request.jwt.claims', '{{\"sub\":\"{USER}\"}}', true)"
                ),
                format!(
                    "insert into public.profiles (id, email) values ('{USER}', 'own@example.com') on conflict (id) do nothing"
                ),
            ),
            Self::Repair => (
                "begin".to_owned(),
                "select public.backfill_all_missing_profiles(100, false)".to_owned(),
            ),
            Self::Delete => (
                "begin".to_owned(),
                format!("delete from auth.users where id = '{USER}'"),
            ),
            Self::Upgrade => (
                "begin".to_owned(),
                format!(
                    "update auth.users set is_anonymous = false, email = 'upgraded@example.com' where id = '{USER}'"
                ),
            ),
        };
        [begin, statement, "commit".to_owned()]
    }
}

/// The pairs, and whether the user is there before, without a profile.
const PAIRS: [([Actor; 2], bool); 9] = [
    ([Actor::SignUp, Actor::ClientInsert], false),
    ([Actor::SignUp, Actor::Repair], false),
    ([Actor::ClientInsert, Actor::Repair], true),
    ([Actor::Repair, Actor::Delete], true),
    ([Actor::ClientInsert, Actor::Delete], true),
    ([Actor::Repair, Actor::Upgrade], true),
    ([Actor::ClientInsert, Actor::Upgrade], true),
    ([Actor::Repair, Actor::Repair], true),
    ([Actor::Upgrade, Actor::Delete], true),
];

/// Every order of three steps of the one and three of the other: whose turn it is.
fn orders() -> Vec<[usize; 6]> {
    (0..64_u32)
        .filter(|order| order.count_ones() == 3)
        .map(|order| std::array::from_fn(|turn| (order >> turn & 1) as usize))
        .collect()
}

/// One side of an interleaving.
struct Session {
    client: Arc<Client>,
    backend: i32,
    steps: Vec<String>,
    running: Option<JoinHandle<Result<(), Error>>>,
    refused: Option<String>,
}

impl Session {
    async fn new(project: &Project, actor: Actor) -> Result<Self> {
        let client = rollcall_sandbox::connect(&project.database.url_as(actor.role())).await?;
        let mut steps = actor.steps().to_vec();
        steps.reverse();
        Ok(Self {
            backend: sql::value(&client, "select pg_backend_pid()").await?,
            client: Arc::new(client),
            steps,
            running: None,
            refused: None,
        })
    }

    /// Takes the next step, and returns when it is done or waits for a lock.
    async fn step(&mut self, observer: &Client) -> Result<()> {
        let Some(mut step) = self.steps.pop() else {
            return Ok(());
        };
        if self.refused.is_some() && step == "commit" {
            step = "rollback".to_owned();
        }
        let client = Arc::clone(&self.client);
        self.running = Some(tokio::spawn(
            async move { client.batch_execute(&step).await },
        ));
        self.settle(observer, true).await
    }

    /// Waits until the running step is done, or, if that is enough, waits for a lock.
    async fn settle(&mut self, observer: &Client, may_wait: bool) -> Result<()> {
        let waits = format!(
            "select coalesce((select wait_event_type = 'Lock' from pg_stat_activity where pid = {}), false)",
            self.backend
        );
        let settled = async {
            while let Some(running) = &mut self.running {
                if running.is_finished() {
                    if let Err(error) = running.await? {
                        let code = error.code().map(|code| code.code().to_owned());
                        self.refused = Some(code.unwrap_or_else(|| error.to_string()));
                    }
                    self.running = None;
                } else if may_wait && sql::value(observer, &waits).await? {
                    return Ok(());
                } else {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            anyhow::Ok(())
        };
        timeout(HANGS, settled).await.context("it hangs")?
    }
}

/// Plays one order. A session whose turn it is while it waits for the other lets the other go on first.
async fn play(
    project: &Project,
    observer: &Client,
    pair: [Actor; 2],
    order: [usize; 6],
) -> Result<[Option<String>; 2]> {
    let mut sessions = [
        Session::new(project, pair[0]).await?,
        Session::new(project, pair[1]).await?,
    ];
    for turn in order {
        let other = 1 - turn;
        sessions[turn].settle(observer, true).await?;
        while sessions[turn].running.is_some() && !sessions[other].steps.is_empty() {
            sessions[other].step(observer).await?;
            sessions[turn].settle(observer, true).await?;
        }
        sessions[turn].settle(observer, false).await?;
        sessions[turn].step(observer).await?;
    }
    for session in &mut sessions {
        session.settle(observer, false).await?;
    }
    Ok(sessions.map(|session| session.refused))
}

async fn prepare(observer: &Client, user_is_there: bool, is_anonymous: bool) -> Result<()> {
    observer
        .batch_execute("delete from auth.users; delete from public.profiles; delete from rollcall.event; delete from rollcall.failure")
        .await?;
    if user_is_there {
        observer
            .batch_execute(&format!(
                "begin; set local session_replication_role = replica;
                 insert into auth.users (id, email, is_anonymous, created_at)
                 values ('{USER}', {}, {is_anonymous}, now() - interval '1 day'); commit",
                if is_anonymous {
                    "null"
                } else {
                    "'one@example.com'"
                }
            ))
            .await?;
    }
    Ok(())
}

async fn check(observer: &Client, pair: [Actor; 2], refused: &[Option<String>; 2]) -> Result<()> {
    for (actor, refused) in pair.iter().zip(refused) {
        let may_be_refused = match actor {
            // The client's own insert is the application's: its user is not there yet, or not any more.
            Actor::ClientInsert => refused.as_deref() == Some("23503"),
            _ => false,
        };
        ensure!(
            refused.is_none() || may_be_refused,
            "P4, P11: {actor:?} is refused: {refused:?}"
        );
    }
    let profiles = "select coalesce(json_agg(p::text order by p.id), '[]') from public.profiles p";
    let before: Value = sql::value(observer, profiles).await?;
    let repaired: Value = sql::value(
        observer,
        "select public.backfill_all_missing_profiles(100, false)",
    )
    .await?;
    ensure!(
        repaired["failed"] == 0 && repaired["remaining"] == 0,
        "P5: {repaired}"
    );
    let after: Value = sql::value(observer, profiles).await?;
    let existed = before.as_array().is_some_and(|rows| !rows.is_empty());
    ensure!(!existed || before == after, "P1: {before} became {after}");
    let row = observer
        .query_typed_one(
            "select (select count(*) from auth.users), (select count(*) from public.profiles),
               (select count(*) from rollcall.failure),
               (select count(*) from (select from public.user_events group by user_id, kind having count(*) > 1) twice)",
            &[],
        )
        .await?;
    let counts: [i64; 4] = std::array::from_fn(|column| row.get(column));
    let is_deleted = pair.contains(&Actor::Delete);
    ensure!(
        counts == [i64::from(!is_deleted), i64::from(!is_deleted), 0, 0],
        "P4: {counts:?}"
    );
    Ok(())
}

/// Keeps P1, P4, P5 and P11.
#[tokio::test]
async fn any_order_of_two_sessions_ends_with_one_profile_for_a_user_who_is_there() -> Result<()> {
    let play_pair = async |pair: [Actor; 2], user_is_there: bool| {
        let project = Project::migrated().await?;
        let observer = project.connect_as_superuser().await?;
        for order in orders() {
            let what = || format!("{pair:?} in the order {order:?}");
            prepare(&observer, user_is_there, pair.contains(&Actor::Upgrade)).await?;
            let refused = play(&project, &observer, pair, order)
                .await
                .with_context(what)?;
            check(&observer, pair, &refused).await.with_context(what)?;
        }
        anyhow::Ok(())
    };
    let all = async {
        let mut pairs = JoinSet::new();
        for (pair, user_is_there) in PAIRS {
            pairs.spawn_local(async move { play_pair(pair, user_is_there).await });
        }
        while let Some(ended) = pairs.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(all).await?;
    random::tell(&format!(
        "interleavings: {} pairs, {} orders each",
        PAIRS.len(),
        orders().len()
    ));
    Ok(())
}
