-- How missing profiles are made. The users without a profile are the queue. A batch is a page of it, in the order of the
-- ids and below a bound that was set when the run began. It is one transaction: profiles, events, receipts, failures,
-- counters and cursor. Rows that cannot be created are split off, with SQLSTATE, constraint and column and the functions in
-- which they failed. A profile is made by the definition, or by a replay: a copy of the user's row is inserted into a
-- temporary table that has copies of the application's own signup triggers.

create or replace function rollcall.error_kind(p_sqlstate text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case
    when left(p_sqlstate, 2) in ('08', '58') or p_sqlstate in ('53000', '53100', '53200', '53300', '57P01', '57P02', '57P03') then 'server'
    when left(p_sqlstate, 2) = '40' or p_sqlstate = '55P03' then 'lock'
    else 'row'
  end
$$;
comment on function rollcall.error_kind(text) is
  'What an error is about: server (connection, space, shutdown), lock (another transaction is in the way; the next try may succeed), or row.';

create or replace function rollcall.failure_text(p_sqlstate text, p_constraint text, p_column text, p_functions text[] default '{}')
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case
      when p_sqlstate = '23502' then 'a column that must have a value got none'
      when p_sqlstate = '23503' then 'a row that the profile refers to does not exist'
      when p_sqlstate = '23505' then 'another row already has a value that must be unique'
      when p_sqlstate = '23514' then 'a value does not satisfy a check constraint'
      when left(p_sqlstate, 2) = '22' then 'a value does not fit the type of its column'
      when p_sqlstate = '42501' then 'a right is missing'
      when left(p_sqlstate, 2) = '42' then 'the definition or a trigger does not fit the tables as they are'
      when p_sqlstate = 'P0001' then 'a trigger of the application refused the profile'
      when p_sqlstate = 'RC002' then 'a trigger discarded the row or changed its key, or no signup trigger made the profile'
      when p_sqlstate = 'RC010' then 'an unclaimed row has this e-mail address: claim it'
      when rollcall.error_kind(p_sqlstate) = 'lock' then 'another transaction was in the way; try again'
      else 'the database refused the profile'
    end
    || coalesce(' (constraint ' || quote_ident(nullif(p_constraint, '')) || ')', '')
    || coalesce(' (column ' || quote_ident(nullif(p_column, '')) || ')', '')
    || coalesce(' in ' || p_functions[1] || '()', '')
$$;
comment on function rollcall.failure_text(text, text, text, text[]) is
  'A sentence for a failed profile from its SQLSTATE, constraint, column and functions. It never contains a value of the row.';

-- Whoever raises an error chooses what stands in its fields, so only names from the catalog are kept.
create or replace function rollcall.known_name(p_name text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select p_name
  where exists (select from pg_constraint c where c.conname = p_name)
    or exists (select from pg_class i where i.relname = p_name and i.relkind = 'i')
    or exists (select from pg_attribute a where a.attname = p_name and a.attnum > 0)
$$;
comment on function rollcall.known_name(text) is 'The name if it is one of a constraint, an index or a column, else null.';

create or replace function rollcall.known_functions(p_context text) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(f.name order by f.position), '{}')
  from (
    select format('%I.%I', n.nspname, p.proname) as name, min(m.position) as position
    from regexp_matches(p_context, '^(?:PL/pgSQL function ([^\n]+?)\(|SQL function "([^\n]+?)" )', 'gn')
      with ordinality m (groups, position)
    join pg_proc p on true
    join pg_namespace n on n.oid = p.pronamespace
    where coalesce(m.groups[1], m.groups[2]) not like 'rollcall.%' and n.nspname not in ('pg_catalog', 'information_schema', 'rollcall')
      and not rollcall.is_ours(p.oid)
      and (m.groups[2] = p.proname or m.groups[1] in (quote_ident(p.proname), format('%I.%I', n.nspname, p.proname)))
    group by 1
    order by 2
    limit 10
  ) f
$$;
comment on function rollcall.known_functions(text) is
  'The functions in the context of an error, innermost first: names from the catalog, those of Rollcall left out.';

create or replace function rollcall.is_expected(p_user_id uuid) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
  answer boolean;
begin
  execute 'select exists (select from (' || s.query || ') e where e._user_id = $1)' into answer using p_user_id;
  return answer;
end
$$;
comment on function rollcall.is_expected(uuid) is 'Whether this user must have a profile.';

create or replace function rollcall.missing_among(p_user_ids uuid[]) returns setof uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
begin
  return query execute
    'select e._user_id from (' || s.query || ') e
     where e._user_id = any ((select $1)::uuid[])
       and not exists (select from ' || s.target_table || ' t where ' || rollcall.key_match(s, 'e._user_id') || ')'
    using p_user_ids;
end
$$;
comment on function rollcall.missing_among(uuid[]) is 'Those of these users who must have a profile and have none.';

create or replace function rollcall.count_missing(p_signed_up_before timestamptz default 'infinity') returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off set jit = off as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
  answer bigint;
begin
  execute
    'select count(*) from rollcall.unmatched() m join (' || s.query || ') e on e._user_id = m.user_id
     where e._signed_up_at <= $1 or e._signed_up_at is null or e._signed_up_at > now() + interval ''5 minutes'''
    into answer using p_signed_up_before;
  return answer;
end
$$;
comment on function rollcall.count_missing(timestamptz) is
  'How many users have no profile, among those who signed up no later than a moment (or are dated in the future).';

-- First the ids alone, in the order of both keys from the cursor on, whatever the planner believes about users without a
-- profile (it believes that there are none); then the definition is asked about those few.
create or replace function rollcall.missing_page(p_run rollcall.run, p_limit integer) returns uuid[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off
set enable_hashjoin = on set enable_seqscan = on set enable_sort = on as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
  -- an index on citext compares by operators that are not looked for here
  is_ordered constant boolean := (
    select rollcall.base_type(a.atttypid) in ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype)
    from pg_attribute a where a.attrelid = to_regclass(s.target_table) and a.attname = s.key_column);
  cursor_id uuid := p_run.last_user_id;
  size integer := greatest(p_limit, 100);
  candidates uuid[];
  found_ids uuid[];
  page uuid[] := '{}';
begin
  loop
    perform set_config(o, case when is_ordered then 'off' else 'on' end, true)
    from unnest(array['enable_hashjoin', 'enable_seqscan', 'enable_sort']) o;
    execute
      'select array(
         select u.id from auth.users u
         where ' || case when cursor_id is null then 'true' else format('u.id > %L::uuid', cursor_id) end || '
           and not exists (select from ' || case when is_ordered
             then s.target_table || ' t where ' || rollcall.key_match(s, 'u.id')
             -- the bound stands here again so that a merge of both indexes begins there, too
               || case when s.key_is_uuid and cursor_id is not null then format(' and t.%I > %L::uuid', s.key_column, cursor_id) else '' end
             else '(' || s.actual_query || ') a where a._user_id = u.id' end || ')
         order by u.id
         limit ' || size || ')'
      into candidates;
    perform set_config(o, 'on', true) from unnest(array['enable_hashjoin', 'enable_seqscan', 'enable_sort']) o;
    execute
      'select array(
         select e._user_id from (' || s.query || ') e
         where e._user_id = any ((select $1)::uuid[])
           -- a date that nobody can have signed up at yet keeps nobody from being repaired
           and (e._signed_up_at <= $2 or e._signed_up_at is null or e._signed_up_at > now() + interval ''5 minutes'')
           and not exists (select from rollcall.failure f where f.user_id = e._user_id and ($3 = 0 or f.run_id = $4))
         order by e._user_id)'
      into found_ids using candidates, p_run.signed_up_before, p_run.pass, p_run.run_id;
    page := page || found_ids;
    exit when cardinality(page) >= p_limit or cardinality(candidates) < size;
    -- many who need no profile, or have failed
    cursor_id := candidates[size];
    size := least(size * 4, greatest(p_limit, 10000));
  end loop;
  return page[:p_limit];
end
$$;
comment on function rollcall.missing_page(rollcall.run, integer) is
  'The next users that a run comes to, by their ids: after its cursor, within its bound; in pass 0 those who never failed, later all who did not fail in this run.';

create or replace function rollcall.application_path() returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return concat_ws(', ', 'pg_catalog', coalesce(
    (
      select min(substr(c, length('search_path=') + 1))
      from pg_trigger g join pg_proc p on p.oid = g.tgfoid cross join unnest(p.proconfig) c
      where g.tgrelid = to_regclass('auth.users') and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 4 = 4
        -- but for our own
        and c like 'search_path=%' and c <> 'search_path=pg_catalog, pg_temp' and c <> 'search_path=""'),
    -- a schema in which everybody may create functions is no safe place to look for them
    (
      select string_agg(n.nspname, ', ' order by n.nspname desc) from pg_namespace n
      where n.nspname in ('public', 'extensions') and not has_schema_privilege('public', n.oid, 'create'))), 'pg_temp');
end
$$;
comment on function rollcall.application_path() is
  'The search_path for triggers on the profile table that name things without a schema: that of the application''s signup function if it sets one, else public and extensions.';

create or replace function rollcall.replay_triggers()
returns table (trigger_name name, function_name text, definition text, skipped text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select
    g.tgname, format('%I.%I', n.nspname, p.proname),
    case when reason.skipped is null then
      -- the name comes first and may contain anything
      'create trigger ' || quote_ident(g.tgname)
        || regexp_replace(substr(pg_get_triggerdef(g.oid), length('CREATE TRIGGER ' || quote_ident(g.tgname)) + 1),
          ' ON auth\.users ', ' on pg_temp.rollcall_replay ') end,
    reason.skipped
  from pg_trigger g
  join pg_proc p on p.oid = g.tgfoid
  join pg_namespace n on n.oid = p.pronamespace
  cross join lateral (
    select case
      when g.tgconstraint <> 0 then 'it is a constraint trigger'
      when g.tgtype::integer & 1 = 0 then 'it fires once for a statement'
    end as skipped
  ) reason
  where g.tgrelid = to_regclass('auth.users') and not g.tgisinternal and g.tgenabled in ('O', 'A')
    and g.tgtype::integer & 6 = 4  -- after insert
    and not rollcall.is_ours(p.oid)
  order by g.tgname collate "C"
$$;
comment on function rollcall.replay_triggers() is
  'The application''s own triggers after an insert into auth.users, in the order in which they fire: the statement that copies each to the table of a replay, or why it is left out.';

-- A bad row costs its chunk four splits: what is thrown away with it is small.
create or replace function rollcall.create_many(
  p_user_ids uuid[], p_overrides jsonb, p_replay boolean, out created uuid[], out failures rollcall.failure[]
)
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  chunk_size constant integer := 250;
  split_into constant integer := 4;
  -- each is waited for as long as lock_timeout says; more than these are no rows any more, but a table
  max_busy constant integer := 3;
  s constant rollcall.settings := rollcall.require_definition();
  statement constant text := case
    when p_replay then
      'insert into pg_temp.rollcall_replay select u.* from auth.users u where u.id = any ((select $1)::uuid[]) order by u.created_at, u.id'
    else rollcall.insert_sql(p_overrides) end;
  -- Supabase Auth connects with this one
  app_path constant text := case when p_replay then 'pg_catalog, auth, pg_temp' else rollcall.application_path() end;
  users uuid[] := array(select distinct u from unnest(p_user_ids) u where u is not null order by u);
  unclaimed uuid[] := '{}';
  pending int4range[];
  place int4range;
  chunk uuid[];
  made uuid[];
  step integer;
  busy integer := 0;
  constraint_found text;
  column_found text;
  failure rollcall.failure;
  context text;
  last_error text;
begin
  created := '{}'; failures := '{}';
  if p_replay then
    drop table if exists pg_temp.rollcall_replay;
    create temporary table rollcall_replay (like auth.users) on commit drop;
    for context in select r.definition from rollcall.replay_triggers() r where r.definition is not null loop
      execute context;
    end loop;
  elsif exists (
    select from pg_attribute k join pg_attribute m on m.attrelid = k.attrelid and m.attname = 'email'
    where k.attrelid = to_regclass(s.target_table) and k.attname = s.key_column and not k.attnotnull
  ) then
    -- made beforehand, for somebody who claims it by e-mail: a second row is not wanted
    execute format(
      'select coalesce(array_agg(u.id), ''{}'') from auth.users u where u.id = any ((select $1)::uuid[])
       and exists (select from %s t where t.%I is null and lower(t.email::text) = lower(u.email::text))', s.target_table, s.key_column)
      into unclaimed using array(select rollcall.missing_among(users));
    users := array(select u from unnest(users) u where u <> all (unclaimed) order by u);
  end if;

  pending := array(
    select int4range(c, least(c + chunk_size, cardinality(users) + 1))
    from generate_series(1, cardinality(users), chunk_size) c order by c desc);
  while cardinality(pending) > 0 loop
    place := pending[cardinality(pending)];
    pending := pending[:cardinality(pending) - 1];
    chunk := users[lower(place):upper(place) - 1];
    begin
      if p_replay then
        -- a profile that refers to the user waits meanwhile, so whoever is missing now gets theirs from the replay
        perform from auth.users u where u.id = any (chunk) order by u.id for update;
        chunk := array(select rollcall.missing_among(chunk));
        perform set_config('search_path', app_path, true);
        execute statement using chunk;
      else
        execute statement into made using chunk, p_overrides, app_path;
        made := coalesce(made, '{}');
        if exists (select unnest(made) except select unnest(chunk)) then
          raise exception 'rollcall: a trigger on the profile table changed the key of the row' using errcode = 'RC002';
        end if;
      end if;
      -- what a commit would refuse is refused here, where it belongs to these rows
      set constraints all immediate;
      perform set_config('search_path', 'pg_catalog, pg_temp', true);
      if p_replay then
        made := array(select unnest(chunk) except select rollcall.missing_among(chunk));
        -- what was written beside a profile that was not made would be written again by the next replay
        if cardinality(made) < cardinality(chunk) then
          raise exception 'rollcall: no signup trigger made the profile' using errcode = 'RC002';
        end if;
      end if;
      created := created || made;
      continue;
    exception when others or assert_failure then
      get stacked diagnostics
        failure.sqlstate = returned_sqlstate, constraint_found = constraint_name, column_found = column_name,
        context = pg_exception_context;
    end;

    if rollcall.error_kind(failure.sqlstate) = 'server' then
      -- our own words: another's may quote a row
      raise exception 'rollcall: the server cannot take a repair now' using errcode = failure.sqlstate;
    elsif cardinality(chunk) > 1 then
      step := greatest(1, ceil((upper(place) - lower(place))::numeric / split_into)::integer);
      pending := pending || array(
        select int4range(c, least(c + step, upper(place))) from generate_series(lower(place), upper(place) - 1, step) c order by c desc);
    else
      failure.user_id := chunk[1];
      -- many fail alike
      if last_error is distinct from concat_ws('|', constraint_found, column_found, context) then
        last_error := concat_ws('|', constraint_found, column_found, context);
        failure.constraint_name := rollcall.known_name(constraint_found);
        failure.column_name := rollcall.known_name(column_found);
        failure.functions := rollcall.known_functions(context);
      end if;
      failures := failures || failure;
      busy := busy + (rollcall.error_kind(failure.sqlstate) = 'lock')::integer;
      exit when busy >= max_busy;
    end if;
  end loop;

  if cardinality(created) < cardinality(users) + cardinality(unclaimed) then
    -- a user who was deleted meanwhile is no failure
    failures := array(
      select coalesce(f, jsonb_populate_record(null::rollcall.failure, jsonb_build_object(
        'user_id', m, 'functions', '[]'::jsonb, 'sqlstate', case
          when m = any (unclaimed) then 'RC010'
          when busy >= max_busy then failure.sqlstate
          -- a trigger of the application can drop a row without a word
          else 'RC002' end)))
      from rollcall.missing_among(array(select unnest(users || unclaimed) except select unnest(created))) m
      left join unnest(failures) f on f.user_id = m);
  end if;
end
$$;
comment on function rollcall.create_many(uuid[], jsonb, boolean) is
  'Creates what can be created for these users, by the definition or by a replay: whose profile was created, and who failed (where the SQLSTATE speaks of a lock: is busy). Neither names those who have a profile already or are gone. An error of the server ends it as a whole.';

create or replace function rollcall.repair_many(
  p_user_ids uuid[], p_payload jsonb, p_overrides jsonb, p_replay boolean, out created uuid[], out failures rollcall.failure[]
)
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off set lock_timeout = '500ms' as $$
declare
  this_run constant uuid := (p_payload ->> 'run_id')::uuid;
  refused rollcall.failure[];
begin
  select m.created, m.failures into created, failures from rollcall.create_many(p_user_ids, p_overrides, p_replay) m;
  insert into rollcall.event (user_id, kind, payload) select c, 'profile_backfilled', p_payload from unnest(created) c;
  delete from rollcall.failure f using unnest(created) c (user_id) where f.user_id = c.user_id;

  refused := array(select f from unnest(failures) f where rollcall.error_kind(f.sqlstate) <> 'lock' order by f.user_id);
  if cardinality(refused) > 0 then
    -- A failure that repeats is not logged again, nor is one that two repairs meet at once: its row is made or locked
    -- first, and holds the former reason until it was compared.
    insert into rollcall.failure as k (user_id, sqlstate)
    select r.user_id, '' from unnest(refused) r
    on conflict (user_id) do update set attempts = k.attempts + 1, last_failed_at = now();
    insert into rollcall.event (user_id, kind, payload)
    select r.user_id, 'profile_backfill_error',
      p_payload || jsonb_strip_nulls(jsonb_build_object(
        'sqlstate', r.sqlstate, 'constraint', r.constraint_name, 'column', r.column_name, 'functions', nullif(to_jsonb(r.functions), '[]')))
    from unnest(refused) r
    join rollcall.failure k on k.user_id = r.user_id
    where (k.sqlstate, k.constraint_name, k.column_name) is distinct from (r.sqlstate, r.constraint_name, r.column_name);
    update rollcall.failure k
    set
      run_id = coalesce(this_run, k.run_id), sqlstate = r.sqlstate, constraint_name = r.constraint_name, column_name = r.column_name,
      functions = r.functions
    from unnest(refused) r
    where k.user_id = r.user_id;
  end if;
end
$$;
comment on function rollcall.repair_many(uuid[], jsonb, jsonb, boolean) is
  'Creates the missing profiles of these users, keeps an event for each with this payload, and remembers failures. Waits half a second for a lock, less than PostgreSQL takes to call a deadlock, so that nobody else is its victim.';

create or replace function rollcall.repair_users(p_user_ids uuid[], p_source text, p_overrides jsonb default '{}')
returns table (user_id uuid, outcome text, code text, constraint_name text, column_name text, functions text[], reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  made record;
begin
  if p_overrides <> '{}' and not rollcall.is_trusted() then
    raise exception 'rollcall: the role % may neither choose values of a profile nor replay signups', session_user
      using errcode = 'insufficient_privilege', hint = 'Leave account_type and email out: the definition says what a profile contains.';
  elsif p_source not in ('backfill', 'backfill_user_profile', 'backfill_all_missing_profiles', 'ensure_profile_exists') then
    raise exception 'rollcall: there is no such source of a repair' using errcode = 'invalid_parameter_value';
  end if;
  made := rollcall.repair_many(p_user_ids, jsonb_build_object('source', p_source), p_overrides, false);
  return query
    select c, 'created', null, null, null, '{}'::text[], null from unnest(made.created) c
    union all
    select f.user_id, case rollcall.error_kind(f.sqlstate) when 'lock' then 'busy' else 'failed' end,
      f.sqlstate, f.constraint_name, f.column_name, f.functions,
      rollcall.failure_text(f.sqlstate, f.constraint_name, f.column_name, f.functions)
    from unnest(made.failures) f;
end
$$;
comment on function rollcall.repair_users(uuid[], text, jsonb) is
  'Creates the missing profiles of these users outside of any run: for each user outcome created, failed, or busy (something was locked; the next try may succeed). No row for users who have a profile or are gone.';

create or replace function rollcall.preview_users(
  p_user_ids uuid[], p_limit integer default 1000, p_overrides jsonb default '{}', p_replay boolean default false, p_rows integer default 0
)
returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off set lock_timeout = '500ms' as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
  scope constant text := case when p_replay then 'signup' else 'profile' end;
  reasons constant text[] := case
    when current_setting('rollcall.stance', true) = 'look' then array['Rollcall is not installed here, and looking tries nothing']
    else array(select b from rollcall.beyond_rollback(scope) b) end;
  written_sql constant text :=
    'select coalesce(jsonb_object_agg(w.relid::regclass || '' '' || c.operation, c.number), ''{}'')
     from pg_stat_xact_user_tables w
     cross join lateral (values (''inserted'', w.n_tup_ins), (''updated'', w.n_tup_upd), (''deleted'', w.n_tup_del)) c (operation, number)
     where c.number > 0 and w.schemaname <> ''rollcall'' and w.relname <> ''rollcall_replay''';
  users uuid[];
  created uuid[];
  failed rollcall.failure[];
  failures rollcall.failure[] := '{}';
  before jsonb;
  written jsonb;
  profiles jsonb;
begin
  if (p_overrides <> '{}' or p_replay) and not rollcall.is_trusted() then
    raise exception 'rollcall: the role % may neither choose values of a profile nor replay signups', session_user
      using errcode = 'insufficient_privilege', hint = 'Connect as the owner of the schema rollcall.';
  end if;
  if reasons = '{}' then
    users := coalesce(p_user_ids, rollcall.missing_page(
      jsonb_populate_record(null::rollcall.run, '{"signed_up_before": "infinity", "pass": 1}'), p_limit));
    -- The rows are really inserted, so that triggers and constraints have their say; the exception takes them back. Then
    -- once more without those that failed: what a failed try wrote cannot be told apart.
    loop
      begin
        perform rollcall.keep_sequences();
        execute written_sql into before;
        select m.created, m.failures into created, failed from rollcall.create_many(users, p_overrides, p_replay) m;
        execute written_sql into written;
        execute
          'select jsonb_object_agg(w.user_id, to_jsonb(t.*)) from unnest($1) w (user_id) join ' || s.target_table || ' t on '
            || rollcall.key_match(s, 'w.user_id')
          into profiles using array(select c from unnest(created) c order by c limit case when rollcall.is_trusted() then p_rows else 0 end);
        raise exception using errcode = 'RC001', message = 'rollcall: trial over';
      exception when sqlstate 'RC001' then null;
      end;
      failures := failures || failed;
      exit when cardinality(failed) = 0 or cardinality(users) = 0;
      users := created;
    end loop;
  end if;
  return jsonb_build_object(
    'not_tried_because', reasons,
    'outside_calls', array(select b from rollcall.beyond_rollback(scope, true) b order by b),
    'results', (
      select coalesce(jsonb_agg(jsonb_build_object('user_id', x.user_id, 'outcome', x.outcome, 'sqlstate', x.sqlstate,
        'constraint', x.constraint_name, 'column', x.column_name, 'functions', x.functions, 'profile', x.profile,
        'reason', rollcall.failure_text(x.sqlstate, x.constraint_name, x.column_name, x.functions)) order by x.user_id), '[]')
      from (
        select f.user_id, case rollcall.error_kind(f.sqlstate) when 'lock' then 'busy' else 'failed' end as outcome,
          f.sqlstate, f.constraint_name, f.column_name, f.functions, null as profile
        from unnest(failures) f
        union all
        select c, 'created', null, null, null, '{}', profiles -> c::text from unnest(created) c
      ) x
    ),
    'writes', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'table', regexp_replace(w.key, ' \w+$', ''), 'operation', substring(w.key, '\w+$'), 'rows', w.more) order by w.key), '[]')
      from (select x.key, x.value::bigint - coalesce((before ->> x.key)::bigint, 0) as more from jsonb_each_text(written) x) w
      where w.more > 0
    ),
    'triggers', (
      select coalesce(jsonb_agg(jsonb_build_object('trigger', g.trigger_name, 'function', g.function_name, 'skipped', g.skipped)), '[]')
      from rollcall.replay_triggers() g where p_replay
    ));
