-- How a missing profile is made.
--
-- Makes the functions that create profiles from rollcall.expected_profile, never touching a profile that exists, and
-- that set a row that cannot be created apart from those that can; and the pages and batches of a repair.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

-- What an error is about ------------------------------------------------------------------------------------------

create or replace function rollcall.speaks_of_the_server(p_sqlstate text) returns boolean
language sql immutable set search_path = '' as $$
  select left(p_sqlstate, 2) in ('08', '58') or p_sqlstate in ('53000', '53100', '53200', '53300', '57P01', '57P02', '57P03')
$$;
comment on function rollcall.speaks_of_the_server(text) is
  'Whether an error is about the server (connection, space, memory, shutdown) rather than about a row.';

create or replace function rollcall.speaks_of_a_lock(p_sqlstate text) returns boolean
language sql immutable set search_path = '' as $$
  select left(p_sqlstate, 2) = '40' or p_sqlstate = '55P03'
$$;
comment on function rollcall.speaks_of_a_lock(text) is
  'Whether an error is about another transaction (a lock not granted, a deadlock): the same row may succeed a moment later.';

create or replace function rollcall.failure_text(p_sqlstate text, p_constraint text, p_column text) returns text
language sql immutable set search_path = '' as $$
  select case
      when p_sqlstate = '23502' then 'a column that must have a value got none'
      when p_sqlstate = '23503' then 'a row that the profile refers to does not exist'
      when p_sqlstate = '23505' then 'another profile already has a value that must be unique'
      when p_sqlstate = '23514' then 'a value does not satisfy a check constraint'
      when left(p_sqlstate, 2) = '22' then 'a value does not fit the type of its column'
      when left(p_sqlstate, 2) = '42' then 'rollcall.expected_profile or a trigger does not fit the profile table'
      when p_sqlstate = 'RC002' then 'a trigger on the profile table discarded the row, or changed its key'
      when rollcall.speaks_of_a_lock(p_sqlstate) then 'another transaction was in the way; try again'
      else 'the database refused the profile'
    end
    || coalesce(' (constraint ' || quote_ident(nullif(p_constraint, '')) || ')', '')
    || coalesce(' (column ' || quote_ident(nullif(p_column, '')) || ')', '')
$$;
comment on function rollcall.failure_text(text, text, text) is
  'A sentence for a failed insert from its SQLSTATE, constraint and column. It never contains a value of the row.';

create or replace function rollcall.is_expected(p_user_id uuid) returns boolean
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return exists (select from rollcall.expected_profile e where e._user_id = p_user_id);
end
$$;
comment on function rollcall.is_expected(uuid) is
  'Whether the user must have a profile.';

-- Creating profiles -----------------------------------------------------------------------------------------------

-- A text key may be written in capitals; both spellings can be looked up in its index.
create or replace function rollcall.key_match_sql(p_profile text, p_user_id text) returns text
language plpgsql stable set search_path = '' as $$
declare
  key constant name := rollcall.profile_key();
begin
  return (
    select case a.atttypid
      when 'uuid'::regtype then format('%s.%I = %s', p_profile, key, p_user_id)
      else format('%s.%I in (%s::text, upper(%3$s::text))', p_profile, key, p_user_id)
    end
    from pg_catalog.pg_attribute a
    where a.attrelid = rollcall.profile_table() and a.attname = key
  );
end
$$;
comment on function rollcall.key_match_sql(text, text) is
  'SQL text of the condition that a row of the profile table, by its alias, is the profile of a user, by an expression for his id; made for the index of the key.';

create or replace function rollcall.profile_insert_sql(p_overrides jsonb) returns text
language plpgsql stable set search_path = '' as $$
declare
  target constant regclass := rollcall.profile_table();
  key constant name := rollcall.profile_key();
  unknown_columns text;
  column_list text;
  value_list text;
  column_names name[];
  wish record;
