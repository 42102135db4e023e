-- Repairs as runs: each is a row that says who started it, what its bounds are, how far it has come and why it waits.
--
-- Makes the tables of runs, their failures and their receipts; the batches of a run, which commit together with its
-- cursor and counters; pause, resume, cancel; and undo, which takes back the profiles of a run that are still as the run
-- made them. A batch that fails is no longer halved: the error itself names the row, or a few splits find it.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

-- Tables ----------------------------------------------------------------------------------------------------------

create table if not exists rollcall.run (
  run_id uuid primary key default gen_random_uuid(),
  started_by name not null default session_user,
  note text check (length(note) <= 200),
  face text not null check (face in ('cli', 'api', 'lambda', 'state_machine')),
  state text not null default 'running' check (state in ('running', 'paused', 'cancelled', 'done', 'failed')),
  ending text,
  overrides jsonb not null default '{}',
  max_users bigint check (max_users > 0),
  from_user_id uuid,
  to_user_id uuid,
  signed_up_before timestamptz not null default now(),
  pass smallint not null default 0,
  last_user_id uuid,
  total_missing bigint not null,
  attempted bigint not null default 0,
  created bigint not null default 0,
  failed bigint not null default 0,
  skipped bigint not null default 0,
  busy bigint not null default 0,
  batches integer not null default 0,
  batch_size integer not null check (batch_size between 1 and 10000),
  duty real not null default 1 check (duty > 0 and duty <= 1),
  max_lag_ms integer check (max_lag_ms > 0),
  waits_for text check (waits_for in ('lock', 'replication_lag', 'duty')),
  lease_holder uuid,
  lease_until timestamptz,
  lease_pid integer,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz,
  undone_at timestamptz
);
comment on table rollcall.run is
  'Repairs: one row each. The cursor (pass, last_user_id) and the counters are written by the transaction that creates the profiles they speak of.';
comment on column rollcall.run.started_by is 'The role that connected; no person, no address.';
comment on column rollcall.run.overrides is 'Column values that replace the definition''s.';
comment on column rollcall.run.signed_up_before is 'Who signed up later is left to the trigger and to the next run.';
comment on column rollcall.run.pass is '0 users who never failed, 1 users whose failure may be mended, 2 whoever has come since.';
comment on column rollcall.run.busy is 'Users of this round whom another transaction kept locked; the pass begins again for them.';
comment on column rollcall.run.skipped is 'Of the failed, those whose failure is known and for whom nothing changed since; recorded and not tried.';
comment on column rollcall.run.duty is 'Share of the time that may be spent on batches; the rest is pause.';
comment on column rollcall.run.max_lag_ms is 'Replicas further behind than this are waited for; null: they are not looked at.';
comment on column rollcall.run.lease_until is 'Until then only lease_holder goes on with the run; after that anyone.';

create index if not exists run_created_at_idx on rollcall.run (created_at desc);
comment on index rollcall.run_created_at_idx is 'The newest runs.';

create table if not exists rollcall.run_failure (
  run_id uuid not null references rollcall.run on delete cascade,
  user_id uuid not null,
  sqlstate text not null,
  constraint_name text,
  column_name text,
  was_known boolean not null default false,
  failed_at timestamptz not null default now(),
  primary key (run_id, user_id)
);
comment on table rollcall.run_failure is
  'Users whose profile a run could not create, one row each in a run; was_known: it failed before, nothing changed since, and it was not tried again.';

create table if not exists rollcall.run_batch (
  run_id uuid not null references rollcall.run on delete cascade,
  batch integer not null,
  user_ids uuid[] not null,
  receipts bytea[],
  created_at timestamptz not null default now(),
  primary key (run_id, batch)
);
-- hashes cannot be compressed
alter table rollcall.run_batch alter column receipts set storage external;
comment on table rollcall.run_batch is
  'The profiles that each batch of a run created, and a hash of every one as it was then: what an undo compares. Ids and hashes only.';

create table if not exists rollcall.run_request (
  key_hash bytea primary key,
  request jsonb not null,
  run_id uuid references rollcall.run on delete cascade,
  created_at timestamptz not null default now()
);
comment on table rollcall.run_request is
  'Idempotency keys of requests, as hashes, with what was asked and the run that answers it. Kept for 30 days.';

alter table rollcall.run enable row level security;
alter table rollcall.run_failure enable row level security;
alter table rollcall.run_batch enable row level security;
alter table rollcall.run_request enable row level security;

alter table rollcall.repair_failure add column if not exists user_state bytea;
alter table rollcall.repair_failure add column if not exists definition_state bytea;
comment on column rollcall.repair_failure.user_state is 'Hash of the user''s row when it failed.';
comment on column rollcall.repair_failure.definition_state is 'Hash of the definition, the table, its constraints and triggers when it failed.';

-- Whether a failure may be mended by now --------------------------------------------------------------------------

create or replace function rollcall.definition_state(p_overrides jsonb default '{}') returns bytea
language plpgsql stable security definer set search_path = '' as $$
declare
  target constant regclass := rollcall.profile_table();
begin
  return sha256(convert_to(
    concat_ws('|',
      pg_catalog.pg_get_viewdef(to_regclass('rollcall.expected_profile')),
      p_overrides::text,
      (
        select string_agg(concat_ws(' ', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid)), ',' order by a.attnum)
        from pg_catalog.pg_attribute a
        left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped
      ),
      (
        select string_agg(c.oid || pg_catalog.pg_get_constraintdef(c.oid), ',' order by c.oid)
        from pg_catalog.pg_constraint c
        where c.conrelid = target
          or c.contypid in (select a.atttypid from pg_catalog.pg_attribute a where a.attrelid = target and a.attnum > 0)
      ),
      (
        select string_agg(e.enumlabel, ',' order by e.enumtypid, e.enumsortorder)
        from pg_catalog.pg_enum e
        where e.enumtypid in (select a.atttypid from pg_catalog.pg_attribute a where a.attrelid = target and a.attnum > 0)
      ),
      (
        select string_agg(concat_ws(' ', pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled, p.prosrc), ',' order by t.oid)
        from pg_catalog.pg_trigger t
        join pg_catalog.pg_proc p on p.oid = t.tgfoid
        where t.tgrelid = target and not t.tgisinternal
      )
    ),
    'UTF8'
  ));
