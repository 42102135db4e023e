//! The real project beside the model: plays each step on both, and compares them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use rollcall::{
    backfill::{self, RunOptions, Source},
    checks::health::HealthReport,
    database::Database,
    session::Session,
    verdict::Verdict,
};
use rollcall_sandbox::{Auth, Person, SignupKind};
use rollcall_tests::{
    backfills::{options, unwatched},
    project::Project,
    sql::value,
};
use serde_json::Value;
use tokio_postgres::{Client, types::Type};
use uuid::Uuid;

use crate::model::{Change, Model, Stance, User};
use crate::step::{Blindness, Step, TriggerState};

/// What a project has beside Rollcall: a constraint that some addresses break, and a trigger that refuses everybody
/// while it is on.
const APPLICATION: &str = "
    alter table public.profiles add constraint no_bad check (email not like 'bad%');
    create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
    create trigger refuse before insert on public.profiles for each row execute function public.refuse();
    alter table public.profiles disable trigger refuse;
    do $$ begin create role rightless; exception when duplicate_object or unique_violation then null; end $$";

/// An empty project again.
const RESET: &str = "
    update rollcall.settings set grace_period = '0';
    delete from auth.users;
    delete from auth.audit_log_entries;
    delete from public.profiles;
    delete from rollcall.event;
    delete from rollcall.failure;
    delete from rollcall.run";

/// All that a step can change and a report may say, in one look.
const LOOK: &str = "
    select
      (select coalesce(json_object_agg(p.id, p::text), '{}') from public.profiles p) as profiles,
      (select coalesce(json_agg(f.user_id), '[]') from rollcall.failure f join auth.users u on u.id = f.user_id) as failures,
      (select count(*) from rollcall.event) as events,
      (select count(*) from rollcall.event where kind = 'profile_backfilled') as repaired,
      exists (select from rollcall.event where kind = 'profile_bootstrap_ok') as has_made";

const REPORTS: &str = "
    select
      (select coalesce(json_agg(m.user_id), '[]') from public.get_auth_profile_mismatches(1000) m where m.status = 'auth_only') as missing,
      (select coalesce(json_agg(r.user_id), '[]') from public.check_recent_signup_issues() r where r.has_auth_user) as recent,
      (select coalesce(json_agg(r.user_id), '[]') from public.check_recent_signup_issues() r where not r.has_auth_user) as vanished,
      (select v.count from public.verify_profile_completeness() v where v.check_name = 'Auth users without profiles') as unverified,
      (select h.recent_signups_count from public.monitor_signup_health() h) as recent_signups";

/// Whatever made Rollcall blind.
const SEE: &str = "
    update rollcall.settings set target_table = 'public.profiles';
    alter function rollcall.require_definition() owner to postgres";

/// After how many steps the whole verdict is taken; the counts and lists are after each.
const WHOLE_VERDICT_EVERY: u32 = 8;

/// What one look at the database showed.
struct Look {
    profiles: BTreeMap<Uuid, String>,
    failures: BTreeSet<Uuid>,
    events: i64,
    repaired: i64,
    /// Whether Rollcall's trigger has made a profile.
    has_made: bool,
}

/// A project, connections to it, and the model of what should be in it.
pub(crate) struct World {
    model: Model,
    auth: Auth,
    admin: Client,
    /// As which a second signup runs beside everything else.
    other_auth: Client,
    /// As which PostgREST connects.
    api: Client,
    reports: Database,
    sessions: [Session; 2],
    trigger: String,
    handler: String,
    people: u32,
    compared: u32,
}

