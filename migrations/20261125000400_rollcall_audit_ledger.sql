-- Whom the audit log speaks of, kept apart from it.
--
-- Supabase Auth writes an entry for every sign-in and removes none, and the log has no index but that on its ids: to know
-- who signed up, all of it has to be read. So a trigger keeps one small row a user, of entries that are signups or
-- deletions; other entries run nothing but its condition. It runs inside Supabase Auth's own transactions and never fails.
--
-- Reports believe what was kept only while nothing speaks against it (rollcall.audit_ledger_doubt()); else they read the
-- log. The kept rows alone would lie where
--
--   entries came past the trigger (session_replication_role = replica, as in a restore): such entries come with users,
--   whose counters are compared, and stand at the end of the log, which is looked at
--   the trigger was off, or its function or the view it reads was another: the catalog keeps who wrote these rows last
--   the log was emptied or rewritten: it has another file then
--   entries were deleted or changed, or the server crashed: PostgreSQL's counters, and its start
--   the trigger could not keep an entry: it counts that in a sequence
--
-- and the whole log is read again at least once a day.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

-- What is kept ----------------------------------------------------------------------------------------------------

create table if not exists rollcall.audit_subject (
  user_id uuid not null,
  deleted boolean not null,
  signed_up_at timestamptz,
  entry_id uuid,
  primary key (user_id) include (deleted, entry_id)
);
alter table rollcall.audit_subject enable row level security;
comment on table rollcall.audit_subject is
  'Whom the audit log speaks of: one row a user with a signup or a deletion in it. Ids and times only.';
comment on column rollcall.audit_subject.user_id is 'The user, who may be gone.';
comment on column rollcall.audit_subject.deleted is 'Whether the log has a deletion (soft or hard) of the user.';
comment on column rollcall.audit_subject.signed_up_at is 'What the log says of when the first signup was.';
comment on column rollcall.audit_subject.entry_id is 'The entry of the first signup; null: the log has none.';

create sequence if not exists rollcall.audit_entries_not_kept;
comment on sequence rollcall.audit_entries_not_kept is
  'Counts the entries of the audit log that the trigger could not keep; no rollback takes it back.';

create table if not exists rollcall.audit_proof (
  only_row boolean primary key default true check (only_row),
  proved_at timestamptz,
  state text,
  log_inserted bigint,
  tried_at timestamptz
);
alter table rollcall.audit_proof enable row level security;
comment on table rollcall.audit_proof is
  'When the whole audit log was last read for rollcall.audit_subject, and what was known of both then. At most one row.';
comment on column rollcall.audit_proof.only_row is 'Keeps the table at one row.';
comment on column rollcall.audit_proof.proved_at is 'When; null: never to the end.';
comment on column rollcall.audit_proof.state is 'What rollcall.audit_ledger_state() said then.';
comment on column rollcall.audit_proof.log_inserted is 'PostgreSQL''s counter of entries written to the log, which only a reset lowers.';
comment on column rollcall.audit_proof.tried_at is 'When a scheduled check last set about it.';

-- The trigger -----------------------------------------------------------------------------------------------------

create or replace function rollcall.keep_audit_entry() returns trigger
language plpgsql security definer set search_path = '' set row_security = off set lock_timeout = '1s' as $$
declare
  entry record;
begin
  select e.user_id, e.created_at, e.entry_id, e.action = 'user_deleted' as is_deletion into entry
  from rollcall.audit_entry e
  where e.entry_id = new.id and e.user_id is not null;
  if not found then
    return new;
  end if;
  -- Whoever waited here for another transaction that speaks of the same user might hold what that one waits for, and it
  -- would be broken off as a deadlock.
  if not pg_try_advisory_xact_lock(hashtextextended('rollcall.audit_subject ' || entry.user_id, 0)) then
    raise exception using errcode = 'lock_not_available', message = 'rollcall: another transaction speaks of the same user';
  end if;
  insert into rollcall.audit_subject as s (user_id, deleted, signed_up_at, entry_id)
  values (
    entry.user_id, entry.is_deletion,
    case when not entry.is_deletion then entry.created_at end, case when not entry.is_deletion then entry.entry_id end
  )
  on conflict (user_id) do update
  set deleted = s.deleted or excluded.deleted,
    signed_up_at = case when excluded.entry_id is null then s.signed_up_at else excluded.signed_up_at end,
    entry_id = coalesce(excluded.entry_id, s.entry_id)
  -- what comes after the first signup says nothing new
  where excluded.deleted and not s.deleted
    or excluded.entry_id is not null and (
      s.entry_id is null
      or (coalesce(excluded.signed_up_at, 'infinity'), excluded.entry_id) < (coalesce(s.signed_up_at, 'infinity'), s.entry_id)
    );
  return new;
