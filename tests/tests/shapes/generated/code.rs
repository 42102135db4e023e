//! The code of a generated application in SQL: functions, triggers, and what a signup writes beside the profile.

use super::{
    application::{
        Application, Beside, Code, Condition, Email, Gate, Handler, Moment, Place, Rights, Table,
        Taken,
    },
    expectations::DOMAIN,
};

/// Where the user's row comes from, as the function that makes the profile sees it.
struct Source {
    /// What `ROW` stands for.
    row: &'static str,
    /// Behind the values; none where they are the row of a trigger.
    from: Option<&'static str>,
}

impl Application {
    pub(super) fn sql(&self) -> String {
        [
            self.create_table(),
            self.grant_to_auth(self.table_name()),
            self.taken_names(),
            self.tables_beside(),
            self.gate_of_its_own(),
            self.maker(),
            self.writer_beside(),
            self.follower(),
            self.remover(),
            self.grant_sequences(),
        ]
        .concat()
    }

    /// Where the rest is written, if it can be there.
    pub(super) fn place(&self) -> Place {
        match (self.place, self.moment, self.beside) {
            (Place::InTheFunction, Moment::ByClient, _)
            // an undo cannot take an update back
            | (Place::OnTheProfile, _, Beside::Statistics) => Place::OfItsOwn,
            (place, ..) => place,
        }
    }

    pub(super) fn handler(&self) -> Handler {
        if self.moment == Moment::ByClient {
            Handler::None
        } else {
            self.handler
        }
    }

    /// Whether the function that makes the profile is called with the user's row, so that it can have the gate in it.
    pub(super) fn sees_the_row(&self) -> bool {
        matches!(self.moment, Moment::AtInsert | Moment::AtCommit)
    }

    fn names(&self) -> (&'static str, &'static str) {
        match self.code {
            Code::Usual => ("handle_new_user", "on_auth_user_created"),
            Code::Ours => ("ensure_profile_exists", "rollcall"),
            Code::Spaces => ("\"Handle New User\"", "\"On Signup: 100%\""),
            Code::Longest => (
                "a_function_whose_name_is_just_as_long_as_postgresql_can_take_it",
                "a_trigger_whose_name_is_just_as_long_as_postgresql_can_take_it_",
            ),
            Code::ReservedWords => ("\"select\"", "\"order\""),
            Code::OurTrigger => ("on_signup", "zz_rollcall_on_signup"),
            Code::Last => ("list_users", "zzz"),
        }
    }

    fn source(&self) -> Source {
        match self.moment {
            Moment::WithIdentity => Source {
                row: "u",
                from: Some("auth.users u where u.id = new.user_id"),
            },
            Moment::ForEachStatement => Source {
                row: "n",
                from: Some("newcomers n where true"),
            },
            _ => Source {
                row: "new",
                from: None,
            },
        }
    }

    /// The insert of the profile, by the function that makes it.
    fn insert(&self) -> String {
        let source = self.source();
        let columns = self.columns();
        let filled: Vec<_> = columns
            .iter()
            .filter_map(|column| Some((column.name, column.value?)))
            .collect();
        let names: Vec<&str> = filled.iter().map(|(name, _)| *name).collect();
        let values: Vec<String> = filled
            .iter()
            .map(|(_, value)| value.replace("ROW", source.row))
            .collect();
        let table = self.within_path(self.table_name());
        let mut sql = format!("insert into {table} ({})\n", names.join(", "));
        sql += &match source.from {
            None => format!("  values ({})", values.join(", ")),
            Some(from) => format!("  select {} from {from}", values.join(", ")),
        };
        if source.from.is_some() {
            sql += &self.row_conditions(source.row);
        }
        let key = self.key_column();
        sql += &match self.handler() {
            Handler::OnConflict => " on conflict do nothing".to_owned(),
            Handler::Upsert => {
                format!(" on conflict ({key}) do update set full_name = excluded.full_name")
            }
            Handler::None | Handler::Swallow => String::new(),
        };
        sql + ";\n"
    }