impl World {
    pub(crate) async fn new(stance: Stance) -> Result<Self> {
        let project = match stance {
            Stance::Make => Project::migrated().await?,
            Stance::Watch => Project::watched().await?,
        };
        let admin = project.connect_as_superuser().await?;
        admin.batch_execute(APPLICATION).await?;
        Ok(Self {
            model: Model::new(stance),
            auth: project.auth().await?,
            other_auth: rollcall_sandbox::connect(&project.database.url_as("supabase_auth_admin"))
                .await?,
            api: rollcall_sandbox::connect(&project.database.url_as("authenticator")).await?,
            reports: project.rollcall().await?,
            sessions: [project.session()?, project.session()?],
            trigger: value(
                &admin,
                "select pg_catalog.pg_get_triggerdef(t.oid) from pg_catalog.pg_trigger t where t.tgname = 'on_auth_user_created'",
            )
            .await?,
            handler: value(
                &admin,
                "select pg_catalog.pg_get_functiondef('public.handle_new_user()'::regprocedure)",
            )
            .await?,
            admin,
            people: 0,
            compared: 0,
        })
    }

    /// Plays a history on an empty project, and fixes everything at its end.
    pub(crate) async fn play(&mut self, history: &[Step]) -> Result<()> {
        self.reset()
            .await
            .context("the project cannot be emptied")?;
        for (number, step) in history.iter().enumerate() {
            let change = self
                .take(step)
                .await
                .with_context(|| format!("step {number}: {step:?}"))?;
            self.compare(&change)
                .await
                .with_context(|| format!("after step {number}: {step:?}"))?;
        }
        self.fix_everything().await.context("at the end")
    }

    async fn reset(&mut self) -> Result<()> {
        self.fix_project().await?;
        self.admin.batch_execute(RESET).await?;
        self.model = Model::new(self.model.stance);
        Ok(())
    }

    // Steps -------------------------------------------------------------------------------------------------------

    async fn take(&mut self, step: &Step) -> Result<Change> {
        match *step {
            Step::SignUp {
                kind,
                is_bad,
                is_old,
            } => self.sign_up(kind, is_bad, is_old).await,
            Step::OpenSignUp {
                with_repair,
                commits,
            } => self.open_sign_up(with_repair, commits).await,
            Step::Trigger(state) => self.set_trigger(state).await,
            Step::Refuse(refuses) => self.set_refuse(refuses).await,
            Step::Blind(blindness) => self.set_blindness(blindness).await,
            Step::Grace(has_grace_period) => {
                let minutes = if has_grace_period { 10 } else { 0 };
                self.admin
                    .batch_execute(&format!(
                        "update rollcall.settings set grace_period = '{minutes} minutes'"
                    ))
                    .await?;
                self.model.has_grace_period = has_grace_period;
                Ok(Change::default())
            }
            Step::RepairPage(size) => self.repair_page(size).await,
            Step::RepairSome {
                batch_size,
                max_users,
            } => self.repair_some(batch_size, max_users).await,
            Step::RepairAll { batch_size } => self.repair_all(batch_size).await,
            Step::RepairTwice { batch_sizes } => self.repair_twice(batch_sizes).await,
            Step::DryRun => self.dry_run().await,
            _ => self.about_a_user(step).await,
        }
    }