exception when others or query_canceled or assert_failure then
  begin
    perform nextval('rollcall.audit_entries_not_kept');
  exception when others or query_canceled or assert_failure then
    raise warning 'rollcall: an entry of the audit log was not kept (SQLSTATE %); is the schema rollcall complete?', sqlstate;
  end;
  return new;
end
$$;
comment on function rollcall.keep_audit_entry() is
  'Trigger function of rollcall_keep_audit_entry on auth.audit_log_entries: keeps whose signup or deletion an entry is. Never fails.';

do $$
begin
  -- Whoever waits for this lock makes every sign-in behind it wait, too.
  perform set_config('lock_timeout', '2s', true);
  -- what stands already is left alone, for the sake of the lock
  if not exists (
    select from pg_catalog.pg_trigger t
    where t.tgrelid = 'auth.audit_log_entries'::regclass and t.tgname = 'rollcall_keep_audit_entry'
      and t.tgfoid = 'rollcall.keep_audit_entry()'::regprocedure and t.tgenabled in ('O', 'A')
  ) then
    -- the same look at the text as in rollcall.audit_entry, which must not fail for any
    create or replace trigger rollcall_keep_audit_entry after insert on auth.audit_log_entries
      for each row when (strpos(new.payload::text, '"user_') > 0) execute function rollcall.keep_audit_entry();
  end if;
exception when insufficient_privilege then
  raise warning 'rollcall: no trigger may be created on auth.audit_log_entries (SQLSTATE %)', sqlstate
    using hint = 'Reports that read the audit log then read all of it, each time. Nothing else is missing.';
end
$$;

-- Whether it is believed ------------------------------------------------------------------------------------------

create or replace function rollcall.audit_ledger_state() returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  return (
    select concat_ws(
      ' ',
      extract(epoch from pg_postmaster_start_time()),
      -- who sets the counters back sets this
      (select pg_stat_get_db_stat_reset_time(d.oid) from pg_catalog.pg_database d where d.datname = current_database()),
      l.log::oid, pg_relation_filenode(l.log), pg_relation_filenode('rollcall.audit_subject'::regclass),
      -- what is gone under its name for a while cannot count what it misses
      (select n.xmin from pg_catalog.pg_namespace n where n.oid = 'rollcall'::regnamespace),
      (
        select string_agg(c.xmin::text, ' ' order by c.oid)
        from pg_catalog.pg_class c
        where c.oid in ('rollcall.audit_subject'::regclass, 'rollcall.audit_entry'::regclass, 'rollcall.audit_entries_not_kept'::regclass)
      ),
      (
        select string_agg(concat_ws(' ', t.oid, t.xmin), ' ' order by t.oid)
        from pg_catalog.pg_trigger t
        where t.tgrelid = l.log and t.tgfoid = 'rollcall.keep_audit_entry()'::regprocedure and t.tgenabled in ('O', 'A')
      ),
      (select p.xmin from pg_catalog.pg_proc p where p.oid = 'rollcall.keep_audit_entry()'::regprocedure),
      (select r.xmin from pg_catalog.pg_rewrite r where r.ev_class = 'rollcall.audit_entry'::regclass),
      (select concat(f.last_value, f.is_called) from rollcall.audit_entries_not_kept f),
      pg_stat_get_tuples_updated(l.log), pg_stat_get_tuples_deleted(l.log)
    )
    from (select 'auth.audit_log_entries'::regclass as log) l
  );
