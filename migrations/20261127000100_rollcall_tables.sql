-- The schema rollcall and everything it stores. Nine tables, all private. Nothing here refers to auth.* or to a table of
-- the application's: ids and names are kept as text, so the application and Supabase Auth can alter and drop what is theirs
-- at any time. No table holds a value of a user's row, but for the addresses that an undo of `rollcall sync-emails` needs.

create schema if not exists rollcall;
comment on schema rollcall is 'Rollcall: finds, explains and repairs signups without a profile. Private: never expose it through PostgREST.';

create table if not exists rollcall.settings (
  only_row boolean primary key default true check (only_row),
  grace_period interval not null default interval '0' check (grace_period between interval '0' and interval '1 hour'),
  keep_days integer not null default 90 check (keep_days between 1 and 3650),
  stopped_below real not null default 0.0001 check (stopped_below between 0 and 0.01),
  target_table text,
  key_column name,
  key_is_uuid boolean,
  columns name[],
  query text,
  actual_query text,
  insert_query text,
  is_draft boolean not null default true,
  defined_at timestamptz,
  defined_by name,
  decided_at jsonb not null default '{}',
  replaced jsonb not null default '{}'
);
comment on table rollcall.settings is
  'One row: the settings, and the definition of who must have a profile. Change the settings with update rollcall.settings set …, the definition with rollcall.define().';
comment on column rollcall.settings.grace_period is 'How long after a signup a missing profile is no finding yet; at most an hour.';
comment on column rollcall.settings.keep_days is 'For how many days events, checks, incidents and runs are kept.';
comment on column rollcall.settings.stopped_below is 'A pause in signups is a finding where chance alone makes one as long less often than this; 0: never.';
comment on column rollcall.settings.target_table is 'The profile table, quoted and with its schema. Null: there is no definition.';
comment on column rollcall.settings.key_column is 'The column of that table that holds the user''s id.';
comment on column rollcall.settings.query is 'One row for each user who must have a profile: _user_id, _signed_up_at, and the columns of a new profile.';
comment on column rollcall.settings.actual_query is 'One row for each profile that belongs to a user: _user_id, email, _created_at. Made by rollcall.define().';
comment on column rollcall.settings.insert_query is 'The statement that creates the profiles of the users $1: rollcall.insert_sql() when the definition was put in force.';
comment on column rollcall.settings.is_draft is 'Whether Rollcall drafted the definition. One that a person has set is never replaced.';
comment on column rollcall.settings.decided_at is 'For each check, which moment the newest report speaks of that alerts were decided on.';
comment on column rollcall.settings.replaced is 'Functions and views of the application''s that were taken over or guarded on request, by name, as the SQL that makes them again.';
insert into rollcall.settings default values on conflict do nothing;
drop function if exists rollcall.unmatched_sql(rollcall.settings), rollcall.email_mismatches(), rollcall.signup_pace();  -- of former versions

create table if not exists rollcall.migration (
  version text primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null default now(),
  applied_by name not null default session_user
);
comment on table rollcall.migration is 'The migration files that the program applied. The Supabase CLI''s own history is never written to.';
comment on column rollcall.migration.checksum is 'SHA-256 of the file, in hexadecimal.';

-- Indexes are unique by the id at their end: a page of them has an order, and Supabase's advisor calls none of them unused.

create table if not exists rollcall.event (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  kind text not null check (kind in (
    'auth_user_created', 'profile_bootstrap_ok', 'profile_bootstrap_error', 'profile_backfilled', 'profile_backfill_error')),
  payload jsonb,
  created_at timestamptz not null default now()
);
create unique index if not exists event_user_idx on rollcall.event (user_id, id);
create unique index if not exists event_time_idx on rollcall.event (created_at, id);
comment on table rollcall.event is
  'What happened between a signup and its profile, where Rollcall was involved. Ids, error codes and names from the catalog only. Survives the user.';
comment on column rollcall.event.payload is
  'source; for errors sqlstate, constraint, column and functions (where it failed), never a value of the row.';
comment on index rollcall.event_user_idx is 'The events of one user.';
comment on index rollcall.event_time_idx is 'The newest events, and those that are too old to keep.';

create table if not exists rollcall.check_run (
  id bigint generated always as identity primary key,
  check_name text not null check (check_name in ('health', 'recent')),
  checked_at timestamptz not null default now(),
  verdict text not null check (verdict in ('consistent', 'inconsistent', 'unknown')),
  finding_ids text[] not null,
  counts jsonb not null
);
create unique index if not exists check_run_time_idx on rollcall.check_run (check_name, checked_at desc, id);
comment on table rollcall.check_run is
  'What scheduled checks said: counts and ids of findings. For the watermark of the recent signups and the history on the dashboard.';
comment on index rollcall.check_run_time_idx is 'The newest runs of a check, and those that are too old to keep.';

create table if not exists rollcall.incident (
  id uuid primary key,
  check_name text not null check (check_name in ('health', 'recent')),
  severity text not null check (severity in ('alert', 'critical')),
  opened_at timestamptz not null,
  seen_at timestamptz not null,
  good_since timestamptz,
  resolved_at timestamptz,
  told_at timestamptz not null,
  finding_ids text[] not null,
  missing bigint not null,
  told_missing bigint not null,
  user_ids uuid[] not null check (cardinality(user_ids) <= 10)
);
create unique index if not exists incident_open_idx on rollcall.incident (check_name) where resolved_at is null;
comment on table rollcall.incident is
  'Incidents: from the first report that something is wrong to the one that all is well. Ids, times and counts only.';