    async fn about_a_user(&mut self, step: &Step) -> Result<Change> {
        let model = &self.model;
        let has_profile = |id: &Uuid| model.profiles.contains_key(id);
        let has_address = |user: &User| user.email.is_some() || user.has_phone;
        let id = match *step {
            Step::Confirm(place) | Step::SignUpAgain(place) => {
                model.at(place, |_, user| !user.is_soft_deleted && has_address(user))
            }
            Step::ChangeEmail { place, .. } => model.at(place, |_, user| {
                !user.is_soft_deleted && user.email.is_some()
            }),
            Step::UpgradeAnonymous(place) => {
                model.at(place, |_, user| !user.is_soft_deleted && user.is_anonymous)
            }
            Step::SoftDelete(place) => model.at(place, |_, user| !user.is_soft_deleted),
            Step::DeleteProfile(place) | Step::EditProfile(place) => {
                model.at(place, |id, _| has_profile(id))
            }
            Step::InsertProfile(place) => model.at(place, |_, user| !user.is_soft_deleted),
            Step::HardDelete(place)
            | Step::SqlDelete(place)
            | Step::RepairUser(place)
            | Step::Ensure(place) => model.at(place, |_, _| true),
            _ => bail!("not about a user"),
        };
        let Some(id) = id else {
            return Ok(Change::default());
        };
        let only = BTreeSet::from([id]);
        let mut change = Change::default();
        match *step {
            Step::Confirm(_) => self.auth.verify(id).await?,
            Step::SignUpAgain(_) => self.auth.repeat_sign_up(id).await?,
            Step::ChangeEmail { is_bad, .. } => {
                let email = self.new_email(is_bad);
                self.auth.change_email(id, &email).await?;
                self.user(id)?.email = Some(email);
            }
            Step::UpgradeAnonymous(_) => {
                let email = self.new_email(false);
                self.auth.upgrade_anonymous(id, &email).await?;
                let user = self.user(id)?;
                user.email = Some(email);
                user.is_anonymous = false;
            }
            Step::SoftDelete(_) => {
                self.auth.soft_delete(id).await?;
                self.user(id)?.is_soft_deleted = true;
            }
            Step::HardDelete(_) | Step::SqlDelete(_) => {
                if matches!(step, Step::HardDelete(_)) {
                    self.auth.hard_delete(id).await?;
                } else {
                    self.auth.sql_delete(id).await?;
                }
                self.model.users.remove(&id);
                change.vanish = only;
            }
            Step::DeleteProfile(_) => {
                let sql = "delete from public.profiles where id = $1";
                self.admin.execute_typed(sql, &[(&id, Type::UUID)]).await?;
                change.vanish = only;
            }
            Step::EditProfile(_) => {
                let sql = match self.model.stance {
                    Stance::Make => {
                        "update public.profiles set account_type = account_type || '+', updated_at = clock_timestamp() where id = $1"
                    }
                    Stance::Watch => {
                        "update public.profiles set full_name = coalesce(full_name, '') || '+' where id = $1"
                    }
                };
                self.admin.execute_typed(sql, &[(&id, Type::UUID)]).await?;
                change.edited = only;
            }
            Step::InsertProfile(_) => return self.insert_profile(id).await,
            Step::RepairUser(_) => return self.repair_user(id).await,
            Step::Ensure(_) => {
                let sql = format!("select public.ensure_profile_exists('{id}')");
                self.admin.batch_execute(&sql).await.context("P11")?;
                if self.model.blindness.is_none() && self.model.repairable().contains(&id) {
                    change.appear = only;
                    change.is_repair = true;
                }
            }
            _ => bail!("not about a user"),
        }
        Ok(change)
    }

    async fn sign_up(&mut self, kind: SignupKind, is_bad: bool, is_old: bool) -> Result<Change> {
        self.people += 1;
        let mut person = Person::numbered(self.people);
        person.email = Some(self.new_email(is_bad));
        self.auth.clock = is_old.then(|| Timestamp::now() - SignedDuration::from_hours(48));
        let signed_up = self.auth.sign_up(kind, &person).await;
        self.auth.clock = None;
        let id = match signed_up {
            Ok(id) => id,
            Err(error) => {
                // of what the application refuses, only an address is known beforehand
                let has_address = !matches!(
                    kind,
                    SignupKind::Anonymous
                        | SignupKind::Web3
                        | SignupKind::PhoneAutoconfirm
                        | SignupKind::PhoneConfirmation
                );
                let refused = User {
                    email: person.email.filter(|_| has_address),
                    ..User::default()
                };
                ensure!(
                    !self.model.signup_succeeds(&refused),
                    "P11: the signup is blocked: {error:#}"
                );
                return Ok(Change::default());
            }
        };
        let row = self
            .admin
            .query_typed_one(
                "select email, phone is not null from auth.users where id = $1",
                &[(&id, Type::UUID)],
            )
            .await?;
        let user = User {
            email: row.get(0),
            has_phone: row.get(1),
            is_old,
            is_anonymous: kind == SignupKind::Anonymous,
            is_soft_deleted: false,
        };
        ensure!(
            self.model.signup_succeeds(&user),
            "a signup went through that the application refuses"
        );
        Ok(self.signed_up(id, user))
    }

