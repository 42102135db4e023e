//! How a check is walked through.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use rollcall::checks::doctor::DoctorReport;
use rollcall::database::Database;
use rollcall::finding::{Finding, Severity};
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Person, Server, SignupKind};
use rollcall_tests::project::{Project, server};
use rollcall_tests::sql::values;

pub(crate) const PROFILES: &str = "
    create table public.profiles (
      id uuid primary key references auth.users (id) on delete cascade,
      email text
    );";

/// The application's own way of making profiles.
pub(crate) const ITS_TRIGGER: &str = "
    create or replace function public.handle_new_user() returns trigger
    language plpgsql security definer set search_path = '' as $$
    begin insert into public.profiles (id, email) values (new.id, new.email); return new; end $$;
    create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();";

pub(crate) const INSERT: &str =
    "insert into public.profiles (id, email) values (new.id, new.email);";

pub(crate) const TOKENS: &str =
    "confirmation_token, recovery_token, email_change, email_change_token_new";
pub(crate) const EMPTY: &str = "'', '', '', ''";

/// The definition that fits [`PROFILES`], with further columns.
pub(crate) fn definition(columns: &str) -> String {
    format!(
        "select rollcall.define('public.profiles', $$
           select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email {columns}
           from auth.users u where u.deleted_at is null $$)"
    )
}

/// Who makes the profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    /// The application's own trigger, and Rollcall watches.
    Application,
    /// Rollcall's trigger.
    Rollcall,
    /// No trigger.
    Nobody,
}

/// How a check is walked through.
pub(crate) struct Walk<'a> {
    /// Who makes the profiles.
    pub(crate) maker: Maker,
    /// The application's tables, before Rollcall comes.
    pub(crate) application: &'a str,
    /// The definition; empty for the one of [`PROFILES`].
    pub(crate) definition: &'a str,
    /// What the application does afterwards, all of it healthy.
    pub(crate) deployed: &'a str,
    /// What looks like the fault and is none; empty where nothing does.
    pub(crate) harmless: &'a str,
    /// The fault.
    pub(crate) wrong: &'a str,
    /// How much it matters.
    pub(crate) severity: Severity,
    /// Ids of further findings that the same fault has.
    pub(crate) beside: &'a [&'a str],
    /// What fixes it, where no SQL of the finding does.
    pub(crate) fixed_by: &'a str,
    /// Who signs up: of a critical finding it must be true that they get no profile.
    pub(crate) kind: SignupKind,
}

pub(crate) const WALK: Walk<'_> = Walk {
    maker: Maker::Application,
    application: PROFILES,
    definition: "",
    deployed: "",
    harmless: "",
    wrong: "",
    severity: Severity::Critical,
    beside: &[],
    fixed_by: "",
    kind: SignupKind::EmailAutoconfirm,
};

pub(crate) async fn examine(project: &Project) -> Result<DoctorReport> {
    Ok(DoctorReport::take(&mut project.rollcall().await?).await?)
}

pub(crate) async fn ids(project: &Project) -> Result<Vec<&'static str>> {
    ids_on(&mut project.rollcall().await?).await
}

/// The same on a connection that is kept, as a function keeps it.
async fn ids_on(database: &mut Database) -> Result<Vec<&'static str>> {
    let findings = DoctorReport::take(database).await?.findings;
    Ok(findings.iter().map(|finding| finding.id).collect())
}

/// Whether somebody who signs up now gets a profile.
pub(crate) async fn signup_works(project: &Project, kind: SignupKind) -> Result<bool> {
    let users: i64 = project.count("select count(*) from auth.users").await?;
    let person = Person::numbered(u32::try_from(users)? + 1);
    let Ok(id) = project.auth().await?.sign_up(kind, &person).await else {
        return Ok(false);
    };
    let sql = format!("select count(*) from public.profiles where id = '{id}'");
    Ok(project.count(&sql).await? == 1)
}

/// Everything that protects rows or does something at a signup; what it returns after a fix must hold all of it.
pub(crate) async fn protections(project: &Project) -> Result<BTreeSet<String>> {
    let client = project.connect().await?;
    Ok(values::<String>(&client, include_str!("protections.sql"))
        .await?
        .into_iter()
        .collect())
}