end
$$;
comment on function rollcall.definition_state(jsonb) is
  'A hash of what a new profile is made from and has to satisfy: the definition, the values that replace it, and the columns, constraints and triggers of the profile table.';

create or replace function rollcall.is_settled_by_the_row(p_sqlstate text) returns boolean
language sql immutable set search_path = '' as $$
  select left(p_sqlstate, 2) = '22' or p_sqlstate in ('23502', '23514')
$$;
comment on function rollcall.is_settled_by_the_row(text) is
  'Whether such a failure depends on the row and its rules alone. A value that another has, a row that is referred to, or a trigger may be mended elsewhere, so these are tried again in every run.';

create or replace function rollcall.unchanged_failures(p_overrides jsonb)
returns setof uuid
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  return query
    select f.user_id
    from rollcall.repair_failure f
    join auth.users u on u.id = f.user_id
    where rollcall.is_settled_by_the_row(f.sqlstate)
      and f.definition_state = (select rollcall.definition_state(p_overrides))
      and f.user_state = sha256(record_send(u))
      -- the definition may read more than these; nobody waits longer than a day for a second try
      and f.last_failed_at > now() - interval '1 day';
end
$$;
comment on function rollcall.unchanged_failures(jsonb) is
  'Users whose repair failed for a reason that neither their own row nor the definition, a column, a constraint or a trigger has changed since: trying again would fail again.';

-- Creating profiles in batches ------------------------------------------------------------------------------------

create or replace function rollcall.insert_profiles(p_statement text, p_user_ids uuid[], p_overrides jsonb, p_deferred text) returns uuid[]
language plpgsql set search_path = '' as $$
declare
  is_ours_to_check constant boolean := case when p_deferred is null then false else rollcall.deferred_constraints_hold(p_deferred) end;
  created uuid[];
begin
  -- The application's own triggers fire inside the insert and may name their tables without a schema.
  -- Everything in the statement itself is qualified. Lasts until this function returns.
  perform set_config('search_path', 'pg_catalog, public, extensions, pg_temp', true);
  execute format('with made (user_id) as (%s) select coalesce(array_agg(user_id), ''{}'') from made', p_statement)
    into created using p_user_ids, p_overrides;
  if exists (select unnest(created) except select unnest(p_user_ids)) then
    raise exception 'rollcall: a trigger on the profile table changed the key of the row' using errcode = 'RC002';
  end if;
  if is_ours_to_check then
    perform rollcall.try_deferred_constraints(p_deferred);
  end if;
  return created;
end
$$;
comment on function rollcall.insert_profiles(text, uuid[], jsonb, text) is
  'Runs the statement of rollcall.profile_insert_sql for these users and returns whose profiles it created; fails as a whole if one row fails. As rollcall.create_profiles, for many.';

create or replace function rollcall.suspects(p_user_ids uuid[], p_sqlstate text, p_detail text) returns uuid[]
language plpgsql stable set search_path = '' as $$
declare
  named uuid[];
  key constant text[] := regexp_match(p_detail, '\(([^(),]+)\)=\((.*)\)');
begin
  -- the row itself is quoted, or the id that it refers to
  select array_agg(distinct u) into named
  from regexp_matches(lower(p_detail), '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', 'g') m
  join unnest(p_user_ids) u on u::text = m[1];
  if named is null and p_sqlstate = '23505' and exists (select from rollcall.profile_columns() c where c.column_name = btrim(key[1], '"')) then
    execute format('select array_agg(e._user_id) from rollcall.expected_profile e where e._user_id = any ($1) and e.%I::text = $2', btrim(key[1], '"'))
      into named using p_user_ids, key[2];
  end if;
  return coalesce(named, '{}');
exception when others or assert_failure then
  return '{}';
end
$$;
comment on function rollcall.suspects(uuid[], text, text) is
  'Those of these users whom the detail of an error points to, so that they can be tried alone. The detail itself, which quotes rows, goes nowhere else.';

-- A bad row costs its chunk one more insert when the error names it, and two splits more when it does not.
create or replace function rollcall.try_create_profiles(p_user_ids uuid[], p_overrides jsonb default '{}')
returns setof rollcall.repair_result
language plpgsql security definer set search_path = '' as $$
declare
  -- what is thrown away with a bad row; smaller ones cost more statements than they save
  chunk_size constant integer := 500;
  split_into constant integer := 16;
  -- more bad rows than this are no exceptions any more, and splitting is cheaper than asking each error
  max_suspects constant integer := 32;
  -- each is waited for as long as lock_timeout says
  max_busy constant integer := 3;
  -- a definition that does not fit the table is nobody's row: this says so once, as a whole
  statement constant text := rollcall.profile_insert_sql(p_overrides);
  deferred constant text := rollcall.deferred_constraints();
  users constant uuid[] := array(select distinct u from unnest(p_user_ids) u where u is not null order by u);
  pending int4range[] := array(
    select int4range(s, least(s + chunk_size, cardinality(users) + 1))
    from generate_series(1, cardinality(users), chunk_size) s
    order by s desc
  );
  place int4range;
  chunk uuid[];
  apart uuid[] := '{}';
  alone uuid[] := '{}';
  named uuid[];
  step integer;
  created uuid[] := '{}';
  settled uuid[] := '{}';
  busy integer := 0;
  detail text;
  failure rollcall.repair_result;