    fn signed_up(&mut self, id: Uuid, user: User) -> Change {
        let mut change = Change::default();
        if self.model.signup_makes_profile(&user) {
            change.appear.insert(id);
        }
        self.model.users.insert(id, user);
        change
    }

    async fn open_sign_up(&mut self, with_repair: bool, commits: bool) -> Result<Change> {
        let id = Uuid::new_v4();
        let email = self.new_email(false);
        let user = User {
            email: Some(email.clone()),
            ..User::default()
        };
        let signed_up = self
            .other_auth
            .batch_execute(&format!(
                "begin; insert into auth.users (id, email, created_at) values ('{id}', '{email}', now())"
            ))
            .await;
        ensure!(
            signed_up.is_ok() == self.model.signup_succeeds(&user),
            "P11: {signed_up:?}"
        );
        if signed_up.is_err() {
            self.other_auth.batch_execute("rollback").await?;
            return Ok(Change::default());
        }
        let inside = async {
            let change = if with_repair {
                self.repair_all(3).await?
            } else {
                Change::default()
            };
            // P6: nobody has heard of this user yet
            self.compare(&change).await
        }
        .await;
        let end = if commits { "commit" } else { "rollback" };
        self.other_auth
            .batch_execute(end)
            .await
            .context("P11: the signup cannot commit")?;
        inside.context("while a signup was open")?;
        if !commits {
            return Ok(Change::default());
        }
        Ok(self.signed_up(id, user))
    }

    async fn insert_profile(&mut self, id: Uuid) -> Result<Change> {
        let user = &self.model.users[&id];
        let can = self.model.can_have_profile(user);
        let email = user.email.clone();
        self.api
            .batch_execute(&format!(
                "begin; set local role authenticated;
                 select set_config('request.jwt.claims', '{{\"sub\":\"{id}\"}}', true)"
            ))
            .await?;
        let inserted = self
            .api
            .execute_typed(
                "insert into public.profiles (id, email) values ($1, $2) on conflict (id) do nothing",
                &[(&id, Type::UUID), (&email, Type::TEXT)],
            )
            .await;
        self.api
            .batch_execute(if inserted.is_ok() {
                "commit"
            } else {
                "rollback"
            })
            .await?;
        // PostgreSQL tries the row before it looks for the one that is there.
        ensure!(
            inserted.is_ok() == can,
            "the client's own insert: {inserted:?}"
        );
        Ok(Change {
            appear: if can {
                BTreeSet::from([id])
            } else {
                BTreeSet::new()
            },
            ..Change::default()
        })
    }

    async fn fix_project(&mut self) -> Result<()> {
        self.set_blindness(None).await?;
        self.set_refuse(false).await?;
        self.set_trigger(TriggerState::Working).await?;
        Ok(())
    }

    async fn set_trigger(&mut self, state: TriggerState) -> Result<Change> {
        if self.model.trigger == state {
            return Ok(Change::default());
        }
        self.admin
            .batch_execute("drop trigger if exists on_auth_user_created on auth.users")
            .await?;
        let handler = match state {
            TriggerState::Foreign => {
                "create or replace function public.handle_new_user() returns trigger language plpgsql as $$ begin return new; end $$"
            }
            _ => &self.handler,
        };
        self.admin.batch_execute(handler).await?;
        if state != TriggerState::Dropped {
            self.admin.batch_execute(&self.trigger).await?;
        }
        if state == TriggerState::Disabled {
            self.admin
                .batch_execute("alter table auth.users disable trigger on_auth_user_created")
                .await?;
        }
        self.model.trigger = state;
        Ok(Change::default())
    }

    async fn set_refuse(&mut self, refuses: bool) -> Result<Change> {
        if self.model.refuses == refuses {
            return Ok(Change::default());
        }
        let switch = if refuses { "enable" } else { "disable" };
        self.admin
            .batch_execute(&format!(
                "alter table public.profiles {switch} trigger refuse"
            ))
            .await?;
        self.model.refuses = refuses;
        Ok(Change::default())
    }