    /// Which rows of several are meant.
    fn row_conditions(&self, row: &str) -> String {
        let mut sql = String::new();
        if self.moment == Moment::ForEachStatement {
            sql += &match self.condition {
                Condition::None => String::new(),
                Condition::NotAnonymous => format!(" and {row}.is_anonymous is not true"),
                Condition::WithAddress => format!(" and {row}.email is not null"),
            };
        }
        if self.email == Email::Required {
            sql += &format!(" and {row}.email is not null");
        }
        sql
    }

    /// What the browser sends.
    pub(super) fn insert_of_the_client(&self) -> String {
        let (names, values): (Vec<_>, Vec<_>) = self
            .columns()
            .iter()
            .filter_map(|column| Some((column.name, column.value?.replace("ROW", "me"))))
            .unzip();
        format!(
            "insert into {} ({}) select {} from public.me() me",
            self.table_name(),
            names.join(", "),
            values.join(", ")
        )
    }

    /// A name as the function may write it.
    fn within_path(&self, name: &'static str) -> &'static str {
        match name.strip_prefix("public.") {
            Some(rest) if self.rights == Rights::PathOfItsOwn => rest,
            _ => name,
        }
    }

    fn rights(&self) -> &'static str {
        match self.rights {
            Rights::Definer => "security definer set search_path = ''",
            Rights::WithoutPath => "security definer",
            Rights::PathOfItsOwn => "security definer set search_path = public",
            Rights::Invoker => "set search_path = ''",
        }
    }

    /// The function and the trigger that make the profile.
    fn maker(&self) -> String {
        if self.moment == Moment::ByClient {
            return "create function public.me() returns auth.users language sql stable security definer set search_path = '' as $$\n  \
                    select u from auth.users u where u.id = auth.uid()\n$$;\n"
                .to_owned();
        }
        let (function, trigger) = self.names();
        let mut body = String::new();
        if self.gate == Gate::InTheFunction && self.sees_the_row() {
            body += &gate();
        }
        if self.email == Email::Required && self.source().from.is_none() {
            body += "  if new.email is null then\n    return new;\n  end if;\n";
        }
        let mut work = self.insert();
        if self.place() == Place::InTheFunction {
            work += &self.write_beside(&self.source());
        }
        if self.moment == Moment::WithIdentity {
            work = format!(
                "if (select count(*) from auth.identities i where i.user_id = new.user_id) = 1 then\n{work}end if;\n"
            );
        }
        if self.handler() == Handler::Swallow {
            work = format!(
                "begin\n{work}exception when others then\n  raise warning 'no profile: %', sqlerrm;\nend;\n"
            );
        }
        let condition = match (self.moment, self.condition) {
            (Moment::AtConfirmation, _) => {
                "when (old.confirmed_at is null and new.confirmed_at is not null) "
            }
            (Moment::AtInsert | Moment::AtCommit, Condition::NotAnonymous) => {
                "when (new.is_anonymous is not true) "
            }
            (Moment::AtInsert | Moment::AtCommit, Condition::WithAddress) => {
                "when (new.email is not null) "
            }
            _ => "",
        };
        let (kind, event) = match self.moment {
            Moment::AtCommit => (
                "constraint trigger",
                "after insert on auth.users deferrable initially deferred for each row",
            ),
            Moment::AtConfirmation => (
                "trigger",
                "after update of email_confirmed_at, phone_confirmed_at on auth.users for each row",
            ),
            Moment::WithIdentity => ("trigger", "after insert on auth.identities for each row"),
            Moment::ForEachStatement => (
                "trigger",
                "after insert on auth.users referencing new table as newcomers for each statement",
            ),
            Moment::AtInsert | Moment::ByClient => {
                ("trigger", "after insert on auth.users for each row")
            }
        };
        format!(
            "create function public.{function}() returns trigger language plpgsql {} as $$\nbegin\n{body}{work}  return null;\nend\n$$;\n\
             create {kind} {trigger} {event} {condition}execute function public.{function}();\n",
            self.rights()
        )
    }

