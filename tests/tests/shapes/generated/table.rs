//! The table of profiles in SQL: names, columns, and who may see them.

use super::application::{
    Application, Columns, Email, Key, Moment, Privacy, Rights, Table, Username,
};

/// A column, and what the application's own code puts into it; `ROW` stands for the user's row.
pub(super) struct Column {
    pub(super) name: &'static str,
    definition: String,
    pub(super) value: Option<&'static str>,
}

fn column(name: &'static str, definition: &str, value: Option<&'static str>) -> Column {
    Column {
        name,
        definition: definition.to_owned(),
        value,
    }
}

const REFERENCE: &str = "references auth.users on delete cascade";

impl Application {
    /// The table with its schema, quoted where it has to be. A quotation mark in a name, and apostrophes in two names of one
    /// function, are left out: the doctor reads such names wrongly.
    pub(super) fn table_name(&self) -> &'static str {
        match self.table {
            Table::Profiles => "public.profiles",
            Table::Capitals => "public.\"Profiles\"",
            Table::Members => "public.members",
            Table::ReservedWord => "public.\"user\"",
            Table::OtherSchema => "app.accounts",
            Table::OurView => "public.user_events",
            Table::Spaces => "\"My App\".\"User Profiles\"",
            Table::Percent => "public.\"100% profile\"",
            Table::OurFunction => "public.monitor_signup_health",
            Table::Longest => {
                "public.a_table_of_profiles_whose_name_is_as_long_as_postgresql_takes_i"
            }
        }
    }

    pub(super) fn schema(&self) -> &'static str {
        self.table_name()
            .split_once('.')
            .map_or("public", |(schema, _)| schema)
    }

    /// The column with the user's id, quoted where it has to be.
    pub(super) fn key_column(&self) -> &'static str {
        match self.key {
            Key::Id | Key::Text | Key::WithoutReference => "id",
            Key::UserId | Key::Domain => "user_id",
            Key::AuthId => "auth_id",
            Key::CamelCase => "\"userId\"",
            Key::Spaces => "\"User 100%\"",
        }
    }

    /// Whether the database does not delete the profile with its user.
    pub(super) fn deletes_by_trigger(&self) -> bool {
        matches!(self.key, Key::Text | Key::WithoutReference)
    }

    /// Whether a profile has columns of this kind.
    pub(super) fn has(&self, columns: Columns) -> bool {
        self.columns == columns || self.more_columns == columns
    }

    fn key_columns(&self) -> Vec<Column> {
        let reference = format!("uuid primary key {REFERENCE}");
        let name = self.key_column();
        let key = |definition: &str| {
            let value = if self.key == Key::Text {
                "ROW.id::text"
            } else {
                "ROW.id"
            };
            column(name, definition, Some(value))
        };
        match self.key {
            Key::Id | Key::CamelCase | Key::Spaces => vec![key(&reference)],
            Key::UserId => vec![
                column("id", "uuid primary key default gen_random_uuid()", None),
                key(&format!("uuid not null unique {REFERENCE}")),
            ],
            Key::AuthId => vec![
                column(
                    "id",
                    "bigint generated always as identity primary key",
                    None,
                ),
                key("uuid unique references auth.users on delete set null"),
            ],
            Key::Text => vec![key("text primary key")],
            Key::WithoutReference => vec![key("uuid primary key")],
            Key::Domain => vec![key(&format!("public.user_key primary key {REFERENCE}"))],
        }
    }

    /// All columns, the key first.
    pub(super) fn columns(&self) -> Vec<Column> {
        let mut columns = self.key_columns();
        columns.push(column(
            "full_name",
            "text",
            Some("ROW.raw_user_meta_data ->> 'full_name'"),
        ));
        match self.email {
            Email::None => {}
            Email::Required if self.moment != Moment::ByClient => {
                columns.push(column("email", "text not null", Some("ROW.email")));
            }
            _ => columns.push(column("email", "text", Some("ROW.email"))),
        }
        match self.username {
            Username::None => {}
            Username::FromTheAddress => columns.push(column(
                "username",
                "text",
                Some("split_part(ROW.email, '@', 1)"),
            )),
            Username::Chosen => columns.push(column(
                "username",
                "varchar(40) unique check (username ~ '^[A-Za-z0-9_]{3,24}$')",
                Some("ROW.raw_user_meta_data ->> 'username'"),
            )),
            Username::MadeUp => columns.push(column(
                "username",
                "text not null unique",
                Some("'member_' || substr(md5(ROW.id::text), 1, 10)"),
            )),
        }
        columns.extend(self.more(self.columns));
        if self.more_columns != self.columns {
            columns.extend(self.more(self.more_columns));
        }
        columns
    }

    fn more(&self, columns: Columns) -> Vec<Column> {
        let kept = |name, definition: &str| column(name, definition, None);
        match columns {
            Columns::None => Vec::new(),
            Columns::Defaults => vec![
                kept("created_at", "timestamptz not null default now()"),
                kept("points", "integer not null default 0 check (points >= 0)"),
                kept("is_admin", "boolean not null default false"),
            ],
            Columns::Generated => vec![
                kept(
                    "short_key",
                    &format!(
                        "text generated always as (left({}::text, 8)) stored",
                        self.key_column()
                    ),
                ),
                kept(
                    "words",
                    "tsvector generated always as (to_tsvector('simple', coalesce(full_name, ''))) stored",
                ),
            ],
            Columns::Enum => vec![kept("plan", "public.plan not null default 'free'")],
            Columns::Cast => vec![column(
                "role",
                "public.school_role not null default 'student'",
                Some(
                    "coalesce((ROW.raw_user_meta_data ->> 'role')::public.school_role, 'student')",
                ),
            )],
            Columns::Json => vec![
                kept(
                    "settings",
                    "jsonb not null default '{\"theme\": \"dark\", \"100%\": true}'",
                ),
                kept("notes", "jsonb"),
            ],
            Columns::Array => vec![
                kept("languages", "text[] not null default array['en', 'it''s']"),
                kept("numbers", "integer[] default '{}'"),
            ],
            Columns::Domain => vec![kept("locale", "public.locale")],
            Columns::Constant => vec![column("source", "text not null", Some("'signup'"))],
            Columns::Phone => vec![column("phone", "text", Some("ROW.phone"))],
            Columns::Numbered => vec![kept("number", "bigint generated by default as identity")],
            Columns::Sequence => vec![kept("member_no", "bigserial")],
            Columns::Touched => vec![kept("updated_at", "timestamptz")],
            Columns::Uncommon => vec![
                kept("area", "int4range default '[1,10)'"),
                kept("place", "point default '(1,2)'"),
                kept("note", "json default '{\"a\": 1}'"),
                kept("price", "numeric(10, 2) not null default 0"),
                kept("address", "inet"),
                kept("bits", "bit(3) default b'101'"),
                kept("born_on", "date"),
            ],
            Columns::Odd => vec![
                column(
                    "\"100% sure\"",
                    "text",
                    Some("ROW.raw_user_meta_data ->> 'full_name'"),
                ),
                column("\"it's\"", "text", Some("'it''s 100% %s $1'")),
                kept("\"say \"\"hi\"\"\"", "text"),
                kept("\"$1\"", "text"),
                kept("\"%I\"", "text default '%I'"),
                kept("\"naïve ☂\"", "text"),
                kept(
                    "a_name_of_sixty_three_bytes_which_is_as_long_as_postgresql_take",
                    "text",
                ),
            ],
            Columns::Keywords => vec![
                column(
                    "\"select\"",
                    "text",
                    Some("ROW.raw_user_meta_data ->> 'full_name'"),
                ),
                kept("\"order\"", "integer not null default 0"),
                kept("\"table\"", "text"),
                kept("\"user\"", "text default 'nobody'"),
                kept("\"all\"", "text"),
                kept("\"from\"", "text"),
                kept("\"default\"", "text"),
            ],
            Columns::Ours => {
                const NAMES: [&str; 24] = [
                    "t",
                    "e",
                    "a",
                    "u",
                    "s",
                    "x",
                    "c",
                    "code",
                    "made",
                    "run_id",
                    "batch",
                    "state",
                    "query",
                    "definition",
                    "profile",
                    "missing",
                    "target_table",
                    "key_column",
                    "wanted",
                    "receipts",
                    "reason",
                    "_signed_up_at",
                    "_created_at",
                    "events",
                ];
                let mut columns = vec![
                    column("seen", "text", Some("ROW.raw_user_meta_data ->> 'seen'")),
                    column("p", "text", Some("ROW.raw_user_meta_data ->> 'full_name'")),
                ];
                columns.extend(NAMES.map(|name| kept(name, "text")));
                columns
            }
        }
    }

    /// Schema, types and table, and who may do what with it.
    pub(super) fn create_table(&self) -> String {
        let (schema, table, key) = (self.schema(), self.table_name(), self.key_column());
        let mut sql = String::new();
        if schema != "public" {
            sql += &format!(
                "create schema {schema};\ngrant usage on schema {schema} to authenticated, service_role, supabase_auth_admin;\n"
            );
        }
        for (columns, definition) in [
            (
                Columns::Enum,
                "type public.plan as enum ('free', 'pro', 'enterprise')",
            ),
            (
                Columns::Cast,
                "type public.school_role as enum ('admin', 'teacher', 'student')",
            ),
            (
                Columns::Domain,
                "domain public.locale as varchar(5) not null default 'en' check (value ~ '^[a-z]{2}$')",
            ),
        ] {
            if self.has(columns) {
                sql += &format!("create {definition};\n");
            }
        }
        if self.key == Key::Domain {
            sql += "create domain public.user_key as uuid;\n";
        }
        let columns: Vec<String> = self
            .columns()
            .iter()
            .map(|column| format!("  {} {}", column.name, column.definition))
            .collect();
        sql += &format!("create table {table} (\n{}\n);\n", columns.join(",\n"));
        if schema != "public" {
            sql += &format!("grant select on {table} to authenticated, service_role;\n");
        }
        sql += &match self.privacy {
            Privacy::Off => String::new(),
            Privacy::Revoked => format!("revoke all on {table} from anon, authenticated;\n"),
            Privacy::NoPolicy => format!("alter table {table} enable row level security;\n"),
            Privacy::OwnRow | Privacy::Forced => format!(
                "alter table {table} enable row level security;\n\
                 create policy \"own profile\" on {table} for select to authenticated using ((select auth.uid())::text = {key}::text);\n"
            ),
        };
        if self.privacy == Privacy::Forced {
            sql += &format!("alter table {table} force row level security;\n");
        }
        if self.moment == Moment::ByClient {
            sql += &format!(
                "grant select, insert on {table} to authenticated;\n\
                 create policy \"make your own\" on {table} for insert to authenticated with check ((select auth.uid())::text = {key}::text);\n"
            );
        }
        if self.has(Columns::Touched) {
            sql += &format!(
                "create function public.touch() returns trigger language plpgsql set search_path = '' as $$\n\
                 begin\n  new.updated_at := now();\n  return new;\nend\n$$;\n\
                 create trigger touch before insert or update on {table} for each row execute function public.touch();\n"
            );
        }
        sql
    }

    /// What Supabase Auth's role needs for a function that runs as its caller.
    pub(super) fn grant_to_auth(&self, table: &str) -> String {
        if self.rights != Rights::Invoker || self.moment == Moment::ByClient {
            return String::new();
        }
        format!(
            "grant select, insert, update on {table} to supabase_auth_admin;\n\
             create policy \"signups\" on {table} for all to supabase_auth_admin using (true) with check (true);\n"
        )
    }
}