    async fn set_blindness(&mut self, blindness: Option<Blindness>) -> Result<Change> {
        if self.model.blindness != blindness {
            self.admin.batch_execute(SEE).await?;
            match blindness {
                None => {}
                Some(Blindness::NoDefinition) => {
                    self.admin
                        .batch_execute("update rollcall.settings set target_table = null")
                        .await?;
                }
                Some(Blindness::NoRights) => {
                    self.admin
                        .batch_execute(
                            "alter function rollcall.require_definition() owner to rightless",
                        )
                        .await?;
                }
            }
            self.model.blindness = blindness;
        }
        Ok(Change::default())
    }

    // Repairs -----------------------------------------------------------------------------------------------------

    async fn repair_user(&mut self, id: Uuid) -> Result<Change> {
        let sql = format!("select public.backfill_user_profile('{id}')");
        let answer: Value = value(&self.admin, &sql).await?;
        let is_repairable = self.model.repairable().contains(&id);
        let is_content = is_repairable || self.model.profiles.contains_key(&id);
        let expected =
            is_content && self.model.blindness.is_none() && !self.model.users[&id].is_soft_deleted;
        ensure!(answer["success"] == expected, "{answer}");
        Ok(Change {
            appear: if expected && is_repairable {
                BTreeSet::from([id])
            } else {
                BTreeSet::new()
            },
            is_repair: true,
            ..Change::default()
        })
    }

    async fn repair_page(&mut self, size: u8) -> Result<Change> {
        let sql = format!("select public.backfill_all_missing_profiles({size}, false)");
        let answer = value::<Value>(&self.admin, &sql).await;
        if self.model.blindness.is_some() {
            ensure!(answer.is_err(), "P7: repaired what it could not see");
            return Ok(Change::default());
        }
        let answer = answer?;
        let number = i64::try_from(self.model.missing().len())?;
        ensure!(answer["total_missing"] == number, "{answer}");
        ensure!(
            answer["processed"] == number.min(size.into()),
            "P5: somebody waits behind those who cannot be repaired: {answer}"
        );
        Ok(Change {
            may_appear: self.model.repairable(),
            is_repair: true,
            ..Change::default()
        })
    }

    async fn repair_some(&mut self, batch_size: u8, max_users: u8) -> Result<Change> {
        let repairable = self.model.repairable();
        let outcome = self.apply(0, batch_size, Some(max_users.into())).await?;
        let Some(created) = outcome else {
            return Ok(Change::default());
        };
        ensure!(created <= i64::from(max_users));
        Ok(Change {
            may_appear: repairable,
            is_repair: true,
            ..Change::default()
        })
    }

    /// P5, and P2: once more changes nothing.
    async fn repair_all(&mut self, batch_size: u8) -> Result<Change> {
        let change = self.repaired();
        if self.apply(0, batch_size, None).await?.is_none() {
            return Ok(Change::default());
        }
        let once = self.look().await?;
        let created = self.apply(1, batch_size, None).await?;
        ensure!(created == Some(0), "P2: the second repair made {created:?}");
        let twice = self.look().await?;
        ensure!(
            (&once.profiles, &once.failures, once.repaired)
                == (&twice.profiles, &twice.failures, twice.repaired),
            "P2: the second repair changed something"
        );
        self.everyone_was_attempted(&twice)?;
        Ok(change)
    }

    /// P4.
    async fn repair_twice(&mut self, [first, second]: [u8; 2]) -> Result<Change> {
        let change = self.repaired();
        let [one, two] = &mut self.sessions;
        let (one, two) = tokio::join!(apply(one, first, None), apply(two, second, None));
        if self.model.blindness.is_some() {
            ensure!(one.is_err() && two.is_err(), "P7");
            return Ok(Change::default());
        }
        let created = one.context("P4")? + two.context("P4")?;
        ensure!(
            created == i64::try_from(change.appear.len())?,
            "P4: two made {created} of {}",
            change.appear.len()
        );
        let look = self.look().await?;
        self.everyone_was_attempted(&look)?;
        Ok(change)
    }