begin
  select
    string_agg(quote_ident(c.column_name), ', ') filter (where c.target_type is null),
    string_agg(quote_ident(c.column_name), ', '),
    -- The type's own modifier (varchar(40)) is left to the assignment, which refuses what is too long; a cast would cut it.
    string_agg(
      case when p_overrides ? c.column_name
        then format('coalesce($2 ->> %L, e.%I::text)::%s', c.column_name, c.column_name, c.target_type)
        else format('e.%I::%s', c.column_name, c.target_type)
      end, ', '),
    array_agg(c.column_name)
  into unknown_columns, column_list, value_list, column_names
  from rollcall.profile_columns() c;

  if key is null or column_list is null or unknown_columns is not null then
    raise exception 'rollcall: rollcall.expected_profile does not fit the table %', coalesce(target::text, 'public.profiles, which does not exist')
      using errcode = 'invalid_table_definition',
        detail = coalesce('The table has no column: ' || unknown_columns, 'The view is missing, or none of its columns is the key of the table.'),
        hint = 'Edit rollcall.expected_profile so that its columns are named as those of the table, or begin with _; then run: select rollcall.adopt_profile_table();';
  end if;
  if exists (select from jsonb_object_keys(p_overrides) k where k <> all (column_names)) then
    raise exception 'rollcall: a value is given for a column that rollcall.expected_profile does not have'
      using errcode = 'RC003',
        hint = 'Leave the value out (account_type, e-mail), or add the column to the view.';
  end if;

  -- A value that its column can never take is the caller's mistake, and none of the rows'.
  for wish in
    select w.key, w.value, c.target_type
    from jsonb_each_text(p_overrides) w
    join rollcall.profile_columns() c on c.column_name = w.key
  loop
    begin
      execute format('select $1::%s', wish.target_type) using wish.value;
    exception when data_exception or integrity_constraint_violation then
      raise exception 'rollcall: a value is given that the column % cannot take', quote_ident(wish.key)
        using errcode = 'RC005', hint = 'Give a value of its type, or leave it out.';
    end;
  end loop;

  return format(
    'insert into %1$s (%2$s) select %3$s from rollcall.expected_profile e'
    ' where e._user_id = any ($1) and not exists (select from %1$s t where %5$s)'
    ' order by e._user_id on conflict (%4$I) do nothing returning %4$I::text::uuid',
    target, column_list, value_list, key, rollcall.key_match_sql('t', 'e._user_id')
  );
end
$$;
comment on function rollcall.profile_insert_sql(jsonb) is
  'The one statement that creates profiles: $1 uuid[] of users, $2 jsonb of column values that replace the definition''s; returns the ids created. An existing profile is left alone. RC003: a value for a column that the definition does not have. RC005: a value that its column cannot take.';

create or replace function rollcall.deferred_constraints() returns text
language plpgsql stable set search_path = '' as $$
begin
  return (
    select string_agg(format('%I.%I', n.nspname, c.conname), ', ')
    from pg_catalog.pg_constraint c
    join pg_catalog.pg_namespace n on n.oid = c.connamespace
    -- those of Supabase Auth are its own affair: it may fulfil them later in the same transaction
    -- one that is checked at once can be put off by a trigger
    where c.condeferrable and n.nspname <> 'auth' and has_schema_privilege(n.oid, 'usage')
  );
end
$$;
comment on function rollcall.deferred_constraints() is
  'The constraints and constraint triggers that are, or can be, checked at commit, for set constraints; null where there are none, as in most projects.';

create or replace function rollcall.try_deferred_constraints(p_constraints text) returns void
language plpgsql set search_path = '' as $$
begin
  -- the session's own, as at commit, for triggers of the application that name their tables without a schema
  set local search_path to default;
  execute 'set constraints ' || p_constraints || ' immediate';
  raise exception using errcode = 'RC004', message = 'rollcall: trial over';
exception when sqlstate 'RC004' then
  null;
end
$$;
comment on function rollcall.try_deferred_constraints(text) is
  'Fails as the commit would: checks these constraints and constraint triggers, and takes back what they did. They are checked at commit all the same.';

create or replace function rollcall.deferred_constraints_hold(p_constraints text) returns boolean
language plpgsql set search_path = '' as $$
begin
  perform rollcall.try_deferred_constraints(p_constraints);
  return true;
exception when others or assert_failure then
  return false;
end
$$;
comment on function rollcall.deferred_constraints_hold(text) is
  'Whether a commit would pass these constraints and constraint triggers now.';

create or replace function rollcall.create_profiles(p_user_ids uuid[], p_overrides jsonb default '{}') returns setof uuid
language plpgsql security definer set search_path = '' as $$
declare
  statement constant text := rollcall.profile_insert_sql(p_overrides);
  -- A constraint checked at commit would fail after every net of ours: in a signup, it would lock the user out. And it
  -- need not be one of the profile table: triggers there may write elsewhere. What fails already, before our row, waits
  -- for something that the same transaction has yet to do; it is none of our row's faults.
  deferred constant text := rollcall.deferred_constraints();
  is_ours_to_check constant boolean := case when deferred is null then false else rollcall.deferred_constraints_hold(deferred) end;
  created uuid;