end
$$;
comment on function rollcall.audit_ledger_state() is
  'What is known of the audit log and of what is kept of it without reading either: another text wherever the log was emptied, rewritten, or had entries deleted or changed, the trigger was changed or failed, or the server was started anew.';

create or replace function rollcall.audit_ledger_doubt() returns text
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  log constant regclass := 'auth.audit_log_entries';
  tail constant tid := rollcall.audit_log_tail(32);
  proof rollcall.audit_proof;
begin
  select * into proof from rollcall.audit_proof;
  if proof.proved_at is null then
    return 'no_proof';
  elsif proof.proved_at not between now() - interval '25 hours' and now() + interval '5 minutes' then
    return 'proof_is_old';
  elsif not exists (
    select from pg_catalog.pg_trigger t
    where t.tgrelid = log and t.tgfoid = 'rollcall.keep_audit_entry()'::regprocedure and t.tgenabled in ('O', 'A')
  ) then
    return 'no_trigger';
  elsif proof.state <> rollcall.audit_ledger_state() then
    return 'log_changed';
  elsif pg_stat_get_tuples_inserted(log) < proof.log_inserted then
    return 'counters_reset';
  elsif rollcall.ledger_doubt() is not null then
    return 'users_in_doubt';
  elsif exists (
    select from rollcall.audit_entry e
    where e.entry_id = any (array(select l.id from auth.audit_log_entries l where l.ctid >= tail and strpos(l.payload::text, '"user_') > 0))
      and e.user_id is not null
      and not exists (
        select from rollcall.audit_subject s
        where s.user_id = e.user_id and case when e.action = 'user_deleted' then s.deleted else s.entry_id is not null end
      )
  ) then
    return 'entries_not_kept';
  end if;
  return null;
end
$$;
comment on function rollcall.audit_ledger_doubt() is
  'Why what is kept of the audit log cannot stand for the log now, in a word; null: it can.';

create or replace function rollcall.prove_audit_log() returns timestamptz
language plpgsql security definer set search_path = '' set row_security = off set client_min_messages = error set lock_timeout = '5s' as $$
declare
  proved_at constant timestamptz := clock_timestamp();
  -- looked at before the entries: what changes meanwhile is in doubt afterwards
  state constant text := rollcall.audit_ledger_state();
  inserted constant bigint := pg_stat_get_tuples_inserted('auth.audit_log_entries'::regclass);