    fn gate_of_its_own(&self) -> String {
        match self.gate {
            Gate::None => String::new(),
            Gate::InTheFunction if self.moment != Moment::ByClient && self.sees_the_row() => {
                String::new()
            }
            Gate::InTheFunction | Gate::OfItsOwn => trigger_function(
                "check_address",
                &format!("{}  return null;\n", gate()),
                "after insert on auth.users",
            ),
            Gate::AllowList => {
                let list = format!(
                    "create table public.allowed_domains (domain text primary key);\n\
                     insert into public.allowed_domains values ('{DOMAIN}'), ('branch.{DOMAIN}');\n\
                     alter table public.allowed_domains enable row level security;\n"
                );
                let body = "  if not exists (select from public.allowed_domains d where d.domain = split_part(new.email, '@', 2)) then\n    \
                            raise exception 'This address is not on the list' using errcode = '42501';\n  end if;\n  return new;\n";
                list + &trigger_function("check_list", body, "before insert on auth.users")
            }
            Gate::Silent => trigger_function(
                "drop_outsiders",
                &format!(
                    "  if split_part(new.email, '@', 2) = '{DOMAIN}' then\n    return new;\n  end if;\n  return null;\n"
                ),
                "before insert on auth.users",
            ),
        }
    }

    fn tables_beside(&self) -> String {
        let tables: &[(&str, &str)] = match self.beside {
            Beside::Nothing => &[],
            Beside::Number => return "create sequence public.signup_numbers;\n".to_owned(),
            // one row a user that refers to them would be taken for the profile where the profile does not
            Beside::Wallet if self.deletes_by_trigger() => &[(
                "public.wallets",
                "id uuid primary key default gen_random_uuid(), user_id uuid not null references auth.users on delete cascade, \
                 balance numeric not null default 0",
            )],
            Beside::Wallet => &[(
                "public.wallets",
                "user_id uuid primary key references auth.users on delete cascade, balance numeric not null default 0",
            )],
            Beside::Membership => &[
                (
                    "public.tenants",
                    "id uuid primary key default gen_random_uuid(), owner_id uuid not null",
                ),
                (
                    "public.tenant_members",
                    "tenant_id uuid references public.tenants on delete cascade, \
                     user_id uuid references auth.users on delete cascade, role text not null default 'owner', \
                     primary key (tenant_id, user_id)",
                ),
            ],
            Beside::Role => &[(
                "public.user_roles",
                "id uuid primary key default gen_random_uuid(), user_id uuid not null references auth.users on delete cascade, \
                 role text not null check (role in ('admin', 'member')), unique (user_id, role)",
            )],
            Beside::Journal => &[(
                "public.journal",
                "id bigint generated always as identity primary key, user_id uuid not null, what text not null, \
                 at timestamptz not null default now()",
            )],
            Beside::Statistics => &[(
                "public.statistics",
                "what text primary key, number bigint not null",
            )],
        };
        tables
            .iter()
            .map(|(table, columns)| {
                format!(
                    "create table {table} ({columns});\nalter table {table} enable row level security;\n{}",
                    self.grant_to_auth(table)
                )
            })
            .collect()
    }

    /// The statements that write what comes beside the profile.
    fn write_beside(&self, source: &Source) -> String {
        let user = match source.row {
            "new" => "new.id".to_owned(),
            row => format!("{row}.id"),
        };
        let from = source.from.map_or_else(String::new, |from| {
            format!(" from {from}{}", self.row_conditions(source.row))
        });
        match self.beside {
            Beside::Nothing => String::new(),
            Beside::Wallet => {
                format!("insert into public.wallets (user_id, balance) select {user}, 10{from};\n")
            }
            Beside::Membership => format!(
                "with tenant as (insert into public.tenants (owner_id) select {user}{from} returning id, owner_id)\n  \
                 insert into public.tenant_members (tenant_id, user_id) select t.id, t.owner_id from tenant t;\n"
            ),
            Beside::Role => format!(
                "insert into public.user_roles (user_id, role) select {user}, 'member'{from};\n"
            ),
            Beside::Journal => format!(
                "insert into public.journal (user_id, what) select {user}, 'signed up'{from};\n"
            ),
            Beside::Statistics => format!(
                "insert into public.statistics as s (what, number) select 'signups', count({user}){from}\n  \
                 on conflict (what) do update set number = s.number + excluded.number;\n"
            ),
            Beside::Number => "perform nextval('public.signup_numbers');\n".to_owned(),
        }
    }