begin
  while cardinality(pending) > 0 or cardinality(alone) > 0 loop
    if cardinality(pending) > 0 then
      place := pending[cardinality(pending)];
      pending := pending[:cardinality(pending) - 1];
      chunk := users[lower(place):upper(place) - 1];
      if cardinality(apart) > 0 then
        chunk := array(select u from unnest(chunk) u where u <> all (apart));
      end if;
      continue when cardinality(chunk) = 0;
    else
      place := null;
      chunk := alone[1:1];
      alone := alone[2:];
    end if;

    begin
      created := created || rollcall.insert_profiles(statement, chunk, p_overrides, deferred);
      continue;
    exception when others or assert_failure then
      get stacked diagnostics
        failure.code = returned_sqlstate, failure.constraint_name = constraint_name, failure.column_name = column_name,
        detail = pg_exception_detail;
    end;

    if rollcall.speaks_of_the_server(failure.code) then
      -- our own words: another's may quote a row
      raise exception 'rollcall: the server cannot take a repair now' using errcode = failure.code;
    elsif cardinality(chunk) > 1 then
      named := case when rollcall.speaks_of_a_lock(failure.code) or cardinality(apart) >= max_suspects then '{}'
        else rollcall.suspects(chunk, failure.code, detail) end;
      if cardinality(named) between 1 and least(split_into, cardinality(chunk) - 1) then
        apart := apart || named;
        alone := alone || named;
        pending := pending || place;
      else
        step := greatest(1, ceil((upper(place) - lower(place))::numeric / split_into)::integer);
        pending := pending || array(
          select int4range(s, least(s + step, upper(place))) from generate_series(lower(place), upper(place) - 1, step) s order by s desc
        );
      end if;
    -- a user who was deleted meanwhile is no failure
    elsif rollcall.is_expected(chunk[1]) then
      failure.user_id := chunk[1];
      failure.outcome := case when rollcall.speaks_of_a_lock(failure.code) then 'busy' else 'failed' end;
      failure.constraint_name := rollcall.known_constraint(failure.constraint_name);
      failure.column_name := rollcall.known_column(failure.column_name);
      settled := settled || failure.user_id;
      busy := busy + (failure.outcome = 'busy')::integer;
      return next failure;
      -- more than a row or two: it is the table, and waiting on for each row would take for ever
      exit when busy >= max_busy;
    end if;
  end loop;

  return query select c, 'created', null::text, null::text, null::text from unnest(created) c;
  -- a trigger of the application can drop a row without a word
  return query
    select m, case when busy >= max_busy then 'busy' else 'failed' end, case when busy >= max_busy then failure.code else 'RC002' end, null::text, null::text
    from (select rollcall.missing_among(users) except select unnest(settled)) left_over (m)
    where cardinality(created) + cardinality(settled) < cardinality(users);
end
$$;
comment on function rollcall.try_create_profiles(uuid[], jsonb) is
  'Creates what can be created for these users: one row for each profile created, failed or busy, none for users who have a profile already or are gone. An error of the server (out of space, shutting down) ends it as a whole.';

create or replace function rollcall.repair_and_log(p_user_ids uuid[], p_payload jsonb, p_overrides jsonb)
returns setof rollcall.repair_result
language plpgsql security definer set search_path = '' set lock_timeout = '500ms' set row_security = off as $$
declare
  results constant rollcall.repair_result[] := array(select t from rollcall.try_create_profiles(p_user_ids, p_overrides) t);
  has_failures constant boolean := exists (select from unnest(results) r where r.outcome = 'failed');
begin
  perform rollcall.require_sight();

  -- A failure that repeats is not logged again, nor is one that two repairs meet at once: its row is made or locked
  -- first, and holds the former reason until it was compared.
  if has_failures then
    insert into rollcall.repair_failure as f (user_id, sqlstate)
    select r.user_id, ''
    from unnest(results) r
    where r.outcome = 'failed'
    order by r.user_id
    on conflict (user_id) do update set attempts = f.attempts + 1, last_failed_at = now();
  end if;

  begin
    insert into public.user_events (user_id, kind, payload)
    select r.user_id, 'profile_backfilled', p_payload from unnest(results) r where r.outcome = 'created';
    if has_failures then
      insert into public.user_events (user_id, kind, payload)
      select
        r.user_id, 'profile_backfill_error',
        p_payload || jsonb_strip_nulls(jsonb_build_object('sqlstate', r.code, 'constraint', r.constraint_name, 'column', r.column_name))
      from unnest(results) r
      where r.outcome = 'failed' and not exists (
        select from rollcall.repair_failure f
        where f.user_id = r.user_id
          and (f.sqlstate, f.constraint_name, f.column_name) is not distinct from (r.code, r.constraint_name, r.column_name)
      );
    end if;
  -- a trigger of the application on the events costs nobody the profile
  exception when others or assert_failure then
    if rollcall.speaks_of_the_server(sqlstate) or rollcall.speaks_of_a_lock(sqlstate) then
      raise exception 'rollcall: the events of a repair cannot be written now' using errcode = sqlstate;
    end if;
    raise warning 'rollcall: the events of a repair could not be written (SQLSTATE %)', sqlstate;
  end;

  if has_failures then
    update rollcall.repair_failure f
    set
      sqlstate = r.code, constraint_name = r.constraint_name, column_name = r.column_name,
      user_state = (select sha256(record_send(u)) from auth.users u where u.id = r.user_id),
      definition_state = d.state
    from unnest(results) r, (select rollcall.definition_state(p_overrides)) d (state)
    where r.outcome = 'failed' and f.user_id = r.user_id;
  end if;
  if exists (select from rollcall.repair_failure) then
    delete from rollcall.repair_failure f
    using unnest(results) r
    where r.outcome = 'created' and f.user_id = r.user_id;
  end if;

  return query select * from unnest(results);
end
$$;
comment on function rollcall.repair_and_log(uuid[], jsonb, jsonb) is
  'Creates the missing profiles of these users, logs an event for each with this payload, and remembers failures. Waits half a second for a lock, less than PostgreSQL takes to call a deadlock, so that nobody else is its victim.';

create or replace function rollcall.repair_users(p_user_ids uuid[], p_source text, p_overrides jsonb default '{}')
returns setof rollcall.repair_result
language sql security definer set search_path = '' as $$
  select * from rollcall.repair_and_log(p_user_ids, jsonb_build_object('source', p_source), p_overrides)
$$;
comment on function rollcall.repair_users(uuid[], text, jsonb) is
  'Creates the missing profiles of these users outside of any run: rollcall.repair_and_log with the source as payload.';

-- What a run reads and says ---------------------------------------------------------------------------------------

create or replace function rollcall.replication_lag_ms() returns bigint
language sql stable security definer set search_path = '' as $$
  select (extract(epoch from max(s.replay_lag)) * 1000)::bigint
  from pg_catalog.pg_stat_replication s
  where s.state = 'streaming'
    -- a subscriber of changes may stay behind as it likes
    and not exists (select from pg_catalog.pg_replication_slots o where o.active_pid = s.pid and o.slot_type = 'logical')