begin
  perform rollcall.require_sight();
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    raise exception 'rollcall: the audit log cannot be proved in a transaction that sees it as it was before'
      using errcode = 'invalid_transaction_state', hint = 'Call it in a transaction that is read committed.';
  end if;
  -- one at a time; the trigger does not wait for it
  lock table rollcall.audit_proof in share row exclusive mode;
  drop table if exists pg_temp.rollcall_kept, pg_temp.rollcall_read, pg_temp.rollcall_seen;
  -- What is kept before the log is read has its entries in the log as it is read, since both are committed together.
  create temporary table rollcall_kept on commit drop as select s.* from rollcall.audit_subject s;
  -- this form of a statement is run in parallel
  create temporary table rollcall_read on commit drop as
    select e.user_id, e.action = 'user_deleted' as is_deletion, e.created_at, e.entry_id
    from rollcall.audit_entry e
    where e.user_id is not null;
  create temporary table rollcall_seen on commit drop as
    select distinct on (r.user_id)
      r.user_id, bool_or(r.is_deletion) over (partition by r.user_id) as deleted,
      case when not r.is_deletion then r.created_at end as signed_up_at, case when not r.is_deletion then r.entry_id end as entry_id
    from pg_temp.rollcall_read r
    order by r.user_id, r.is_deletion, r.created_at, r.entry_id;
  analyze pg_temp.rollcall_kept;
  analyze pg_temp.rollcall_seen;

  -- rows that the trigger writes meanwhile are newer than what was read, and stay
  delete from rollcall.audit_subject s
  using pg_temp.rollcall_kept k
  where k.user_id = s.user_id and (s.deleted, s.signed_up_at, s.entry_id) is not distinct from (k.deleted, k.signed_up_at, k.entry_id)
    and not exists (select from pg_temp.rollcall_seen n where n.user_id = k.user_id);
  update rollcall.audit_subject s
  set deleted = n.deleted, signed_up_at = n.signed_up_at, entry_id = n.entry_id
  from pg_temp.rollcall_kept k
  join pg_temp.rollcall_seen n on n.user_id = k.user_id
  where k.user_id = s.user_id and (s.deleted, s.signed_up_at, s.entry_id) is not distinct from (k.deleted, k.signed_up_at, k.entry_id)
    and (n.deleted, n.signed_up_at, n.entry_id) is distinct from (k.deleted, k.signed_up_at, k.entry_id);
  insert into rollcall.audit_subject as s (user_id, deleted, signed_up_at, entry_id)
  select n.user_id, n.deleted, n.signed_up_at, n.entry_id
  from pg_temp.rollcall_seen n
  where not exists (select from pg_temp.rollcall_kept k where k.user_id = n.user_id)
  order by n.user_id
  on conflict (user_id) do update
  set deleted = s.deleted or excluded.deleted,
    signed_up_at = case when excluded.entry_id is null then s.signed_up_at else excluded.signed_up_at end,
    entry_id = coalesce(excluded.entry_id, s.entry_id);

  insert into rollcall.audit_proof as p (proved_at, state, log_inserted) values (proved_at, state, inserted)
  on conflict (only_row) do update
  set proved_at = excluded.proved_at, state = excluded.state, log_inserted = excluded.log_inserted;
  return proved_at;
end
$$;
comment on function rollcall.prove_audit_log() is
  'Reads the whole audit log, mends what is kept of it, and lets reports believe that for a day. When.';

create or replace function rollcall.claim_audit_proof() returns boolean
language plpgsql security definer set search_path = '' set row_security = off as $$
begin
  -- a smaller log is read in no time
  if (select c.reltuples <= 200000 from pg_catalog.pg_class c where c.oid = 'auth.audit_log_entries'::regclass)
    or exists (
      select from rollcall.audit_proof p
      where p.proved_at between now() - interval '24 hours' and now() and p.state = rollcall.audit_ledger_state()
        and p.log_inserted <= pg_stat_get_tuples_inserted('auth.audit_log_entries'::regclass)
    ) then
    return false;
  end if;
  insert into rollcall.audit_proof as p (tried_at) values (now())
  on conflict (only_row) do update set tried_at = excluded.tried_at
  -- what takes too long, or is in doubt again and again, is not begun every hour
  where p.tried_at is null or p.tried_at not between now() - interval '12 hours' and now();
  return found;
end
$$;
comment on function rollcall.claim_audit_proof() is
  'Whether the caller is to read the whole audit log now, for the reports that follow: it is large, was not read for a day or is in doubt, and nobody set about it within 12 hours.';

-- What reads it ---------------------------------------------------------------------------------------------------

create or replace function rollcall.audit_census_kept()
returns table (signups bigint, audit_only bigint, recorded_deletions bigint)
language sql stable security definer set search_path = '' set row_security = off set jit = off
set enable_hashjoin = off set enable_seqscan = off set enable_sort = off set enable_nestloop = off as $$
  select
    count(s.entry_id),
    count(s.entry_id) filter (where u.id is null),
    count(s.entry_id) filter (where s.deleted)
  from rollcall.audit_subject s
  left join auth.users u on u.id = s.user_id
$$;
comment on function rollcall.audit_census_kept() is
  'As rollcall.audit_census_read(), by what was kept of the audit log, in the order of two indexes.';

create or replace function rollcall.audit_census()
returns table (signups bigint, audit_only bigint, recorded_deletions bigint)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  if rollcall.audit_ledger_doubt() is null then
    return query select c.* from rollcall.audit_census_kept() c;
  else
    return query select c.* from rollcall.audit_census_read() c;
  end if;
end
$$;

