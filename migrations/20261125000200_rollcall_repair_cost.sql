-- What a repair costs: the work, and not the project.
--
--   a page of a run   users against profiles by their ids alone, in the order of two indexes, from the cursor on
--   many ids          an array that the planner sees is weighed value by value, before every statement; behind a
--                     subquery it is not, and each id is looked up in its index
--   a batch           ids travel as arrays of ids, and smaller chunks are thrown away with a bad row
--   public.backfill_* everyone is compared with the profiles once
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

-- Statements over many ids ----------------------------------------------------------------------------------------

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
    ' where e._user_id = any ((select $1)::uuid[]) and not exists (select from %1$s t where %5$s)'
    ' order by e._user_id on conflict (%4$I) do nothing returning %6$s',
    target, column_list, value_list, key, rollcall.key_match_sql('t', 'e._user_id'),
    case when rollcall.key_is_uuid() then quote_ident(key) else format('%I::text::uuid', key) end
  );
end
$$;

create or replace function rollcall.missing_among(p_user_ids uuid[]) returns setof uuid
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return query execute format(
    'select e._user_id from rollcall.expected_profile e where e._user_id = any ((select $1)::uuid[]) and not exists (select from %s t where %s)',
    rollcall.profile_table(), rollcall.key_match_sql('t', 'e._user_id')
  ) using p_user_ids;
end
$$;

create or replace function rollcall.receipt_sql(p_select text, p_condition text) returns text
language plpgsql stable set search_path = '' as $$
declare
  target constant regclass := rollcall.profile_table();
  key constant name := rollcall.profile_key();
  receipt constant text := 'sha256(record_send(p) || int8send(p.xmin::text::bigint))';
begin
  return format('select ' || p_select, key, receipt)
    || format(
      ' from %s p where p.%I = any ((select $1)::%s[]) and %s', target, key,
      case when rollcall.key_is_uuid() then 'uuid' else 'text' end, p_condition);
end
$$;

-- Who has no profile ----------------------------------------------------------------------------------------------

-- Both functions answer the same. The first costs what lies between its bounds and the limit; its plan may not depend on
-- what the planner believes about ids that have no profile, of whom it believes that there are none.
create or replace function rollcall.without_profile_in_order(p_from uuid, p_to uuid, p_limit integer) returns uuid[]
language plpgsql stable security definer set search_path = '' set row_security = off
set enable_hashjoin = off set enable_seqscan = off set enable_sort = off set enable_nestloop = off as $$
begin
  return array(
    select u.id
    from auth.users u
    where u.id >= p_from and u.id <= p_to
      and not exists (
        -- the bounds stand here again so that the anti-join starts there, too
        select from rollcall.actual_profile a where a._user_id = u.id and a._user_id >= p_from and a._user_id <= p_to
      )
    order by u.id
    limit p_limit
  );
end
$$;
comment on function rollcall.without_profile_in_order(uuid, uuid, integer) is
  'The first users of a range of ids who have no profile, in the order of both primary keys. Who must have a profile is not asked.';

create or replace function rollcall.without_profile_by_hash(p_from uuid, p_to uuid, p_limit integer) returns uuid[]
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  return array(
    select u.id
    from auth.users u
    where u.id >= p_from and u.id <= p_to
      and not exists (select from rollcall.actual_profile a where a._user_id = u.id)
    order by u.id
    limit p_limit
  );
end
$$;
comment on function rollcall.without_profile_by_hash(uuid, uuid, integer) is
  'As rollcall.without_profile_in_order(uuid, uuid, integer), for keys that are no uuid.';

create or replace function rollcall.without_profile(p_from uuid, p_to uuid, p_limit integer) returns uuid[]
language plpgsql stable security definer set search_path = '' as $$
begin
  if rollcall.key_is_uuid() then
    return rollcall.without_profile_in_order(p_from, p_to, p_limit);
  else
    return rollcall.without_profile_by_hash(p_from, p_to, p_limit);
  end if;
end
$$;
comment on function rollcall.without_profile(uuid, uuid, integer) is
  'The first users of a range of ids who have no profile, by their ids. Who must have a profile is not asked.';