end
$$;
comment on function rollcall.preview_users(uuid[], integer, jsonb, boolean, integer) is
  'What a repair would do for these users (null: for the first p_limit missing ones), found out by doing it and taking it back: the outcome of each, for a trusted role of the first p_rows created the whole row, and the rows written by table. Where a try would do what no rollback takes back, nothing is tried: not_tried_because says why. outside_calls: what a repair would send to other servers. Leaves no row and advances no sequence.';

create or replace function rollcall.run_reports(p_limit integer, p_run_id text default '') returns setof jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'run_id', r.run_id, 'kind', r.kind, 'state', r.state, 'stop_reason', r.stop_reason, 'source', r.source, 'started_by', r.started_by,
    'note', r.note, 'is_replay', r.is_replay, 'account_type', r.overrides -> 'account_type', 'max_users', r.max_users,
    'signed_up_before', r.signed_up_before, 'total_missing', r.total_missing, 'attempted', r.attempted, 'created', r.created,
    'failed', r.failed, 'batch_size', r.batch_size, 'throttle', r.throttle::numeric,
    'waits_for', r.waits_for, 'is_leased', r.state = 'running' and coalesce(r.leased_until > clock_timestamp(), false),
    'created_at', r.created_at, 'updated_at', r.updated_at, 'finished_at', r.finished_at, 'undone_at', r.undone_at)
  from rollcall.refuse_api_roles(), rollcall.run r
  where starts_with(r.run_id::text, lower(p_run_id))
  order by r.created_at desc, r.run_id
  limit p_limit