comment on column rollcall.incident.id is 'Stable from the first message to the last: what a pager or a chat groups them by.';
comment on column rollcall.incident.severity is 'critical: signups fail right now; alert: everything else. It chooses the topic.';
comment on column rollcall.incident.good_since is 'Since when reports find nothing wrong, where that has yet to last.';
comment on column rollcall.incident.told_at is 'When the newest message was decided on; never in the future.';
comment on index rollcall.incident_open_idx is 'A check has one open incident at most.';

create table if not exists rollcall.message (
  id bigint generated always as identity primary key,
  incident_id uuid not null references rollcall.incident on delete cascade,
  notice jsonb not null check (length(notice::text) <= 65536),
  created_at timestamptz not null default now(),
  attempts integer not null default 0,
  lease_owner uuid,
  leased_until timestamptz,
  sent_at timestamptz
);
create unique index if not exists message_incident_idx on rollcall.message (incident_id, id);
comment on table rollcall.message is 'Messages about incidents. One that no topic has taken is offered to every next invocation, for a week.';
comment on column rollcall.message.lease_owner is 'The invocation that publishes it now.';
comment on column rollcall.message.leased_until is 'When that invocation has ended for certain, and another may publish it.';
comment on index rollcall.message_incident_idx is 'The messages of an incident.';

create table if not exists rollcall.run (
  run_id uuid primary key default gen_random_uuid(),
  started_by name not null default session_user,
  source text not null check (source in ('cli', 'api', 'lambda', 'state_machine')),
  note text check (length(note) <= 200),
  is_replay boolean not null default false,
  state text not null default 'running' check (state in ('running', 'paused', 'cancelled', 'done', 'failed')),
  stop_reason text,
  overrides jsonb not null default '{}',
  max_users bigint check (max_users > 0),
  signed_up_before timestamptz not null default now(),
  pass smallint not null default 0,
  last_user_id uuid,
  total_missing bigint not null,
  attempted bigint not null default 0,
  created bigint not null default 0,
  failed bigint not null default 0,
  busy bigint not null default 0,
  batches integer not null default 0,
  batch_size integer not null check (batch_size between 1 and 10000),
  throttle real not null default 1 check (throttle > 0 and throttle <= 1),
  waits_for text check (waits_for in ('lock', 'throttle')),
  lease_owner uuid,
  leased_until timestamptz,
  request_hash bytea unique,
  request jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz,
  undone_at timestamptz
);
alter table rollcall.run add column if not exists kind text not null default 'profiles' check (kind in ('profiles', 'emails'));
comment on table rollcall.run is
  'Repairs, one row each. The cursor (pass, last_user_id) and the counters are written by the transaction that creates the profiles they count.';
comment on column rollcall.run.signed_up_before is 'Users who signed up later are left to the next run.';
comment on column rollcall.run.pass is '0: users who never failed; 1: those who failed before this run, if there are any.';
comment on column rollcall.run.busy is 'Users of this round whom another transaction kept locked; the pass begins again for them.';
comment on column rollcall.run.throttle is 'Share of the time that may be spent on batches; the rest is pause.';
comment on column rollcall.run.leased_until is 'Until then only lease_owner continues the run; after that anyone.';

create table if not exists rollcall.receipt (
  run_id uuid not null references rollcall.run on delete cascade,
  batch integer not null,
  user_ids uuid[] not null,
  receipts bytea[],
  created_at timestamptz not null default now(),
  written_by xid8 not null default pg_current_xact_id(),
  primary key (run_id, batch)
);
-- hashes cannot be compressed
alter table rollcall.receipt alter column receipts set storage external;
alter table rollcall.receipt add column if not exists former_emails text[];
comment on table rollcall.receipt is 'The profiles that each batch of a run created, with a hash of every row as it was then (or changed, with one of the address that was written): what an undo compares.';
comment on column rollcall.receipt.former_emails is 'What stood in the profiles whose address the batch changed; null: it created them.';
comment on column rollcall.receipt.written_by is 'The transaction; where the row says another (xmin), a dump was restored here, and nothing can be compared.';

create table if not exists rollcall.failure (
  user_id uuid primary key,
  run_id uuid,
  sqlstate text not null,
  constraint_name text,
  column_name text,
  functions text[] not null default '{}',
  attempts integer not null default 1,
  first_failed_at timestamptz not null default now(),
  last_failed_at timestamptz not null default now()
);
create unique index if not exists failure_run_idx on rollcall.failure (run_id, user_id);
comment on table rollcall.failure is
  'Users whose profile could not be created, and why, one row each. Later repairs come to them last, and log them again only when the reason changes.';
comment on column rollcall.failure.run_id is 'The newest run that failed for this user.';
comment on column rollcall.failure.functions is 'The functions in which it failed, innermost first: names from the catalog.';
comment on index rollcall.failure_run_idx is 'The failures of a run.';