create or replace function rollcall.run_page(p_run rollcall.run, p_limit integer) returns uuid[]
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  to_id constant uuid := coalesce(p_run.to_user_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  from_id uuid := coalesce(p_run.last_user_id, p_run.from_user_id, '00000000-0000-0000-0000-000000000000');
  seen uuid := p_run.last_user_id;
  size integer := greatest(p_limit, 100);
  ids uuid[];
  candidates uuid[];
  page uuid[] := '{}';
begin
  loop
    if p_run.pass = 1 then
      -- whoever failed before; everyone else who came since is for the last pass
      ids := array(
        select f.user_id from rollcall.repair_failure f where f.user_id >= from_id and f.user_id <= to_id order by f.user_id limit size
      );
      candidates := array(select rollcall.missing_among(ids));
    else
      ids := rollcall.without_profile(from_id, to_id, size);
      candidates := ids;
    end if;
    page := page || array(
      select e._user_id
      from rollcall.expected_profile e
      where e._user_id = any ((select candidates)::uuid[]) and e._user_id is distinct from seen
        -- a date that nobody can have signed up at yet keeps nobody from being repaired
        and (e._signed_up_at <= p_run.signed_up_before or e._signed_up_at is null or e._signed_up_at > now() + interval '5 minutes')
        and (p_run.pass > 0 or not exists (select from rollcall.repair_failure f where f.user_id = e._user_id))
        and (p_run.pass = 0 or not exists (select from rollcall.run_failure f where f.run_id = p_run.run_id and f.user_id = e._user_id))
      order by e._user_id
    );
    exit when cardinality(page) >= p_limit or cardinality(ids) < size;
    -- many who need no profile, or have failed
    from_id := ids[size];
    seen := from_id;
    size := least(size * 4, greatest(p_limit, 10000));
  end loop;
  return page[:p_limit];
end
$$;

-- Whoever is left when a run ends was met by its last look at everyone, so nobody need be counted once more.
create or replace function rollcall.run_last_look(p_run rollcall.run, p_limit integer, out page uuid[], out remaining bigint)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  from_id constant uuid := coalesce(p_run.from_user_id, '00000000-0000-0000-0000-000000000000');
  to_id constant uuid := coalesce(p_run.to_user_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  candidates constant uuid[] := rollcall.without_profile(from_id, to_id, null);
begin
  select
    count(*),
    coalesce(
      (array_agg(e._user_id order by e._user_id) filter (
        -- a date that nobody can have signed up at yet keeps nobody from being repaired
        where (e._signed_up_at <= p_run.signed_up_before or e._signed_up_at is null or e._signed_up_at > now() + interval '5 minutes')
          and not exists (select from rollcall.run_failure f where f.run_id = p_run.run_id and f.user_id = e._user_id)
      ))[:p_limit],
      '{}'
    )
    into remaining, page
  from rollcall.expected_profile e
  where e._user_id = any ((select candidates)::uuid[]);
end
$$;
comment on function rollcall.run_last_look(rollcall.run, integer) is
  'As rollcall.run_page(rollcall.run, integer) at the beginning of the last pass, and how many users of the run''s range have no profile now, whenever they signed up.';

create or replace function rollcall.indexes_suffice() returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return rollcall.key_is_uuid() and coalesce(
    (
      select bool_and(c.relallvisible >= 0.9 * c.relpages)
      from pg_catalog.pg_class c
      where c.oid in ('auth.users'::regclass, rollcall.profile_table())
    ),
    false
  );
end
$$;
comment on function rollcall.indexes_suffice() is
  'Whether users are compared with profiles best in the order of both primary keys: the key is a uuid, and few pages have changed since the last vacuum.';

create or replace function rollcall.apart()
returns table (users bigint, profiles bigint, without_profile uuid[], without_user uuid[], unreadable_keys bigint)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  if rollcall.indexes_suffice() then
    return query select * from rollcall.apart_in_order();
  else
    return query select * from rollcall.apart_by_hash();
  end if;
end
$$;

create or replace function rollcall.all_missing(p_signed_up_before timestamptz default 'infinity') returns uuid[]
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  -- Both ways find the same. By the ids alone, and then a look at each who has no profile, costs half of a look at every
  -- user; it costs more where many pages have changed since the last vacuum, and where one in five has no profile.
  many constant real := (select c.reltuples / 5 from pg_catalog.pg_class c where c.oid = 'auth.users'::regclass);
  candidates uuid[];
begin
  perform rollcall.require_sight();
  if rollcall.indexes_suffice() then
    candidates := rollcall.without_profile_in_order('00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', null);
  end if;
  if cardinality(candidates) <= many then
    return array(
      select e._user_id
      from rollcall.expected_profile e
      where e._user_id = any ((select candidates)::uuid[])
        and (e._signed_up_at <= p_signed_up_before or e._signed_up_at is null or e._signed_up_at > now() + interval '5 minutes')
    );
  end if;
  return array(
    select e._user_id
    from rollcall.expected_profile e
    where (e._signed_up_at <= p_signed_up_before or e._signed_up_at is null or e._signed_up_at > now() + interval '5 minutes')
      and not exists (select from rollcall.actual_profile a where a._user_id = e._user_id)
  );
end
$$;
comment on function rollcall.all_missing(timestamptz) is
  'Everyone without a profile, among those who signed up no later than a moment (or are dated in the future).';

create or replace function rollcall.count_missing(p_signed_up_before timestamptz default 'infinity') returns bigint
language sql stable security definer set search_path = '' as $$
  select cardinality(rollcall.all_missing(p_signed_up_before))
$$;

-- Creating profiles in batches ------------------------------------------------------------------------------------

-- A bad row costs its chunk one more insert when the error names it, and two splits more when it does not.
create or replace function rollcall.create_many(
  p_user_ids uuid[], p_overrides jsonb, out created uuid[], out failures rollcall.repair_result[]
)
language plpgsql security definer set search_path = '' as $$
declare
  -- what is thrown away with a bad row; smaller ones cost more statements than they save
  chunk_size constant integer := 250;
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
  settled uuid[] := '{}';
  busy integer := 0;
  detail text;
  failure rollcall.repair_result;
begin
  created := '{}';
  failures := '{}';
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
      failures := failures || failure;
      -- more than a row or two: it is the table, and waiting on for each row would take for ever
      exit when busy >= max_busy;
    end if;
  end loop;

  -- a trigger of the application can drop a row without a word
  if cardinality(created) + cardinality(settled) < cardinality(users) then
    failures := failures || array(
      select row(
        m, case when busy >= max_busy then 'busy' else 'failed' end, case when busy >= max_busy then failure.code else 'RC002' end, null, null
      )::rollcall.repair_result
      from (select rollcall.missing_among(users) except select unnest(settled)) left_over (m)
    );
  end if;
end
$$;
comment on function rollcall.create_many(uuid[], jsonb) is
  'Creates what can be created for these users: whose profile was created, and who failed or is busy. Neither names those who have a profile already or are gone. An error of the server (out of space, shutting down) ends it as a whole.';

create or replace function rollcall.try_create_profiles(p_user_ids uuid[], p_overrides jsonb default '{}')
returns setof rollcall.repair_result
language plpgsql security definer set search_path = '' as $$
declare
  made constant record := rollcall.create_many(p_user_ids, p_overrides);
begin
  return query select f.* from unnest(made.failures) f;
  return query select c, 'created', null::text, null::text, null::text from unnest(made.created) c;
end
$$;

create or replace function rollcall.repair_many(
  p_user_ids uuid[], p_payload jsonb, p_overrides jsonb, out created uuid[], out failures rollcall.repair_result[]
)
language plpgsql security definer set search_path = '' set lock_timeout = '500ms' set row_security = off as $$
declare
  has_failures boolean;
begin
  perform rollcall.require_sight();
  select m.created, m.failures into created, failures from rollcall.create_many(p_user_ids, p_overrides) m;
  has_failures := exists (select from unnest(failures) r where r.outcome = 'failed');

  -- A failure that repeats is not logged again, nor is one that two repairs meet at once: its row is made or locked
  -- first, and holds the former reason until it was compared.
  if has_failures then
    insert into rollcall.repair_failure as f (user_id, sqlstate)
    select r.user_id, ''
    from unnest(failures) r
    where r.outcome = 'failed'
    order by r.user_id
    on conflict (user_id) do update set attempts = f.attempts + 1, last_failed_at = now();
  end if;

  begin
    insert into public.user_events (user_id, kind, payload)
    select c, 'profile_backfilled', p_payload from unnest(created) c;
    if has_failures then
      insert into public.user_events (user_id, kind, payload)
      select
        r.user_id, 'profile_backfill_error',
        p_payload || jsonb_strip_nulls(jsonb_build_object('sqlstate', r.code, 'constraint', r.constraint_name, 'column', r.column_name))
      from unnest(failures) r
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
    from unnest(failures) r, (select rollcall.definition_state(p_overrides)) d (state)
    where r.outcome = 'failed' and f.user_id = r.user_id;
  end if;
  if exists (select from rollcall.repair_failure) then
    delete from rollcall.repair_failure f
    using unnest(created) c (user_id)
    where f.user_id = c.user_id;
  end if;
end
$$;
comment on function rollcall.repair_many(uuid[], jsonb, jsonb) is
  'Creates the missing profiles of these users, logs an event for each with this payload, and remembers failures: whose profile was created, and who failed or is busy. Waits half a second for a lock, less than PostgreSQL takes to call a deadlock, so that nobody else is its victim.';

create or replace function rollcall.repair_and_log(p_user_ids uuid[], p_payload jsonb, p_overrides jsonb)
returns setof rollcall.repair_result
language plpgsql security definer set search_path = '' as $$
declare
  made constant record := rollcall.repair_many(p_user_ids, p_payload, p_overrides);
begin
  return query select f.* from unnest(made.failures) f;
  return query select c, 'created', null::text, null::text, null::text from unnest(made.created) c;
end
$$;
comment on function rollcall.repair_and_log(uuid[], jsonb, jsonb) is
  'As rollcall.repair_many(uuid[], jsonb, jsonb), one row for each user.';

-- One batch of a run ----------------------------------------------------------------------------------------------

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
  made record;
  -- a signup that was under way at the bound may have become visible behind the cursor
  last_pass constant smallint := 2;
  size integer;
  remaining bigint;
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

  if r.max_lag_ms is not null and rollcall.replication_lag_ms() > r.max_lag_ms then
    outcome := 'lagging';
    r.waits_for := 'replication_lag';
  elsif r.attempted >= r.max_users then
    outcome := 'finished';
    r.state := 'done';
    r.ending := 'max_users';
  else
    size := least(p_limit, r.batch_size, r.max_users - r.attempted);
    loop
      if r.pass = last_pass and r.last_user_id is null then
        select l.page, l.remaining into users, remaining from rollcall.run_last_look(r, size) l;
      else
        users := rollcall.run_page(r, size);
        remaining := null;
      end if;
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
    made := rollcall.repair_many(users, jsonb_build_object('source', 'backfill', 'run_id', p_run_id), r.overrides);
    attempted := cardinality(users);
    created := cardinality(made.created);
    select count(*) filter (where x.outcome = 'failed'), count(*) filter (where x.outcome = 'busy')
      into failed, busy
    from unnest(made.failures) x;

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
        select p_run_id, x.user_id, x.code, x.constraint_name, x.column_name from unnest(made.failures) x where x.outcome = 'failed'
        on conflict do nothing;
      end if;
      if created > 0 then
        begin
          select o.user_ids, o.receipts into receipt
          from rollcall.receipts_of(made.created) o;
        -- a column without a binary form: then this run cannot be undone
        exception when others or assert_failure then
          raise warning 'rollcall: the profiles of a batch could not be noted for an undo (SQLSTATE %)', sqlstate;
        end;
        insert into rollcall.run_batch (run_id, batch, user_ids, receipts)
        values (
          p_run_id, r.batches,
          coalesce(receipt.user_ids, made.created), receipt.receipts
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
  return query select outcome, attempted, created, failed, busy, skipped,
    rollcall.run_report(r) || case when r.ending = 'complete' then jsonb_build_object('remaining', remaining) else '{}' end;
end
$$;
comment on function rollcall.advance_run(uuid, uuid, integer) is
  'One batch of a run for whoever holds it, with its cursor and counters in the same transaction. Outcome: batch; round (a pass begins again for those who were locked); locked (the table is; nothing was attempted); lagging (standbys are behind; nothing was attempted); held (by another); stopped (paused, cancelled, done, failed); finished, where the run also says how many users of its range have no profile, if that was seen (remaining).';

-- The public function ---------------------------------------------------------------------------------------------

create or replace function public.backfill_all_missing_profiles(p_batch_size integer default 100, p_dry_run boolean default true)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  -- with the longest names of constraint and column, these fit into 256 KiB
  max_results constant integer := 700;
  batch_size constant integer := coalesce(p_batch_size, 100);
  missing uuid[];
  users uuid[];
  made record;
  processed bigint;
  successful bigint;
  failed bigint;
  results jsonb;
begin
  if batch_size not between 1 and 10000 then
    raise exception 'rollcall: p_batch_size must be between 1 and 10000'
      using errcode = 'invalid_parameter_value', hint = 'Call again for the users who are left.';
  end if;
  -- two at once would attempt the same users
  perform pg_advisory_xact_lock(hashtextextended('rollcall.backfill_all_missing_profiles', 0));
  if not coalesce(p_dry_run, true) then
    perform rollcall.forget_settled_failures();
  end if;
  missing := rollcall.all_missing();

  -- Users whose repair failed before come last, so that they keep nobody else waiting.
  users := array(
    select m.user_id
    from unnest(missing) m (user_id)
    left join rollcall.repair_failure f on f.user_id = m.user_id
    order by f.last_failed_at nulls first, m.user_id
    limit batch_size
  );

  if coalesce(p_dry_run, true) then
    select
      count(*) filter (where r.outcome = 'created'),
      count(*) filter (where r.outcome = 'failed')
      into successful, failed
    from rollcall.preview_users(users) r;
    return jsonb_build_object(
      'dry_run', true, 'total_missing', cardinality(missing), 'message', format('Would backfill %s profiles', cardinality(missing)),
      'batch_size', batch_size, 'would_succeed', successful, 'would_fail', failed);
  end if;

  made := rollcall.repair_many(users, jsonb_build_object('source', 'backfill_all_missing_profiles'), '{}');
  select
    count(*),
    count(*) filter (where r.outcome = 'created'),
    count(*) filter (where r.outcome <> 'created'),
    coalesce(
      jsonb_agg(
        case r.outcome
          when 'created' then jsonb_build_object('user_id', r.user_id, 'success', true, 'action', 'backfilled')
          else jsonb_build_object('user_id', r.user_id, 'success', false, 'sqlstate', r.code,
            'error', rollcall.failure_text(r.code, r.constraint_name, r.column_name))
        end
        order by r.outcome desc, r.user_id
      ) filter (where r.position <= max_results),
      '[]')
    into processed, successful, failed, results
  from (
    select repaired.*, row_number() over (order by repaired.outcome desc, repaired.user_id) as position
    from (
      select f.* from unnest(made.failures) f
      union all
      select c, 'created', null, null, null from unnest(made.created) c
    ) repaired
  ) r;
  return jsonb_build_object(
    'dry_run', false, 'total_missing', cardinality(missing), 'processed', processed, 'successful', successful, 'failed', failed,
    'remaining', cardinality(missing) - cardinality(users) + cardinality(made.failures), 'results', results);
exception when others or assert_failure then
  -- another's message may quote a row
  if sqlerrm like 'rollcall: %' then
    raise;
  end if;
  raise exception '%', rollcall.failure_text(sqlstate, null, null) using errcode = sqlstate;
end
$$;

-- Rights and level ------------------------------------------------------------------------------------------------

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261125000200' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

revoke all on all tables in schema rollcall from public, anon, authenticated;
revoke all on all functions in schema rollcall from public, anon, authenticated;