begin
  -- The application's own triggers fire inside the insert and may name their tables without a schema.
  -- Everything in the statement itself is qualified. Lasts until this function returns.
  perform set_config('search_path', 'pg_catalog, public, extensions, pg_temp', true);
  for created in execute statement using p_user_ids, p_overrides loop
    if created <> all (p_user_ids) then
      raise exception 'rollcall: a trigger on the profile table changed the key of the row' using errcode = 'RC002';
    end if;
    return next created;
  end loop;
  if is_ours_to_check then
    perform rollcall.try_deferred_constraints(deferred);
  end if;
end
$$;
comment on function rollcall.create_profiles(uuid[], jsonb) is
  'Creates the profiles that are expected and missing for these users and returns whose; fails as a whole if one row fails.';

create or replace function rollcall.missing_among(p_user_ids uuid[]) returns setof uuid
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return query execute format(
    'select e._user_id from rollcall.expected_profile e where e._user_id = any ($1) and not exists (select from %s t where %s)',
    rollcall.profile_table(), rollcall.key_match_sql('t', 'e._user_id')
  ) using p_user_ids;
end
$$;
comment on function rollcall.missing_among(uuid[]) is
  'Those of these users whose profile is expected and not there.';

do $$
begin
  if to_regtype('rollcall.repair_result') is null then
    create type rollcall.repair_result as (user_id uuid, outcome text, code text, constraint_name text, column_name text);
  end if;
end
$$;
comment on type rollcall.repair_result is
  'What became of one user: outcome created, failed, or busy (something was locked; the next try may succeed); for failed and busy the SQLSTATE (code), and the constraint and column if the database named them.';
revoke all on type rollcall.repair_result from public;

-- Whoever raises an error chooses what stands in these fields; only a name from the catalog is one.
create or replace function rollcall.known_constraint(p_name text) returns text
language sql stable set search_path = '' as $$
  select c.conname::text from pg_catalog.pg_constraint c where c.conname = p_name
  union
  select i.relname::text from pg_catalog.pg_class i where i.relname = p_name and i.relkind = 'i'
  limit 1
$$;
comment on function rollcall.known_constraint(text) is
  'The name if it is one of a constraint or index, else null.';

create or replace function rollcall.known_column(p_name text) returns text
language sql stable set search_path = '' as $$
  select a.attname::text from pg_catalog.pg_attribute a where a.attname = p_name and a.attnum > 0 limit 1
$$;
comment on function rollcall.known_column(text) is
  'The name if it is one of a column, else null.';

-- Halving finds each bad row in log2(n) steps, so one row that fails, or is locked, costs its neighbours nothing.
create or replace function rollcall.try_create_profiles(p_user_ids uuid[], p_overrides jsonb default '{}')
returns setof rollcall.repair_result
language plpgsql security definer set search_path = '' as $$
declare
  -- each is waited for as long as lock_timeout says
  max_busy constant integer := 3;
  users constant uuid[] := array(select distinct u from unnest(p_user_ids) u where u is not null order by u);
  pending int4range[] := array[int4range(1, cardinality(users) + 1)];
  first_row integer;
  last_row integer;
  middle integer;
  busy integer := 0;
  settled uuid[] := '{}';
  failure rollcall.repair_result;
begin
  -- a definition that does not fit the table is nobody's row: say so once, as a whole
  perform rollcall.profile_insert_sql(p_overrides);

  while cardinality(users) > 0 and cardinality(pending) > 0 loop
    first_row := lower(pending[cardinality(pending)]);
    last_row := upper(pending[cardinality(pending)]) - 1;
    pending := pending[:cardinality(pending) - 1];
    begin
      return query
        select c, 'created', null::text, null::text, null::text
        from rollcall.create_profiles(users[first_row:last_row], p_overrides) c;
      continue;
    exception when others or assert_failure then
      get stacked diagnostics
        failure.code = returned_sqlstate, failure.constraint_name = constraint_name, failure.column_name = column_name;
    end;

    if rollcall.speaks_of_the_server(failure.code) then
      -- our own words: another's may quote a row
      raise exception 'rollcall: the server cannot take a repair now' using errcode = failure.code;
    elsif first_row < last_row then
      middle := (first_row + last_row) / 2;
      pending := pending || int4range(middle + 1, last_row + 1) || int4range(first_row, middle + 1);
    -- a user who was deleted meanwhile is no failure
    elsif rollcall.is_expected(users[first_row]) then
      failure.user_id := users[first_row];
      failure.outcome := case when rollcall.speaks_of_a_lock(failure.code) then 'busy' else 'failed' end;
      failure.constraint_name := rollcall.known_constraint(failure.constraint_name);
      failure.column_name := rollcall.known_column(failure.column_name);
      settled := settled || failure.user_id;
      busy := busy + (failure.outcome = 'busy')::integer;
      return next failure;
      -- more than a row or two: it is the table, and waiting on for each row would take for ever
      if busy >= max_busy then
        return query
          select m, 'busy', failure.code, null::text, null::text
          from rollcall.missing_among(users) m
          where m <> all (settled);
        return;
      end if;
    end if;
  end loop;

  -- a trigger of the application can drop a row without a word
  return query
    select m, 'failed', 'RC002', null::text, null::text
    from rollcall.missing_among(users) m
    where m <> all (settled);