    /// A trigger of its own for what comes beside the profile.
    fn writer_beside(&self) -> String {
        let (source, event) = match self.place() {
            Place::InTheFunction => return String::new(),
            Place::OfItsOwn => ("new.id", "after insert on auth.users".to_owned()),
            Place::OnTheProfile => (
                "new.KEY::text::uuid",
                format!("after insert on {}", self.table_name()),
            ),
        };
        if self.beside == Beside::Nothing {
            return String::new();
        }
        let source = source.replace("KEY", self.key_column());
        let new = Source {
            row: "new",
            from: None,
        };
        let body = self.write_beside(&new).replace("new.id", &source) + "  return null;\n";
        trigger_function("write_beside", &body, &event)
    }

    /// Keeps the address of the profile up to date.
    fn follower(&self) -> String {
        if self.email != Email::Followed {
            return String::new();
        }
        let body = format!(
            "  update {} p set email = new.email where p.{}::text = new.id::text;\n  return null;\n",
            self.table_name(),
            self.key_column()
        );
        trigger_function(
            "follow_address",
            &body,
            "after update of email on auth.users",
        )
    }

    /// Deletes the profile of a user who is deleted.
    fn remover(&self) -> String {
        if !self.deletes_by_trigger() {
            return String::new();
        }
        let body = format!(
            "  delete from {} p where p.{}::text = old.id::text;\n  return null;\n",
            self.table_name(),
            self.key_column()
        );
        trigger_function("remove_profile", &body, "after delete on auth.users")
    }

    fn grant_sequences(&self) -> String {
        if self.rights != Rights::Invoker {
            return String::new();
        }
        let schema = self.schema();
        let mut sql =
            format!("grant usage on all sequences in schema {schema} to supabase_auth_admin;\n");
        if schema != "public" {
            sql += "grant usage on all sequences in schema public to supabase_auth_admin;\n";
        }
        sql
    }

    fn taken_names(&self) -> String {
        match self.taken {
            Taken::None => String::new(),
            Taken::Events if self.table == Table::OurView => String::new(),
            Taken::Events => "create table public.user_events (\n  id bigserial primary key,\n  \
                user_id uuid references auth.users on delete cascade,\n  kind text not null,\n  payload jsonb,\n  \
                created_at timestamptz not null default now()\n);\n\
                alter table public.user_events enable row level security;\n\
                create policy \"own events\" on public.user_events for select using (auth.uid() = user_id);\n"
                .to_owned(),
            Taken::Functions => "create function public.backfill_user_profile(p_user_id uuid, p_email text default null, p_account_type text default null)\n\
                returns jsonb language sql set search_path = '' as $$ select jsonb_build_object('ours', true) $$;\n\
                create function public.check_recent_signup_issues() returns integer language sql stable set search_path = '' as $$ select 0 $$;\n\
                comment on function public.check_recent_signup_issues() is 'Nothing to see.';\n\
                create function public.define(regclass) returns text language sql stable set search_path = '' as $$ select $1::text $$;\n"
                .to_owned(),
            Taken::View => "create view public.auth_profile_mismatch as select 1 as one;\n\
                revoke all on public.auth_profile_mismatch from anon, authenticated;\n"
                .to_owned(),
        }
    }
}

/// Refuses addresses of other domains.
fn gate() -> String {
    format!(
        "  if new.email is null or split_part(new.email, '@', 2) <> '{DOMAIN}' then\n    \
         raise exception 'Only addresses of the company can sign up';\n  end if;\n"
    )
}

/// A function of the owner's rights, and its trigger of the same name.
fn trigger_function(name: &str, body: &str, event: &str) -> String {
    format!(
        "create function public.{name}() returns trigger language plpgsql security definer set search_path = '' as $$\nbegin\n{body}end\n$$;\n\
         create trigger {name} {event} for each row execute function public.{name}();\n"
    )
}