    /// What a repair of everyone does.
    fn repaired(&self) -> Change {
        Change {
            appear: self.model.repairable(),
            is_repair: true,
            ..Change::default()
        }
    }

    /// P5: who is missing after a repair is a recorded failure. (Signups during the repair there are none here.)
    fn everyone_was_attempted(&self, look: &Look) -> Result<()> {
        let mut missing = self.model.missing();
        missing.retain(|id| !look.profiles.contains_key(id));
        ensure!(
            missing == look.failures,
            "P5: missing {missing:?}, recorded failures {:?}",
            look.failures
        );
        Ok(())
    }

    /// How many profiles a repair made; none where it could not see, which it must say.
    async fn apply(
        &mut self,
        session: usize,
        batch_size: u8,
        max_users: Option<u64>,
    ) -> Result<Option<i64>> {
        let outcome = apply(&mut self.sessions[session], batch_size, max_users).await;
        if self.model.blindness.is_some() {
            ensure!(outcome.is_err(), "P7: repaired what it could not see");
            return Ok(None);
        }
        outcome.map(Some)
    }

    async fn dry_run(&mut self) -> Result<Change> {
        let sql = "select public.backfill_all_missing_profiles(100, true)";
        let answer = value::<Value>(&self.admin, sql).await;
        let run =
            backfill::dry_run(&mut self.sessions[0], &RunOptions::new(Source::Cli), None).await;
        if self.model.blindness.is_some() {
            ensure!(answer.is_err() && run.is_err(), "P7");
            return Ok(Change::default());
        }
        let (answer, run) = (answer?, run?);
        let missing = i64::try_from(self.model.missing().len())?;
        let repairable = i64::try_from(self.model.repairable().len())?;
        ensure!(
            answer["total_missing"] == missing && answer["would_succeed"] == repairable,
            "{answer}"
        );
        ensure!(
            run.total_missing == missing && run.would_create == repairable,
            "{run:?}"
        );
        Ok(Change::default())
    }

    // Comparison --------------------------------------------------------------------------------------------------

    async fn compare(&mut self, change: &Change) -> Result<()> {
        let look = self.look().await?;
        ensure!(
            look.events >= self.model.events,
            "events went away with a user"
        );
        self.model.events = look.events;
        self.model.absorb(look.profiles, change)?;
        ensure!(
            look.repaired == self.model.repaired,
            "P2: {} events of repairs, which made {} profiles",
            look.repaired,
            self.model.repaired
        );
        self.compare_reports(look.has_made).await
    }