$$;
comment on function rollcall.replication_lag_ms() is
  'How far the slowest standby is behind, in milliseconds; null where there is none, or none that may be seen.';

create or replace function rollcall.is_held_by_another(p_run rollcall.run, p_holder uuid) returns boolean
language sql stable security definer set search_path = '' as $$
  select case
    when p_run.lease_holder is not distinct from p_holder or coalesce(p_run.lease_until <= clock_timestamp(), true) then false
    -- whose connection is gone is gone with it; a pooler's may outlive him, then the lease runs out
    else exists (select from pg_catalog.pg_stat_activity a where a.pid = p_run.lease_pid)
  end
$$;
comment on function rollcall.is_held_by_another(rollcall.run, uuid) is
  'Whether somebody else is at this run: his lease has not run out, and the connection he used is still there.';

create or replace function rollcall.run_report(p_run rollcall.run) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'run_id', p_run.run_id, 'state', p_run.state, 'ending', p_run.ending, 'face', p_run.face, 'started_by', p_run.started_by,
    'note', p_run.note, 'account_type', p_run.overrides -> 'account_type', 'max_users', p_run.max_users,
    'from_user_id', p_run.from_user_id, 'to_user_id', p_run.to_user_id, 'signed_up_before', p_run.signed_up_before,
    'total_missing', p_run.total_missing, 'attempted', p_run.attempted, 'created', p_run.created, 'failed', p_run.failed,
    'skipped', p_run.skipped, 'batch_size', p_run.batch_size, 'duty', p_run.duty::numeric, 'max_lag_ms', p_run.max_lag_ms,
    'waits_for', p_run.waits_for, 'is_held', p_run.state = 'running' and coalesce(p_run.lease_until > clock_timestamp(), false),
    'created_at', p_run.created_at, 'updated_at', p_run.updated_at, 'finished_at', p_run.finished_at, 'undone_at', p_run.undone_at)
$$;
comment on function rollcall.run_report(rollcall.run) is
  'A run as it is told to people and programs.';

create or replace function rollcall.run_reports(p_limit integer, p_run_id uuid default null) returns setof jsonb
language sql stable security definer set search_path = '' as $$
  select rollcall.run_report(r)
  from rollcall.run r
  where p_run_id is null or r.run_id = p_run_id
  order by r.created_at desc, r.run_id
  limit p_limit
$$;
comment on function rollcall.run_reports(integer, uuid) is
  'The newest runs, or one.';

create or replace function rollcall.run_failures(p_run_id uuid, p_limit integer)
returns table (user_id uuid, code text, constraint_name text, column_name text)
language sql stable security definer set search_path = '' as $$
  select f.user_id, f.sqlstate, f.constraint_name, f.column_name
  from rollcall.run_failure f
  where f.run_id = p_run_id
  order by f.user_id
  limit p_limit
$$;
comment on function rollcall.run_failures(uuid, integer) is
  'The failures of a run, those that were known before included.';