impl Walk<'_> {
    pub(crate) async fn walk(self, id: &str) -> Result<Finding> {
        let project = self.prepared().await?;
        self.walk_in(&project, id).await
    }

    /// On a server that the test does not share: for roles, which belong to the whole server.
    pub(crate) async fn walk_on(self, server: &Server, id: &str) -> Result<Finding> {
        let project = self.prepared_on(server).await?;
        self.walk_in(&project, id).await
    }

    /// A project that is healthy.
    pub(crate) async fn prepared(&self) -> Result<Project> {
        let key = format!(
            "{:?}\n{}\n{}",
            self.maker, self.application, self.definition
        );
        let project = Project::made_once(&key, async || self.installed_on(server()?).await).await?;
        self.deploy(&project).await?;
        Ok(project)
    }

    pub(crate) async fn prepared_on(&self, server: &Server) -> Result<Project> {
        let project = self.installed_on(server).await?;
        self.deploy(&project).await?;
        Ok(project)
    }

    async fn deploy(&self, project: &Project) -> Result<()> {
        project
            .connect()
            .await?
            .batch_execute(self.deployed)
            .await
            .context("deployed")
    }

    async fn installed_on(&self, server: &Server) -> Result<Project> {
        let project = Project::without_rollcall_on(server).await?;
        let client = project.connect().await?;
        client.batch_execute(self.application).await?;
        if self.maker == Maker::Application {
            client.batch_execute(ITS_TRIGGER).await?;
        }
        project.migrate().await?;
        let definition = match self.definition {
            "" => definition(""),
            definition => definition.to_owned(),
        };
        client.batch_execute(&definition).await?;
        if self.maker == Maker::Rollcall {
            client
                .batch_execute("select rollcall.install_signup_trigger()")
                .await?;
        }
        Ok(project)
    }

    async fn walk_in(self, project: &Project, id: &str) -> Result<Finding> {
        let admin = project.connect_as_superuser().await?;
        let client = project.connect().await?;
        let mut rollcall = project.rollcall().await?;
        let healthy = ids_on(&mut rollcall).await?;
        ensure!(!healthy.contains(&id), "healthy, and yet: {healthy:?}");
        if !self.harmless.is_empty() {
            client.batch_execute(self.harmless).await?;
            assert_eq!(ids_on(&mut rollcall).await?, healthy, "harmless, and yet");
        }

        admin.batch_execute(self.wrong).await.context("wrong")?;
        let report = DoctorReport::take(&mut rollcall).await?;
        let found: Vec<&Finding> = report.findings.iter().filter(|f| f.id == id).collect();
        let [finding] = found[..] else {
            anyhow::bail!("{} findings, not one: {report:#?}", found.len());
        };
        assert_eq!(finding.severity, self.severity, "{finding:#?}");
        ensure!(
            finding.meaning.is_some()
                && !finding.evidence.is_empty()
                && !finding.next_step.is_empty(),
            "{finding:#?}"
        );
        let others: Vec<&Finding> = report
            .findings
            .iter()
            .filter(|f| f.id != id && f.severity == Severity::Critical)
            .filter(|f| !self.beside.contains(&f.id))
            .collect();
        ensure!(others.is_empty(), "one fact, and yet: {others:#?}");
        if self.severity == Severity::Critical && finding.verdict() == Verdict::Inconsistent {
            assert_eq!(report.verdict, Verdict::Inconsistent);
            ensure!(!signup_works(project, self.kind).await?, "it is not true");
        }

        if self.fixed_by.is_empty() {
            let fix = finding.fix.as_deref().context("no fix")?;
            let before = protections(project).await?;
            client
                .batch_execute(fix)
                .await
                .with_context(|| fix.to_owned())?;
            let after = protections(project).await?;
            let gone: Vec<_> = before.difference(&after).collect();
            ensure!(gone.is_empty(), "{fix} took away {gone:#?}");
        } else {
            ensure!(finding.fix.is_none(), "it has SQL of its own: {finding:?}");
            admin
                .batch_execute(self.fixed_by)
                .await
                .context("fixed by")?;
        }
        let fixed = ids_on(&mut rollcall).await?;
        ensure!(!fixed.contains(&id), "fixed, and yet: {fixed:?}");
        if self.severity != Severity::Info
            && finding.verdict() != Verdict::Unknown
            && self.maker != Maker::Nobody
        {
            ensure!(
                signup_works(project, self.kind).await?,
                "fixed, and yet no profile"
            );
        }
        Ok(finding.clone())
    }
}

/// The application's function with other options or another body.
pub(crate) fn function(options: &str, body: &str) -> String {
    format!(
        "set role postgres; create or replace function public.handle_new_user() returns trigger language plpgsql {options} as $$
         begin {body} return new; end $$; reset role;"
    )
}

/// As it should be, around another body.
pub(crate) fn body(body: &str) -> String {
    function("security definer set search_path = ''", body)
}

/// A further trigger of the application's.
pub(crate) fn trigger(fires: &str, options: &str, body: &str) -> String {
    format!(
        "set role postgres; create or replace function public.further() returns trigger language plpgsql {options} as $$
         begin {body} return new; end $$;
         create or replace trigger further {fires} for each row execute function public.further(); reset role;"
    )
}

/// One that makes no profiles.
pub(crate) const GREETING: &str = "
    create function public.greet() returns trigger language plpgsql as $$ begin perform 'insert into profiles'; return new; end $$;
    create trigger a_greeting after insert on auth.users for each row execute function public.greet();";

impl Walk<'_> {
    /// As [`Self::walk`], where the finding's SQL is not what is asked for.
    pub(crate) async fn walk_fixed_by_the_caller(self, id: &str) -> Result<()> {
        let project = self.prepared().await?;
        let admin = project.connect_as_superuser().await?;
        admin.batch_execute(self.wrong).await?;
        ensure!(ids(&project).await?.contains(&id));
        ensure!(!signup_works(&project, self.kind).await?);
        admin.batch_execute(self.fixed_by).await?;
        ensure!(!ids(&project).await?.contains(&id));
        ensure!(signup_works(&project, self.kind).await?);
        Ok(())
    }
}