$$;
comment on function rollcall.run_reports(integer, text) is 'The newest runs, or those whose id begins so.';

create or replace function rollcall.run_failures(p_run_id uuid, p_limit integer)
returns table (user_id uuid, code text, constraint_name text, column_name text, functions text[], reason text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select f.user_id, f.sqlstate, f.constraint_name, f.column_name, f.functions,
    rollcall.failure_text(f.sqlstate, f.constraint_name, f.column_name, f.functions)
  from rollcall.refuse_api_roles(), rollcall.failure f
  where f.run_id = p_run_id
  order by f.user_id
  limit p_limit
$$;
comment on function rollcall.run_failures(uuid, integer) is
  'The users for whom no later run than this one failed last, and why; those that were known before and not tried again included.';

create or replace function rollcall.start_run(p_source text, p_options jsonb, p_run_id uuid default null)
returns table (run_id uuid, is_new boolean, lease_owner uuid, total_missing bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  o record;
  r rollcall.run;
  reasons text;
begin
  select
    x.note, coalesce(x.batch_size, 1000) as batch_size, x.max_users, coalesce(x.overrides, '{}') as overrides,
    coalesce(x.throttle, 1) as throttle, sha256(convert_to(x.idempotency_key, 'UTF8')) as request_hash, x.request,
    coalesce(x.replay, false) as is_replay, coalesce(x.allow_outside_calls, false) as allow_outside_calls
    into o
  from jsonb_to_record(p_options) x (
    note text, batch_size integer, max_users bigint, overrides jsonb, throttle real,
    idempotency_key text, request jsonb, replay boolean, allow_outside_calls boolean);
  if (o.overrides <> '{}' or o.is_replay) and not rollcall.is_trusted() then
    raise exception 'rollcall: the role % may neither choose values of a profile nor replay signups', session_user
      using errcode = 'insufficient_privilege', hint = 'Leave account_type out, or connect as the owner of the schema rollcall.';
  end if;
  perform rollcall.forget_old();
  delete from rollcall.failure f
  where f.user_id in (
    select k.user_id from rollcall.failure k
    where k.user_id not in (select m from rollcall.missing_among(array(select a.user_id from rollcall.failure a)) m)
    order by k.user_id for update skip locked);
  -- two that start at once are one run
  perform pg_advisory_xact_lock(hashtextextended('rollcall.start_run', 0));

  if p_run_id is not null then
    select x.* into r from rollcall.run x where x.run_id = p_run_id and x.kind = 'profiles';
    if not found then
      raise exception 'rollcall: there is no such run' using errcode = 'RC007', hint = 'List them: rollcall runs.';
    end if;
  elsif o.request_hash is not null then
    select x.* into r from rollcall.run x where x.request_hash = o.request_hash;
    if r.request is distinct from o.request and r.run_id is not null then
      raise exception 'rollcall: this idempotency key was used for another request'
        using errcode = 'RC006', hint = 'Send the request with a key of its own, or the earlier request again.';
    end if;
  else
    select x.* into r
    from rollcall.run x
    where x.state = 'running' and x.kind = 'profiles' and x.overrides = o.overrides and x.is_replay = o.is_replay and x.max_users is not distinct from o.max_users
      and x.request_hash is null
    order by x.created_at
    limit 1;
  end if;
  if r.run_id is not null then
    return query select r.run_id, false, gen_random_uuid(), greatest(r.total_missing - r.created, 0);
    return;
  end if;

  if o.is_replay and not exists (select from rollcall.replay_triggers() g where g.skipped is null) then
    raise exception 'rollcall: there is no signup trigger of the application''s to replay'
      using errcode = 'object_not_in_prerequisite_state',
        detail = 'auth.users has no enabled trigger of the application''s that fires for each row after an insert.',
        hint = 'Repair by the definition: rollcall backfill --apply.';
  elsif not o.is_replay then
    -- a definition that does not fit its table is said once, before a run begins
    perform rollcall.insert_sql(o.overrides);
  end if;
  select string_agg(b, '; ') into reasons from rollcall.beyond_rollback(case when o.is_replay then 'signup' else 'profile' end, true) b;
  if reasons is not null and not o.allow_outside_calls then
    raise exception 'rollcall: a repair would do what no rollback takes back: %', reasons
      using errcode = 'RC011', hint = 'If that is wanted, add --allow-outside-calls.';
  end if;
  insert into rollcall.run (
    source, note, batch_size, max_users, overrides, throttle, is_replay, request_hash, request, total_missing)
  values (
    p_source, o.note, o.batch_size, o.max_users, o.overrides, o.throttle, o.is_replay, o.request_hash, o.request,
    rollcall.count_missing(now()))
  returning * into r;
  return query select r.run_id, true, gen_random_uuid(), r.total_missing;
end
$$;
comment on function rollcall.start_run(text, jsonb, uuid) is
  'Starts a run, or finds the one to continue: this one, that of the idempotency key, else an unfinished one that was asked for alike. Also how many users had no profile: counted for a new run, reckoned for another. Options: note, batch_size, max_users, overrides, throttle, idempotency_key and request, replay, allow_outside_calls.';

create or replace function rollcall.advance_run(p_run_id uuid, p_lease_owner uuid, p_limit integer)
returns table (outcome text, attempted bigint, created bigint, failed bigint, busy bigint, run jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  -- longer than anything between two batches takes, but for a pause, which asks for more (rollcall.hold_run)
  lease constant interval := '10 seconds';
  -- so many locked users at once are no rows any more, but a table
  many constant integer := 3;
  last_pass constant smallint := 1;
  s constant rollcall.settings := rollcall.require_definition();
  r rollcall.run;
  users uuid[] := '{}';
  size integer;
  made uuid[];
  failures rollcall.failure[];
  receipts bytea[];
  updates bigint;
begin
  outcome := 'batch'; attempted := 0; created := 0; failed := 0; busy := 0;
  -- no lock: the batch in hand of another
  if pg_try_advisory_xact_lock(hashtextextended('rollcall.run:' || p_run_id, 0)) then
    select x.* into r from rollcall.run x where x.run_id = p_run_id and x.kind = 'profiles' for no key update;
    if not found then
      raise exception 'rollcall: there is no such run' using errcode = 'RC007', hint = 'List them: rollcall runs.';
    elsif r.is_replay and not rollcall.is_trusted() then
      raise exception 'rollcall: the role % may neither choose values of a profile nor replay signups', session_user
        using errcode = 'insufficient_privilege', hint = 'Connect as the owner of the schema rollcall.';
    elsif r.state <> 'running' then
      outcome := 'stopped';
    elsif r.lease_owner <> p_lease_owner and r.leased_until > clock_timestamp() then
      outcome := 'leased';
    elsif r.attempted >= r.max_users then
      outcome := 'finished';
      r.stop_reason := 'max_users';
    end if;
  else
    outcome := 'leased';
  end if;
  if outcome in ('stopped', 'leased') then
    return query select advance_run.outcome, attempted, created, failed, busy, x from rollcall.run_reports(1, p_run_id::text) x;
    return;
  end if;

  if outcome = 'batch' then
    size := least(greatest(p_limit, 1), r.batch_size, r.max_users - r.attempted);
    loop
      users := rollcall.missing_page(r, size);
      exit when cardinality(users) > 0;
      r.last_user_id := null;
      if r.busy > 0 then
        r.busy := 0;
        outcome := 'round';
        exit;
      elsif r.pass = last_pass or not exists (select from rollcall.failure f where f.run_id is distinct from p_run_id) then
        outcome := 'finished';
        r.stop_reason := 'complete';
        exit;
      end if;
      r.pass := r.pass + 1;
    end loop;
  end if;

  if cardinality(users) > 0 then
    updates := case when r.is_replay then (select sum(w.n_tup_upd) from pg_stat_xact_user_tables w where w.schemaname <> 'rollcall') end;
    select m.created, m.failures into made, failures
    from rollcall.repair_many(users,
      jsonb_build_object('source', case when r.is_replay then 'replay' else 'backfill' end, 'run_id', p_run_id),
      r.overrides, r.is_replay) m;
    attempted := cardinality(users);
    created := cardinality(made);
    busy := (select count(*) from unnest(failures) f where rollcall.error_kind(f.sqlstate) = 'lock');
    failed := cardinality(failures) - busy;
    if attempted > many and busy = attempted then
      outcome := 'locked';
      attempted := 0;
      busy := 0;
    else
      -- who was locked has not been attempted yet
      attempted := attempted - busy;
      r.last_user_id := users[cardinality(users)];
      r.batches := r.batches + 1;
      if created > 0 then
        -- a signup trigger may have claimed a row that was there before, and an undo deletes none of these
        if not r.is_replay or updates = (select sum(w.n_tup_upd) from pg_stat_xact_user_tables w where w.schemaname <> 'rollcall') then
          begin
            -- xmin is in the hash, so that a row that was deleted and made again alike is another one
            -- row by row, since a join would read the whole table
            execute
              'select array_agg(w.user_id), array_agg(r.receipt)
               from unnest($1) w (user_id) cross join lateral (
                 select sha256(record_send(t.*) || int8send(t.xmin::text::bigint)) as receipt
                 from ' || s.target_table || ' t where ' || rollcall.key_match(s, 'w.user_id') || ' offset 0) r'
              into made, receipts using made;
          -- a column without a binary form: then this batch cannot be undone
          exception when undefined_function or feature_not_supported then null;
          end;
        end if;
        insert into rollcall.receipt (run_id, batch, user_ids, receipts) values (p_run_id, r.batches, made, receipts);
      end if;
    end if;
  end if;

  update rollcall.run x
  set
    state = case when advance_run.outcome = 'finished' then 'done' else x.state end, stop_reason = r.stop_reason,
    pass = r.pass, last_user_id = r.last_user_id,
    attempted = x.attempted + advance_run.attempted, created = x.created + advance_run.created,
    failed = x.failed + advance_run.failed,
    busy = r.busy + advance_run.busy, batches = r.batches,
    waits_for = case advance_run.outcome when 'locked' then 'lock' end,
    lease_owner = p_lease_owner, leased_until = case when advance_run.outcome <> 'finished' then clock_timestamp() + lease end,
    updated_at = clock_timestamp(), finished_at = case when advance_run.outcome = 'finished' then clock_timestamp() end
  where x.run_id = p_run_id;
  return query select advance_run.outcome, attempted, created, failed, busy, x from rollcall.run_reports(1, p_run_id::text) x;
end
$$;
comment on function rollcall.advance_run(uuid, uuid, integer) is
  'One batch of a run for its lease owner, with cursor and counters in the same transaction. Outcome: batch; round (a pass begins again for those who were locked); locked (the table is; nothing was attempted); leased (by another); stopped (paused, cancelled, done, failed); finished.';

create or replace function rollcall.hold_run(p_run_id uuid, p_lease_owner uuid, p_milliseconds integer, p_waits_for text, p_error text)
returns void language sql security definer set search_path = pg_catalog, pg_temp as $$
  update rollcall.run r
  set
    waits_for = p_waits_for,
    leased_until = clock_timestamp() + interval '10 seconds' + p_milliseconds * interval '1 millisecond',
    state = case when p_error is null then r.state else 'failed' end,
    stop_reason = coalesce(left(p_error, 100), r.stop_reason),
    finished_at = case when p_error is null then r.finished_at else clock_timestamp() end
  where r.run_id = p_run_id and r.lease_owner = p_lease_owner and r.state = 'running'
$$;
comment on function rollcall.hold_run(uuid, uuid, integer, text, text) is
  'Keeps the lease over a pause, and says what the run waits for. Milliseconds null: gives the lease back, and with the name of an error ends the run as failed.';

create or replace function rollcall.change_run(p_run_id uuid, p_action text) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform rollcall.refuse_api_roles();
  update rollcall.run x
  set
    state = case p_action when 'pause' then 'paused' when 'resume' then 'running' when 'cancel' then 'cancelled' end,
    stop_reason = null, waits_for = null, leased_until = null,
    finished_at = case when p_action = 'cancel' then clock_timestamp() end, updated_at = clock_timestamp()
  where x.run_id = p_run_id
    and (
      p_action = 'pause' and x.state = 'running'
      or p_action = 'resume' and x.state in ('paused', 'failed')
      or p_action = 'cancel' and x.state in ('running', 'paused', 'failed'));
  if not exists (select from rollcall.run x where x.run_id = p_run_id) then
    raise exception 'rollcall: there is no such run' using errcode = 'RC007', hint = 'List them: rollcall runs.';
  end if;
  return (select x from rollcall.run_reports(1, p_run_id::text) x);
end
$$;
comment on function rollcall.change_run(uuid, text) is
  'Pauses, resumes or cancels a run (one that is paused, running or ended already stays so) and returns its report. The batch in hand is waited for.';

create or replace function rollcall.undo_batch(p_run_id uuid, p_after integer, p_apply boolean)
returns table (batch integer, removed bigint, gone bigint, skipped jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms' set row_security = off as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
  target constant regclass := to_regclass(s.target_table);
  state constant text := (select r.state from rollcall.run r where r.run_id = p_run_id and r.kind = 'profiles');
  obstacle text;
  made rollcall.receipt;
  refers text;
  there uuid[];
  ours uuid[];
  referenced uuid[];
  pending uuid[];
  chunk uuid[];
  users_before bigint;
  deleted uuid[];
  done uuid[];
begin
  if state is null then
    raise exception 'rollcall: there is no such run' using errcode = 'RC007', hint = 'List them: rollcall runs.';
  elsif state in ('running', 'paused') then
    raise exception 'rollcall: this run has not ended yet'
      using errcode = 'RC008', hint = format('Cancel it first: rollcall runs cancel %s.', p_run_id);
  end if;
  -- what fires when a profile is deleted, and what that calls
  with recursive code (id, source) as (
    select p.oid, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
    from pg_trigger g join pg_proc p on p.oid = g.tgfoid
    where g.tgrelid = target and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 8 = 8  -- delete
    union
    select p.oid, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
    from code c
    join pg_proc p on p.pronamespace = any ((select rollcall.application_schemas())::oid[])
      and c.source ~* ('\m' || regexp_replace(p.proname, '(\W)', '\\\1', 'g') || '\M')
  )
  select string_agg(distinct c.id::regproc::text, ', ') into obstacle
  from code c where c.source ~* '\mauth"?\s*\.\s*"?users\M|\mexecute\M';
  obstacle := case
    when obstacle is not null then format('deleting a profile runs %s, which names auth.users or builds its SQL as it runs', obstacle)
    when exists (select from rollcall.receipt b where b.run_id = p_run_id and b.xmin <> b.written_by::xid)
      then 'this run was restored from a dump, and nothing shows whether its profiles are still as it made them'
  end;
  if obstacle is not null then
    raise exception 'rollcall: %, so nothing was deleted', obstacle
      using errcode = 'object_not_in_prerequisite_state',
        hint = format('Delete them by hand where that is safe: select unnest(user_ids) from rollcall.receipt where run_id = %L;', p_run_id);
  end if;

  select b.* into made from rollcall.receipt b where b.run_id = p_run_id and b.batch > p_after order by b.batch limit 1;
  if not found then
    if p_apply then
      update rollcall.run r set undone_at = clock_timestamp() where r.run_id = p_run_id;
    end if;
    return;
  end if;

  -- Locked first: from here on nobody can begin to refer to them, and what is seen below is what is deleted.
  if p_apply then
    execute 'select from unnest($1) w (user_id) join ' || s.target_table || ' t on ' || rollcall.key_match(s, 'w.user_id')
      || ' order by w.user_id for update of t' using made.user_ids;
  end if;
  select string_agg(
      format('exists (select from %s f where %s)', c.conrelid::regclass, (
        select string_agg(format('f.%I = t.%I', theirs.attname, mine.attname), ' and ')
        from unnest(c.conkey, c.confkey) k (their_number, my_number)
        join pg_attribute theirs on theirs.attrelid = c.conrelid and theirs.attnum = k.their_number
        join pg_attribute mine on mine.attrelid = c.confrelid and mine.attnum = k.my_number)),
      ' or ')
    into refers
  from pg_constraint c
  where c.contype = 'f' and c.conparentid = 0
    and (c.confrelid = target or c.confrelid in (select p.relid from pg_partition_tree(target) p));
  execute
    'select coalesce(array_agg(x.user_id), ''{}''),
       coalesce(array_agg(x.user_id) filter (where x.is_same and not x.is_referenced), ''{}''),
       coalesce(array_agg(x.user_id) filter (where x.is_referenced), ''{}'')
     from (
       select w.user_id, w.receipt is not null and w.receipt = sha256(record_send(t.*) || int8send(t.xmin::text::bigint)) as is_same,
         ' || coalesce(refers, 'false') || ' as is_referenced
       from unnest($1, $2) w (user_id, receipt) join ' || s.target_table || ' t on ' || rollcall.key_match(s, 'w.user_id') || '
     ) x'
    into there, ours, referenced using made.user_ids, made.receipts;

  done := case when p_apply then '{}' else ours end;
  pending := case when p_apply then ours else '{}' end;
  chunk := pending;  -- all at once; where something refuses, one by one
  while cardinality(pending) > 0 loop
    users_before := (select w.n_tup_del from pg_stat_xact_user_tables w where w.relid = to_regclass('auth.users'));
    begin
      perform set_config('search_path', rollcall.application_path(), true);
      execute
        'with gone (user_id) as (
           delete from ' || s.target_table || ' t using unnest($1) w (user_id)
           where ' || rollcall.key_match(s, 'w.user_id') || ' returning w.user_id
         ) select coalesce(array_agg(gone.user_id), ''{}'') from gone' into deleted using chunk;
      set constraints all immediate;
      if users_before < (select w.n_tup_del from pg_stat_xact_user_tables w where w.relid = to_regclass('auth.users')) then
        raise exception 'rollcall: a user went with the profile' using errcode = 'RC002';
      end if;
      perform set_config('search_path', 'pg_catalog, pg_temp', true);
      done := done || deleted;
      pending := array(select unnest(pending) except select unnest(chunk));
    exception when others or assert_failure then
      if rollcall.error_kind(sqlstate) <> 'row' then
        raise exception 'rollcall: profiles cannot be deleted now' using errcode = sqlstate;
      elsif cardinality(chunk) = 1 then
        pending := pending[2:];
      end if;
    end;
    chunk := pending[1:1];
  end loop;

  return query
    select
      made.batch, cardinality(done)::bigint, (cardinality(made.user_ids) - cardinality(there))::bigint,
      (
        select coalesce(jsonb_agg(jsonb_build_object('user_id', k.user_id, 'reason', case
            when k.user_id = any (ours) then 'refused'
            when k.user_id = any (referenced) then 'referenced'
            when made.receipts is null then 'no_receipt'
            else 'changed' end) order by k.user_id), '[]')
        from (select unnest(there) except select unnest(done)) k (user_id)
      );
end
$$;
comment on function rollcall.undo_batch(uuid, integer, boolean) is
  'Deletes the profiles of the batch after this one that are still as the run made them and that nothing refers to, or only says which: how many were removed, how many were gone, and whose stay with the reason (changed, referenced, refused, no_receipt). No row: there is no further batch. Refused where deleting a profile could delete users.';