create or replace function rollcall.missing_in_range(p_from uuid, p_to uuid, p_signed_up_before timestamptz default 'infinity') returns bigint
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  first_id constant uuid := coalesce(p_from, '00000000-0000-0000-0000-000000000000');
  last_id constant uuid := coalesce(p_to, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
begin
  if p_from is null and p_to is null then
    return rollcall.count_missing(p_signed_up_before);
  end if;
  perform rollcall.require_sight();
  return (
    select count(*)
    from rollcall.expected_profile e
    where e._user_id between first_id and last_id
      and (e._signed_up_at <= p_signed_up_before or e._signed_up_at is null or e._signed_up_at > now() + interval '5 minutes')
      and not exists (select from rollcall.actual_profile a where a._user_id = e._user_id and a._user_id between first_id and last_id)
  );
end
$$;
comment on function rollcall.missing_in_range(uuid, uuid, timestamptz) is
  'How many users of a range of ids have no profile, among those who signed up no later than a moment (or are dated in the future).';

create or replace function rollcall.plan_ranges(p_ranges integer)
returns table (from_user_id uuid, missing bigint)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return query
    select (array_agg(m.user_id order by m.user_id))[1], count(*)
    from (
      select e._user_id as user_id, ntile(p_ranges) over (order by e._user_id) as part
      from rollcall.expected_profile e
      where not exists (select from rollcall.actual_profile a where a._user_id = e._user_id)
    ) m
    group by m.part
    order by 1;
end
$$;
comment on function rollcall.plan_ranges(integer) is
  'Cuts the users without a profile into ranges of ids with as many in each: where each begins, and how many it has.';

-- Starting and going on -------------------------------------------------------------------------------------------

create or replace function rollcall.claim_request(p_key text, p_request jsonb, out is_new boolean, out run_id uuid)
language plpgsql security definer set search_path = '' as $$
declare
  hash constant bytea := sha256(convert_to(p_key, 'UTF8'));
  known rollcall.run_request;
begin
  delete from rollcall.run_request q where q.created_at < now() - interval '30 days';
  insert into rollcall.run_request (key_hash, request) values (hash, p_request) on conflict (key_hash) do nothing;
  is_new := found;
  select * into known from rollcall.run_request q where q.key_hash = hash for update;
  if known.request <> p_request then
    raise exception 'rollcall: this idempotency key was used for another request'
      using errcode = 'RC006', hint = 'Send the request with a key of its own, or the earlier request again.';
  end if;
  run_id := known.run_id;
end
$$;
comment on function rollcall.claim_request(text, jsonb) is
  'Takes an idempotency key for a request. RC006: it was taken for another one. The run that answers it, once there is one.';

create or replace function rollcall.start_run(
  p_face text, p_note text, p_batch_size integer, p_max_users bigint, p_overrides jsonb, p_from uuid, p_to uuid,
  p_duty real, p_max_lag_ms integer, p_key text, p_request jsonb
)
returns table (run_id uuid, is_new boolean, holder uuid, total_missing bigint)
language plpgsql security definer set search_path = '' set row_security = off as $$
declare
  claimed uuid;
  found_run rollcall.run;
begin
  perform rollcall.require_sight();
  perform rollcall.profile_insert_sql(p_overrides);
  perform rollcall.forget_settled_failures();
  -- two that start at once are one run
  perform pg_advisory_xact_lock(hashtextextended('rollcall.start_run', 0));

  if p_key is not null then
    select c.run_id into claimed from rollcall.claim_request(p_key, p_request) c;
    select r.* into found_run from rollcall.run r where r.run_id = claimed;
  end if;
  if found_run.run_id is null then
    -- one that was left alone, or that somebody is at, with the same bounds
    select r.* into found_run
    from rollcall.run r
    where r.state = 'running' and r.overrides = p_overrides
      and (r.max_users, r.from_user_id, r.to_user_id) is not distinct from (p_max_users, p_from, p_to)
      and p_key is null
    order by r.created_at
    limit 1;
  end if;
  if found_run.run_id is not null then
    return query select found_run.run_id, false, gen_random_uuid(), rollcall.missing_in_range(p_from, p_to, found_run.signed_up_before);
    return;
  end if;

  -- runs that found nothing to do are no history
  delete from rollcall.run r
  where r.state = 'done' and r.created = 0 and r.failed = 0 and r.skipped = 0 and r.finished_at < now() - interval '7 days';
  insert into rollcall.run (face, note, batch_size, max_users, overrides, from_user_id, to_user_id, duty, max_lag_ms, total_missing)
  values (
    p_face, p_note, p_batch_size, p_max_users, p_overrides, p_from, p_to, coalesce(p_duty, 1), p_max_lag_ms,
    rollcall.missing_in_range(p_from, p_to, now())
  )
  returning * into found_run;
  if p_key is not null then
    update rollcall.run_request q set run_id = found_run.run_id where q.key_hash = sha256(convert_to(p_key, 'UTF8'));
  end if;
  return query select found_run.run_id, true, gen_random_uuid(), found_run.total_missing;
end
$$;
comment on function rollcall.start_run(text, text, integer, bigint, jsonb, uuid, uuid, real, integer, text, jsonb) is
  'Starts a run, or finds the one to go on with: that of the idempotency key, else an unfinished one with the same bounds and values. Also how many users it has still to come to.';

create or replace function rollcall.join_run(p_run_id uuid)
returns table (run_id uuid, is_new boolean, holder uuid, total_missing bigint)
language plpgsql security definer set search_path = '' as $$
begin
  return query
    select r.run_id, false, gen_random_uuid(), rollcall.missing_in_range(r.from_user_id, r.to_user_id, r.signed_up_before)
    from rollcall.run r
    where r.run_id = p_run_id;
  if not found then
    raise exception 'rollcall: there is no such run' using errcode = 'RC007', hint = 'List them: rollcall runs.';
  end if;
end
$$;
comment on function rollcall.join_run(uuid) is
  'The run to go on with, by its id. RC007: there is none.';

create or replace function rollcall.unfinished_run() returns uuid
language sql stable security definer set search_path = '' as $$
  select r.run_id
  from rollcall.run r
  where r.state = 'running' and not rollcall.is_held_by_another(r, null)
    -- what nobody could finish for days wants a person
    and r.created_at > now() - interval '7 days'
  order by r.updated_at
  limit 1
$$;
comment on function rollcall.unfinished_run() is
  'A run that nobody is at any more, the one left alone longest; null where there is none.';

create or replace function rollcall.run_page(p_run rollcall.run, p_limit integer) returns uuid[]
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  page uuid[];
begin
  -- planned with the values of this page: a bound and a limit that are known make it a range of two indexes
  execute format(
    $sql$
      select array(
        select e._user_id
        from rollcall.expected_profile e
        where e._user_id >= %1$L::uuid and e._user_id <= %2$L::uuid and e._user_id is distinct from %3$L::uuid
          -- a date that nobody can have signed up at yet keeps nobody from being repaired
          and (e._signed_up_at <= %4$L::timestamptz or e._signed_up_at is null or e._signed_up_at > now() + interval '5 minutes')
          and not exists (
            -- the bounds stand here again so that the anti-join starts at the cursor, too
            select from rollcall.actual_profile a
            where a._user_id = e._user_id and a._user_id >= %1$L::uuid and a._user_id <= %2$L::uuid
          )
          and %5$s
        order by e._user_id
        limit %6$s
      )
    $sql$,
    coalesce(p_run.last_user_id, p_run.from_user_id, '00000000-0000-0000-0000-000000000000'),
    coalesce(p_run.to_user_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
    p_run.last_user_id, p_run.signed_up_before,
    case
      when p_run.pass = 0 and not exists (select from rollcall.repair_failure) then 'true'
      when p_run.pass = 0 then 'not exists (select from rollcall.repair_failure f where f.user_id = e._user_id)'
      else format('not exists (select from rollcall.run_failure f where f.run_id = %L and f.user_id = e._user_id)', p_run.run_id)
    end,
    p_limit
  ) into page;
  return page;
end
$$;
comment on function rollcall.run_page(rollcall.run, integer) is
  'The next users that a run has to come to, in the order of their ids.';

create or replace function rollcall.has_more(p_run_id uuid) returns boolean
language plpgsql stable security definer set search_path = '' as $$
declare
  r rollcall.run;
begin
  select x.* into r from rollcall.run x where x.run_id = p_run_id;
  r.signed_up_before := 'infinity';
  r.last_user_id := null;
  r.pass := 2;
  return cardinality(rollcall.run_page(r, 1)) > 0;
end
$$;
comment on function rollcall.has_more(uuid) is
  'Whether somebody has no profile now whom this run did not come to: he signed up after its bound.';

create or replace function rollcall.receipts_of(p_user_ids uuid[], out user_ids uuid[], out receipts bytea[])
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  execute rollcall.receipt_sql('array_agg(p.%1$I::text::uuid), array_agg(%2$s)', 'true')
    into user_ids, receipts using p_user_ids;
end
$$;
comment on function rollcall.receipts_of(uuid[]) is
  'The profiles of these users with a hash of each as it is now.';

-- xmin is in the hash, so that a row that was deleted and made again alike is another one.
create or replace function rollcall.receipt_sql(p_select text, p_condition text) returns text
language plpgsql stable set search_path = '' as $$
declare
  target constant regclass := rollcall.profile_table();
  key constant name := rollcall.profile_key();
  receipt constant text := 'sha256(record_send(p) || int8send(p.xmin::text::bigint))';
begin
  return format('select ' || p_select, key, receipt)
    || format(
      ' from %s p where p.%I = any ($1::%s[]) and %s', target, key,
      case when (select a.atttypid from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = key) = 'uuid'::regtype
        then 'uuid' else 'text' end,
      p_condition);
end
$$;
comment on function rollcall.receipt_sql(text, text) is
  'SQL text of a query over the profiles p of the users $1; in the select list, %1$I stands for the key and %2$s for the hash of a row and of the transaction that wrote it.';

create or replace function rollcall.advance_run(p_run_id uuid, p_holder uuid, p_limit integer)
returns table (outcome text, attempted bigint, created bigint, failed bigint, busy bigint, skipped bigint, run jsonb)
language plpgsql security definer set search_path = '' set row_security = off as $$
declare
  -- longer than anything between two batches takes, but for a pause, which asks for more (rollcall.hold_run)
  lease constant interval := '10 seconds';
  -- so many locked users at once are no rows any more, but a table
  many constant integer := 3;
  r rollcall.run;
  users uuid[] := '{}';
  results rollcall.repair_result[] := '{}';
  -- a signup that was under way at the bound may have become visible behind the cursor
  last_pass constant smallint := 2;
  size integer;
  receipt record;
begin
  perform rollcall.require_sight();
  outcome := 'batch'; attempted := 0; created := 0; failed := 0; busy := 0; skipped := 0;

  -- the batch in hand of another
  if not pg_try_advisory_xact_lock(hashtextextended('rollcall.run:' || p_run_id, 0)) then
    select x.* into r from rollcall.run x where x.run_id = p_run_id;
    return query select 'held', attempted, created, failed, busy, skipped, rollcall.run_report(r);
    return;
  end if;
  select x.* into r from rollcall.run x where x.run_id = p_run_id for no key update;
  if not found then
    raise exception 'rollcall: there is no such run' using errcode = 'RC007', hint = 'List them: rollcall runs.';
  end if;
  if r.state <> 'running' then
    return query select 'stopped', attempted, created, failed, busy, skipped, rollcall.run_report(r);
    return;
  end if;
  if rollcall.is_held_by_another(r, p_holder) then
    return query select 'held', attempted, created, failed, busy, skipped, rollcall.run_report(r);
    return;
  end if;
  r.lease_holder := p_holder;
  r.lease_pid := pg_backend_pid();
  r.waits_for := null;

  if rollcall.replication_lag_ms() > r.max_lag_ms then
    outcome := 'lagging';
    r.waits_for := 'replication_lag';
  elsif r.attempted >= r.max_users then
    outcome := 'finished';
    r.state := 'done';
    r.ending := 'max_users';
  else
    size := least(p_limit, r.batch_size, r.max_users - r.attempted);
    loop
      users := rollcall.run_page(r, size);
      exit when cardinality(users) > 0;
      r.last_user_id := null;
      if r.busy > 0 then
        r.busy := 0;
        outcome := 'round';
        exit;
      elsif r.pass = last_pass then
        outcome := 'finished';
        r.state := 'done';
        r.ending := 'complete';
        exit;
      end if;
      r.pass := r.pass + 1;
      if r.pass = 1 then
        insert into rollcall.run_failure (run_id, user_id, sqlstate, constraint_name, column_name, was_known)
        select p_run_id, f.user_id, f.sqlstate, f.constraint_name, f.column_name, true
        from rollcall.repair_failure f
        where f.user_id in (select rollcall.missing_among(array(select rollcall.unchanged_failures(r.overrides))))
          and (r.from_user_id is null or f.user_id >= r.from_user_id)
          and (r.to_user_id is null or f.user_id <= r.to_user_id)
        on conflict do nothing;
        get diagnostics skipped = row_count;
      end if;
    end loop;
  end if;

  if cardinality(users) > 0 then
    results := array(
      select x from rollcall.repair_and_log(users, jsonb_build_object('source', 'backfill', 'run_id', p_run_id), r.overrides) x
    );
    attempted := cardinality(users);
    select
      count(*) filter (where x.outcome = 'created'), count(*) filter (where x.outcome = 'failed'), count(*) filter (where x.outcome = 'busy')
      into created, failed, busy
    from unnest(results) x;

    if attempted > many and busy = attempted then
      outcome := 'locked';
      attempted := 0;
      busy := 0;
      r.waits_for := 'lock';
    else
      -- who was locked has not been attempted yet
      attempted := attempted - busy;
      r.last_user_id := users[cardinality(users)];
      r.batches := r.batches + 1;
      if failed > 0 then
        insert into rollcall.run_failure (run_id, user_id, sqlstate, constraint_name, column_name)
        select p_run_id, x.user_id, x.code, x.constraint_name, x.column_name from unnest(results) x where x.outcome = 'failed'
        on conflict do nothing;
      end if;
      if created > 0 then
        begin
          select o.user_ids, o.receipts into receipt
          from rollcall.receipts_of(array(select x.user_id from unnest(results) x where x.outcome = 'created')) o;
        -- a column without a binary form: then this run cannot be undone
        exception when others or assert_failure then
          raise warning 'rollcall: the profiles of a batch could not be noted for an undo (SQLSTATE %)', sqlstate;
        end;
        insert into rollcall.run_batch (run_id, batch, user_ids, receipts)
        values (
          p_run_id, r.batches,
          coalesce(receipt.user_ids, array(select x.user_id from unnest(results) x where x.outcome = 'created')), receipt.receipts
        );
      end if;
    end if;
  end if;

  r.attempted := r.attempted + attempted;
  r.created := r.created + created;
  r.failed := r.failed + failed + skipped;
  r.skipped := r.skipped + skipped;
  r.busy := r.busy + busy;
  r.lease_until := case when r.state = 'running' then clock_timestamp() + lease end;
  r.finished_at := case when r.state = 'done' then clock_timestamp() end;
  update rollcall.run x
  set
    state = r.state, ending = r.ending, pass = r.pass, last_user_id = r.last_user_id,
    attempted = r.attempted, created = r.created, failed = r.failed, skipped = r.skipped, busy = r.busy, batches = r.batches,
    waits_for = r.waits_for, lease_holder = r.lease_holder, lease_until = r.lease_until, lease_pid = r.lease_pid,
    updated_at = clock_timestamp(), finished_at = r.finished_at
  where x.run_id = p_run_id;
  return query select outcome, attempted, created, failed, busy, skipped, rollcall.run_report(r);
end
$$;
comment on function rollcall.advance_run(uuid, uuid, integer) is
  'One batch of a run for whoever holds it, with its cursor and counters in the same transaction. Outcome: batch; round (a pass begins again for those who were locked); locked (the table is; nothing was attempted); lagging (standbys are behind; nothing was attempted); held (by another); stopped (paused, cancelled, done, failed); finished.';

create or replace function rollcall.hold_run(p_run_id uuid, p_holder uuid, p_milliseconds integer, p_waits_for text) returns void
language sql security definer set search_path = '' as $$
  update rollcall.run r
  set waits_for = p_waits_for, lease_until = clock_timestamp() + interval '10 seconds' + p_milliseconds * interval '1 millisecond'
  where r.run_id = p_run_id and r.lease_holder = p_holder and r.state = 'running'
$$;
comment on function rollcall.hold_run(uuid, uuid, integer, text) is
  'Keeps the lease over a pause, and says what the run waits for.';

create or replace function rollcall.leave_run(p_run_id uuid, p_holder uuid, p_error text) returns void
language sql security definer set search_path = '' as $$
  update rollcall.run r
  set
    lease_until = null, waits_for = null, updated_at = clock_timestamp(),
    state = case when p_error is null then r.state else 'failed' end,
    ending = coalesce(p_error, r.ending),
    finished_at = case when p_error is null then r.finished_at else clock_timestamp() end
  where r.run_id = p_run_id and r.lease_holder = p_holder and r.state = 'running'
$$;
comment on function rollcall.leave_run(uuid, uuid, text) is
  'Gives the lease back, so that the next one need not wait for it; with the name of an error, ends the run as failed.';

-- What a person may do to a run -----------------------------------------------------------------------------------

create or replace function rollcall.control_run(p_run_id uuid, p_action text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  r rollcall.run;
begin
  update rollcall.run x
  set
    state = case p_action when 'pause' then 'paused' when 'resume' then 'running' when 'cancel' then 'cancelled' end,
    ending = null,
    waits_for = null,
    lease_until = null,
    finished_at = case when p_action = 'cancel' then clock_timestamp() end,
    updated_at = clock_timestamp()
  where x.run_id = p_run_id
    and (
      p_action = 'pause' and x.state = 'running'
      or p_action = 'resume' and x.state in ('paused', 'failed')
      or p_action = 'cancel' and x.state in ('running', 'paused', 'failed')
    );
  select x.* into r from rollcall.run x where x.run_id = p_run_id;
  if not found then
    raise exception 'rollcall: there is no such run' using errcode = 'RC007', hint = 'List them: rollcall runs.';
  end if;
  return rollcall.run_report(r);
end
$$;
comment on function rollcall.control_run(uuid, text) is
  'Pauses, resumes or cancels a run, and tells its state: one that is paused, running or at its end already is left as it is. The batch in hand is waited for.';

create or replace function rollcall.set_run(p_run_id uuid, p_batch_size integer, p_duty real, p_max_lag_ms integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  r rollcall.run;
begin
  update rollcall.run x
  set
    batch_size = coalesce(p_batch_size, x.batch_size), duty = coalesce(p_duty, x.duty),
    max_lag_ms = case when p_max_lag_ms = 0 then null else coalesce(p_max_lag_ms, x.max_lag_ms) end
  where x.run_id = p_run_id
  returning x.* into r;
  if not found then
    raise exception 'rollcall: there is no such run' using errcode = 'RC007', hint = 'List them: rollcall runs.';
  end if;
  return rollcall.run_report(r);
end
$$;
comment on function rollcall.set_run(uuid, integer, real, integer) is
  'Changes how fast a run goes, also while it runs: the most users in a batch, the share of the time it may work, how far standbys may be behind in milliseconds (0: whatever they are). Null leaves a setting as it is.';

-- Undo ------------------------------------------------------------------------------------------------------------

create or replace function rollcall.reference_sql() returns text
language sql stable set search_path = '' as $$
  select coalesce(
    string_agg(
      format(
        'exists (select from %s f where %s)',
        c.conrelid::regclass,
        (
          select string_agg(format('f.%I = p.%I', theirs.attname, ours.attname), ' and ')
          from unnest(c.conkey, c.confkey) k (their_number, our_number)
          join pg_catalog.pg_attribute theirs on theirs.attrelid = c.conrelid and theirs.attnum = k.their_number
          join pg_catalog.pg_attribute ours on ours.attrelid = c.confrelid and ours.attnum = k.our_number
        )
      ),
      ' or '
    ),
    'false'
  )
  from pg_catalog.pg_constraint c
  where c.contype = 'f' and c.confrelid = rollcall.profile_table() and c.conparentid = 0
$$;
comment on function rollcall.reference_sql() is
  'SQL text of the condition that a row of the application refers to a profile p.';

create or replace function rollcall.undo_batch(p_run_id uuid, p_after integer, p_apply boolean)
returns table (batch integer, removed bigint, gone bigint, kept jsonb)
language plpgsql security definer set search_path = '' set lock_timeout = '500ms' set row_security = off as $$
declare
  -- the list of one batch; the rest is only counted
  made rollcall.run_batch;
  state text;
  there uuid[];
  ours uuid[];
  referenced uuid[];
  done uuid[] := '{}';
  one uuid;
  is_same constant text := '(lower(p.%1$I::text), %2$s) in (select w.user_id::text, w.receipt from unnest($1, $2) w (user_id, receipt))';
begin
  perform rollcall.require_sight();
  select r.state into state from rollcall.run r where r.run_id = p_run_id;
  if not found then
    raise exception 'rollcall: there is no such run' using errcode = 'RC007', hint = 'List them: rollcall runs.';
  elsif state in ('running', 'paused') then
    raise exception 'rollcall: this run has not ended yet' using errcode = 'RC008', hint = 'Cancel it first: rollcall runs cancel RUN.';
  end if;
  select b.* into made from rollcall.run_batch b where b.run_id = p_run_id and b.batch > p_after order by b.batch limit 1;
  if not found then
    if p_apply then
      update rollcall.run r set undone_at = clock_timestamp() where r.run_id = p_run_id;
    end if;
    return;
  end if;

  -- Locked first: from here on nobody can begin to refer to them, and what is seen below is what is deleted.
  if p_apply then
    execute rollcall.receipt_sql('p.%1$I::text::uuid as user_id', 'true') || ' order by 1 for update' using made.user_ids;
  end if;
  execute rollcall.receipt_sql(
    'array_agg(p.%1$I::text::uuid),
      array_agg(p.%1$I::text::uuid) filter (where ' || is_same || '),
      array_agg(p.%1$I::text::uuid) filter (where ' || replace(rollcall.reference_sql(), '%', '%%') || ')',
    'true'
  ) into there, ours, referenced using made.user_ids, made.receipts;
  there := coalesce(there, '{}');
  referenced := coalesce(referenced, '{}');
  ours := array(select unnest(coalesce(ours, '{}')) except select unnest(referenced));

  if p_apply and cardinality(ours) > 0 then
    begin
      done := rollcall.remove_profiles(ours);
    exception when others or assert_failure then
      if rollcall.speaks_of_the_server(sqlstate) or rollcall.speaks_of_a_lock(sqlstate) then
        raise exception 'rollcall: profiles cannot be taken back now' using errcode = sqlstate;
      end if;
      foreach one in array ours loop
        begin
          done := done || rollcall.remove_profiles(array[one]);
        -- something of the application's refuses
        exception when others or assert_failure then
          null;
        end;
      end loop;
    end;
  else
    done := ours;
  end if;

  return query
    select
      made.batch, cardinality(done)::bigint, (cardinality(made.user_ids) - cardinality(there))::bigint,
      coalesce(
        (
          select jsonb_agg(
            jsonb_build_object(
              'user_id', k.user_id,
              'reason', case when k.user_id = any (ours) then 'refused' when k.user_id = any (referenced) then 'referenced' else 'changed' end)
            order by k.user_id)
          from (select unnest(there) except select unnest(done)) k (user_id)
        ),
        '[]'
      );
end
$$;
comment on function rollcall.undo_batch(uuid, integer, boolean) is
  'Takes the profiles of the batch after this one back that are still as the run made them and that nothing refers to, or only says which: how many were removed, how many were gone, and whose stay with the reason (changed, referenced, refused). No row: there is no further batch.';

create or replace function rollcall.remove_profiles(p_user_ids uuid[]) returns uuid[]
language plpgsql set search_path = '' as $$
declare
  target constant regclass := rollcall.profile_table();
  key constant name := rollcall.profile_key();
  removed uuid[];
begin
  -- for the application's own triggers, as at an insert
  perform set_config('search_path', 'pg_catalog, public, extensions, pg_temp', true);
  execute format(
    'with gone (user_id) as (delete from %s p where p.%I = any ($1::%s[]) returning p.%2$I::text::uuid)
     select coalesce(array_agg(user_id), ''{}'') from gone',
    target, key,
    case when (select a.atttypid from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = key) = 'uuid'::regtype
      then 'uuid' else 'text' end
  ) into removed using p_user_ids;
  return removed;
end
$$;
comment on function rollcall.remove_profiles(uuid[]) is
  'Deletes these profiles; for rollcall.undo_batch, which has locked and compared them. Returns whose are gone.';

-- The dry run -----------------------------------------------------------------------------------------------------

create or replace function rollcall.preview_page(p_limit integer, p_from uuid, p_to uuid, p_overrides jsonb, p_rows integer)
returns table (user_id uuid, outcome text, code text, constraint_name text, column_name text, profile jsonb)
language plpgsql security definer set search_path = '' set lock_timeout = '500ms' set row_security = off as $$
declare
  r rollcall.run;
  users uuid[];
  results rollcall.repair_result[];
  profiles jsonb;
begin
  perform rollcall.require_sight();
  r.signed_up_before := 'infinity';
  r.from_user_id := p_from;
  r.to_user_id := p_to;
  r.pass := 2;
  users := rollcall.run_page(r, p_limit);
  -- The rows are really inserted, so that triggers and constraints have their say; the exception takes them back.
  begin
    results := array(select t from rollcall.try_create_profiles(users, p_overrides) t);
    execute rollcall.receipt_sql('jsonb_object_agg(lower(p.%1$I::text), to_jsonb(p))', 'true')
      into profiles
      using array(select t.user_id from unnest(results) t where t.outcome = 'created' order by t.user_id limit p_rows);
    raise exception using errcode = 'RC001', message = 'rollcall: trial over';
  exception when sqlstate 'RC001' then
    null;
  end;
  return query
    select t.user_id, t.outcome, t.code, t.constraint_name, t.column_name, profiles -> t.user_id::text
    from unnest(results) t
    order by t.user_id;
end
$$;
comment on function rollcall.preview_page(integer, uuid, uuid, jsonb, integer) is
  'What a repair would do for the first users of a range who have no profile, found out by doing it and taking it back: the outcome of each, and of the first p_rows created the whole row. Leaves no row.';

-- Rights and level ------------------------------------------------------------------------------------------------

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261124000400' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

revoke all on all tables in schema rollcall from public, anon, authenticated;
revoke all on all functions in schema rollcall from public, anon, authenticated;
grant execute on function
  rollcall.missing_in_range(uuid, uuid, timestamptz),
  rollcall.plan_ranges(integer),
  rollcall.run_failures(uuid, integer),
  rollcall.run_reports(integer, uuid)
to rollcall_monitor;
grant execute on function
  rollcall.advance_run(uuid, uuid, integer),
  rollcall.claim_request(text, jsonb),
  rollcall.control_run(uuid, text),
  rollcall.has_more(uuid),
  rollcall.hold_run(uuid, uuid, integer, text),
  rollcall.join_run(uuid),
  rollcall.leave_run(uuid, uuid, text),
  rollcall.preview_page(integer, uuid, uuid, jsonb, integer),
  rollcall.set_run(uuid, integer, real, integer),
  rollcall.start_run(text, text, integer, bigint, jsonb, uuid, uuid, real, integer, text, jsonb),
  rollcall.undo_batch(uuid, integer, boolean),
  rollcall.unfinished_run()
to rollcall_repairer;