end
$$;
comment on function rollcall.try_create_profiles(uuid[], jsonb) is
  'Creates what can be created for these users: one row for each profile created, failed or busy, none for users who have a profile already or are gone. An error of the server (out of space, shutting down) ends it as a whole.';

create or replace function rollcall.repair_users(p_user_ids uuid[], p_source text, p_overrides jsonb default '{}')
returns setof rollcall.repair_result
language plpgsql security definer set search_path = '' set lock_timeout = '500ms' as $$
declare
  results constant rollcall.repair_result[] := array(select t from rollcall.try_create_profiles(p_user_ids, p_overrides) t);
begin
  perform rollcall.require_sight();

  -- A failure that repeats is not logged again, nor is one that two repairs meet at once: its row is made or locked
  -- first, and holds the former reason until it was compared.
  insert into rollcall.repair_failure as f (user_id, sqlstate)
  select r.user_id, ''
  from unnest(results) r
  where r.outcome = 'failed'
  order by r.user_id
  on conflict (user_id) do update set attempts = f.attempts + 1, last_failed_at = now();

  begin
    insert into public.user_events (user_id, kind, payload)
    select
      r.user_id,
      case r.outcome when 'created' then 'profile_backfilled' else 'profile_backfill_error' end,
      jsonb_strip_nulls(jsonb_build_object('source', p_source, 'sqlstate', r.code, 'constraint', r.constraint_name, 'column', r.column_name))
    from unnest(results) r
    where r.outcome = 'created'
      or r.outcome = 'failed' and not exists (
        select from rollcall.repair_failure f
        where f.user_id = r.user_id
          and (f.sqlstate, f.constraint_name, f.column_name) is not distinct from (r.code, r.constraint_name, r.column_name)
      );
  -- a trigger of the application on the events costs nobody the profile
  exception when others or assert_failure then
    if rollcall.speaks_of_the_server(sqlstate) or rollcall.speaks_of_a_lock(sqlstate) then
      raise exception 'rollcall: the events of a repair cannot be written now' using errcode = sqlstate;
    end if;
    raise warning 'rollcall: the events of a repair could not be written (SQLSTATE %)', sqlstate;
  end;

  update rollcall.repair_failure f
  set sqlstate = r.code, constraint_name = r.constraint_name, column_name = r.column_name
  from unnest(results) r
  where r.outcome = 'failed' and f.user_id = r.user_id;

  delete from rollcall.repair_failure f
  using unnest(results) r
  where r.outcome = 'created' and f.user_id = r.user_id;

  return query select * from unnest(results);
end
$$;
comment on function rollcall.repair_users(uuid[], text, jsonb) is
  'Creates the missing profiles of these users, logs an event for each and remembers failures. Waits half a second for a lock, less than PostgreSQL takes to call a deadlock, so that nobody else is its victim.';

create or replace function rollcall.forget_settled_failures() returns void
language sql security definer set search_path = '' as $$
  delete from rollcall.repair_failure f
  where f.user_id in (
    select s.user_id from rollcall.repair_failure s
    where s.user_id not in (
      select m from rollcall.missing_among(array(select k.user_id from rollcall.repair_failure k)) m
    )
    -- in one order, and past what another repair is writing
    order by s.user_id
    for update skip locked
  )
$$;
comment on function rollcall.forget_settled_failures() is
  'Forgets the failures of users who are gone, got their profile in another way, or need none any more.';