create or replace function rollcall.gone_subjects() returns setof rollcall.audit_subject
language sql stable security definer set search_path = '' set row_security = off
set enable_hashjoin = off set enable_sort = off set enable_nestloop = off as $$
  select s.*
  from (
    select k.user_id
    from rollcall.audit_subject k
    left join auth.users u on u.id = k.user_id
    where u.id is null and k.entry_id is not null
    offset 0
  ) gone
  join rollcall.audit_subject s on s.user_id = gone.user_id
$$;
comment on function rollcall.gone_subjects() is
  'Who signed up by what was kept of the audit log, and is not in auth.users.';

create or replace function rollcall.audit_signups()
returns table (user_id uuid, email text, created_at timestamptz)
language plpgsql stable security definer set search_path = '' set row_security = off rows 1000000 as $$
begin
  return query select s.user_id, s.email, s.created_at from rollcall.audit_signup s;
end
$$;
comment on function rollcall.audit_signups() is
  'The rows of rollcall.audit_signup, read in parallel.';

create or replace function rollcall.affected(p_limit bigint default null)
returns table (
  user_id uuid, audit_email text, auth_email text, status text, audit_created_at timestamptz, user_created_at timestamptz,
  missing bigint, total bigint
)
-- compiled for the many rows that may come, it would take half a second where there are few
language plpgsql stable security definer set search_path = '' set row_security = off set jit = off as $$
declare
  settled_before constant timestamptz := rollcall.settled_before();
  without_profile constant uuid[] := (select a.without_profile from rollcall.apart() a);
  log_is_kept constant boolean := rollcall.audit_ledger_doubt() is null;
begin
  return query
    with
    -- read once: the log is by far the largest of the tables
    signup as materialized (
      select s.user_id, s.email, s.created_at from rollcall.audit_signups() s where not log_is_kept
    ),
    gap as materialized (
      select e._user_id, u.email::text as email, u.created_at
      from unnest(without_profile) w (user_id)
      join rollcall.expected_profile e on e._user_id = w.user_id
      join auth.users u on u.id = e._user_id
      where not coalesce(e._signed_up_at between settled_before and now() + interval '5 minutes', false)
    ),
    gone as materialized (
      select s.user_id, s.created_at
      from signup s
      where not exists (select from auth.users u where u.id = s.user_id)
      union all
      select g.user_id, g.signed_up_at from rollcall.gone_subjects() g where log_is_kept
    ),
    newest as materialized (
      select g._user_id as user_id, g.email, g.created_at, 'auth_only' as status from gap g
      union all
      select g.user_id, null, g.created_at, 'audit_only' from gone g
      order by 3 desc nulls last, 1
      limit p_limit
    ),
    signup_of_newest as (
      select s.user_id, s.email, s.created_at from signup s where s.user_id in (select n.user_id from newest n)
      union all
      select e.user_id, e.email, e.created_at
      from rollcall.audit_entry e
      where log_is_kept and e.entry_id = any (array(
        select k.entry_id from newest n join rollcall.audit_subject k on k.user_id = n.user_id where k.entry_id is not null
      ))
    )
    select
      n.user_id, s.email, case n.status when 'auth_only' then n.email end, n.status,
      s.created_at, case n.status when 'auth_only' then n.created_at end,
      (select count(*) from gap), (select count(*) from gap) + (select count(*) from gone)
    from newest n
    left join signup_of_newest s on s.user_id = n.user_id
    order by coalesce(case n.status when 'auth_only' then n.created_at end, s.created_at) desc nulls last, n.user_id;
exception when others or assert_failure then
  -- another's message may quote a row
  if sqlerrm like 'rollcall: %' then
    raise;
  end if;
  raise exception '%', rollcall.failure_text(sqlstate, null, null) using errcode = sqlstate;
end
$$;

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261125000400' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

revoke all on all tables in schema rollcall from public, anon, authenticated;
revoke all on all sequences in schema rollcall from public, anon, authenticated;
revoke all on all functions in schema rollcall from public, anon, authenticated;
grant execute on function
  rollcall.claim_audit_proof(),
  rollcall.prove_audit_log()
to rollcall_monitor;