    async fn compare_reports(&mut self, has_made: bool) -> Result<()> {
        let model = &self.model;
        let reported = model.reported();
        // The whole verdict asks the doctor, who reads the catalog: not after every step.
        self.compared += 1;
        let health =
            if self.compared.is_multiple_of(WHOLE_VERDICT_EVERY) || model.blindness.is_some() {
                Some(HealthReport::take(&mut self.reports).await)
            } else {
                None
            };
        let reports = self.admin.query_typed_one(REPORTS, &[]).await;
        if model.blindness.is_some() {
            let sees = health
                .as_ref()
                .and_then(|health| health.as_ref().ok())
                .is_some_and(|health| {
                    // a fault of the trigger needs no definition to be seen
                    let is_known_fault = model.trigger != TriggerState::Working
                        && health.verdict == Verdict::Inconsistent;
                    health.users.is_some()
                        || !(health.verdict == Verdict::Unknown || is_known_fault)
                });
            ensure!(!sees, "P7: {health:?}");
            ensure!(reports.is_err(), "P7: counted what it could not see");
            return Ok(());
        }
        let reports = reports?;
        let (missing, recent) = (ids(&reports.get("missing"))?, ids(&reports.get("recent"))?);
        ensure!(missing == reported, "missing {missing:?}, not {reported:?}");
        let newly: BTreeSet<Uuid> = reported
            .iter()
            .filter(|id| !model.users[id].is_old)
            .copied()
            .collect();
        ensure!(recent == newly, "recent {recent:?}, not {newly:?}");
        ensure!(
            ids(&reports.get("vanished"))?
                .iter()
                .all(|id| !model.users.contains_key(id)),
            "a user who is there is said to have vanished"
        );
        let number = i64::try_from(reported.len())?;
        ensure!(reports.get::<_, i64>("unverified") == number);
        let expected = model.users.values().filter(|user| !user.is_soft_deleted);
        let recent_signups = expected.clone().filter(|user| !user.is_old).count();
        ensure!(reports.get::<_, i64>("recent_signups") == i64::try_from(recent_signups)?);

        let Some(health) = health else {
            return Ok(());
        };
        let health = serde_json::to_value(health?)?;
        ensure!(
            health["users"]["missing"] == number
                && health["users"]["expected"] == expected.count()
                && health["users"]["profiles"] == model.profiles.len()
                && health["users"]["orphaned"] == 0,
            "{health}"
        );
        // The policy lets people make their own profile. That a trigger should is known where one ever did.
        let is_lost = match model.stance {
            Stance::Make => has_made,
            Stance::Watch => model.trigger == TriggerState::Dropped,
        };
        let verdicts: &[&str] = match model.trigger {
            _ if number > 0 => &["inconsistent"],
            // What a trigger of the application refuses can be known before anybody signs up, too.
            TriggerState::Working if model.refuses => &["consistent", "inconsistent"],
            TriggerState::Working => &["consistent"],
            TriggerState::Disabled => &["inconsistent"],
            TriggerState::Dropped | TriggerState::Foreign if is_lost => &["inconsistent"],
            TriggerState::Dropped | TriggerState::Foreign => {
                &["consistent", "inconsistent", "unknown"]
            }
        };
        ensure!(
            verdicts.iter().any(|verdict| health["verdict"] == *verdict),
            "P7: {health}, which is {verdicts:?}"
        );
        Ok(())
    }

    async fn look(&self) -> Result<Look> {
        let row = self.admin.query_typed_one(LOOK, &[]).await?;
        Ok(Look {
            profiles: serde_json::from_value(row.get("profiles"))?,
            failures: ids(&row.get("failures"))?,
            events: row.get("events"),
            repaired: row.get("repaired"),
            has_made: row.get("has_made"),
        })
    }

    /// P3, P5: whatever happened, once the reasons are fixed one repair makes everyone's profile.
    async fn fix_everything(&mut self) -> Result<()> {
        self.fix_project().await?;
        self.admin
            .batch_execute(
                "update auth.users set email = 'fixed.' || email where email like 'bad%'",
            )
            .await?;
        for user in self.model.users.values_mut() {
            if let Some(email) = user.email.as_mut().filter(|email| email.starts_with("bad")) {
                *email = format!("fixed.{email}");
            }
        }
        let change = self.repair_all(4).await?;
        self.compared = WHOLE_VERDICT_EVERY - 1;
        self.compare(&change).await?;
        ensure!(self.model.missing().is_empty(), "P5");
        Ok(())
    }

    fn user(&mut self, id: Uuid) -> Result<&mut User> {
        self.model.users.get_mut(&id).context("no such user")
    }

    fn new_email(&mut self, is_bad: bool) -> String {
        self.people += 1;
        let name = if is_bad { "bad" } else { "user" };
        format!("{name}{}@example.com", self.people)
    }
}

async fn apply(session: &mut Session, batch_size: u8, max_users: Option<u64>) -> Result<i64> {
    let outcome = backfill::apply(
        session,
        &options(batch_size.into(), max_users, None),
        None,
        unwatched,
    )
    .await?;
    ensure!(outcome.interruption.is_none(), "{outcome:?}");
    Ok(outcome.created)
}

fn ids(list: &Value) -> Result<BTreeSet<Uuid>> {
    Ok(serde_json::from_value(list.clone())?)
}