create or replace function rollcall.preview_users(p_user_ids uuid[], p_overrides jsonb default '{}')
returns setof rollcall.repair_result
language plpgsql security definer set search_path = '' set lock_timeout = '500ms' as $$
declare
  results rollcall.repair_result[];
begin
  -- The rows are really inserted, so that triggers and constraints have their say; the exception takes them back.
  begin
    results := array(select t from rollcall.try_create_profiles(p_user_ids, p_overrides) t);
    raise exception using errcode = 'RC001', message = 'rollcall: trial over';
  exception when sqlstate 'RC001' then
    null;
  end;
  return query select * from unnest(results);
end
$$;
comment on function rollcall.preview_users(uuid[], jsonb) is
  'What rollcall.repair_users would do for these users, found out by doing it and taking it back. Leaves no row.';

-- Pages and batches over the order of ids -------------------------------------------------------------------------

create or replace function rollcall.missing_users(
  p_after uuid, p_limit integer, p_signed_up_before timestamptz default 'infinity', p_failed boolean default null
)
returns setof uuid
language sql stable security definer set search_path = '' set row_security = off as $$
  select e._user_id
  from rollcall.expected_profile e
  where e._user_id >= coalesce(p_after, '00000000-0000-0000-0000-000000000000'::uuid)
    and e._user_id is distinct from p_after
    -- a date that nobody can have signed up at yet keeps nobody from being repaired
    and (e._signed_up_at <= p_signed_up_before or e._signed_up_at is null or e._signed_up_at > now() + interval '5 minutes')
    and not exists (
      -- the bound stands here again so that the anti-join starts at the cursor, too
      select from rollcall.actual_profile a
      where a._user_id = e._user_id
        and a._user_id >= coalesce(p_after, '00000000-0000-0000-0000-000000000000'::uuid)
    )
    and (
      p_failed is null
      or p_failed = exists (select from rollcall.repair_failure f where f.user_id = e._user_id)
    )
    -- who failed since then has been attempted
    and (
      p_failed is not true
      or exists (select from rollcall.repair_failure f where f.user_id = e._user_id and f.last_failed_at <= p_signed_up_before)
    )
  order by e._user_id
  limit p_limit
$$;
comment on function rollcall.missing_users(uuid, integer, timestamptz, boolean) is
  'A page of users without their profile in the order of their ids, after a cursor (null: from the start), among those who signed up no later than a moment (or are dated in the future): all of them, or those who never failed (p_failed false), or those who failed before that moment (true).';

create or replace function rollcall.count_missing(p_signed_up_before timestamptz default 'infinity') returns bigint
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return (
    select count(*)
    from rollcall.expected_profile e
    where (e._signed_up_at <= p_signed_up_before or e._signed_up_at is null or e._signed_up_at > now() + interval '5 minutes')
      and not exists (select from rollcall.actual_profile a where a._user_id = e._user_id)
  );
end
$$;
comment on function rollcall.count_missing(timestamptz) is
  'How many users have no profile, among those who signed up no later than a moment (or are dated in the future).';

create or replace function rollcall.repair_batch(
  p_after uuid, p_limit integer, p_signed_up_before timestamptz, p_failed boolean, p_source text, p_overrides jsonb default '{}'
)
returns table (attempted bigint, created bigint, failed bigint, busy bigint, last_user_id uuid, failures jsonb)
language plpgsql security definer set search_path = '' as $$
declare
  users constant uuid[] := array(select rollcall.missing_users(p_after, p_limit, p_signed_up_before, p_failed));
begin
  return query
    select
      cardinality(users)::bigint,
      count(*) filter (where r.outcome = 'created'),
      count(*) filter (where r.outcome = 'failed'),
      count(*) filter (where r.outcome = 'busy'),
      users[cardinality(users)],
      coalesce(
        jsonb_agg(jsonb_build_object('user_id', r.user_id, 'sqlstate', r.code, 'constraint', r.constraint_name, 'column', r.column_name) order by r.user_id)
          filter (where r.outcome = 'failed'),
        '[]'
      )
    from rollcall.repair_users(users, p_source, p_overrides) r;
end
$$;
comment on function rollcall.repair_batch(uuid, integer, timestamptz, boolean, text, jsonb) is
  'One page of rollcall.missing_users repaired: how many were attempted, created, failed, busy; the last id for the next cursor (null: nothing was left); the failures with SQLSTATE, constraint and column.';

revoke all on all functions in schema rollcall from public, anon, authenticated;
