-- Who must have a profile, and what a new one contains. The definition is text in the one row of rollcall.settings: a
-- target table and a query. The query's columns by name say what a created profile contains, its "where" says who must have
-- one; _user_id and _signed_up_at are for Rollcall, all others are columns of the table. Checks, dry run, repair and
-- trigger put this text into their statements, which are planned when they run: nothing is derived that could be out of
-- date, and nothing depends on the application's table.
-- In such a statement only the aliases e (the query), a (the profiles there are), t (the table) and u (auth.users) are
-- ours, and every column is qualified, so that a column of any name is safe.
-- SQLSTATEs of Rollcall's own: RC001 ends a trial, RC002 a trigger discarded a row or changed its key, RC003 a value for
-- a column that the definition does not have, RC005 a value that its column cannot take, RC006 an idempotency key that was
-- used for another request, RC007 no such run, RC008 a run that has not ended, RC009 there is no definition, RC010 an
-- unclaimed row has the user's e-mail address, RC011 a repair would do what no rollback takes back.

-- Rights get lost in restores and branches, so whatever PostgREST can reach asks this as well.
create or replace function rollcall.refuse_api_roles() returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if current_setting('role', true) in ('anon', 'authenticated') then
    raise exception 'rollcall: the role % may not use this', current_setting('role', true)
      using errcode = 'insufficient_privilege', hint = 'Call it from a server, with the secret key (service_role).';
  end if;
end
$$;
comment on function rollcall.refuse_api_roles() is
  'Raises 42501 where PostgREST acts for anon or authenticated, whatever rights these have been given.';

create or replace function rollcall.is_trusted() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select r.name = 'service_role' or pg_has_role(r.name, (select n.nspowner from pg_namespace n where n.nspname = 'rollcall'), 'member')
  from (
    select case when current_setting('role', true) in ('none', '') then session_user else current_setting('role', true)::name end as name
  ) r
$$;
comment on function rollcall.is_trusted() is
  'Whether the role that asks may see e-mail addresses and choose values: service_role, and everybody who may act as the owner of the schema rollcall. False for rollcall_monitor and rollcall_repairer.';

create or replace function rollcall.is_ours(p_function oid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- "create or replace" keeps the comment of what it replaces
  select coalesce(obj_description(p.oid, 'pg_proc'), '') like 'Rollcall: %'
    and strpos(p.prosrc, case when p.prorettype = 'trigger'::regtype then 'from rollcall.settings x;' else 'rollcall.' end) > 0
  from pg_proc p where p.oid = p_function
$$;
comment on function rollcall.is_ours(oid) is
  'Whether a function under a name that an application could use is Rollcall''s, and was not replaced by the application since.';

create or replace function rollcall.distrust_session() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
  if rollcall.is_trusted() then
    return;
  elsif exists (select from pg_class c where c.relnamespace = pg_my_temp_schema())
    or exists (select from pg_type t where t.typnamespace = pg_my_temp_schema())
  then
    raise exception 'rollcall: no code of the application''s is run in a session with temporary objects'
      using errcode = 'insufficient_privilege', hint = 'Connect anew.';
  end if;
  perform set_config('request.jwt.claims', '', true), set_config('request.jwt.claim.sub', '', true), set_config('request.jwt.claim.role', '', true);
end
$$;
comment on function rollcall.distrust_session() is
  'Before code of the application runs for rollcall_monitor or rollcall_repairer: refuses a session with temporary objects, which code that names things without a schema could find, and would run with the owner''s rights; and forgets the signed-in user that the session speaks of.';

create or replace function rollcall.base_type(p_type oid) returns oid
language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive t (id, base, kind) as (
    select y.oid, y.typbasetype, y.typtype from pg_type y where y.oid = p_type
    union all
    select y.oid, y.typbasetype, y.typtype from t join pg_type y on y.oid = t.base where t.kind = 'd'
  )
  select id from t where kind <> 'd'
$$;
comment on function rollcall.base_type(oid) is 'The type under a domain, or the type itself.';

create or replace function rollcall.key_candidates(p_table regclass)
returns table (column_name name, is_uuid boolean, references_users boolean, priority integer)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select
    c.attname, c.base = 'uuid'::regtype, c.references_users,
    case
      when c.references_users and c.plain_name in ('id', 'userid', 'authid', 'authuserid', 'profileid', 'uid') then 1
      when c.references_users then 2
      when not c.is_generated_here and c.plain_name in ('userid', 'authid', 'authuserid', 'authuid', 'uid', 'supabaseid') then 3
      when not c.is_generated_here and c.plain_name in ('id', 'profileid') then 4
      when not c.is_generated_here and c.is_primary and c.base = 'uuid'::regtype then 5
      else 9
    end
  from (
    select
      a.attname, replace(lower(a.attname), '_', '') as plain_name, rollcall.base_type(a.atttypid) as base, bool_or(i.indisprimary) as is_primary,
      -- a key that fills itself (gen_random_uuid(), a sequence) is not the user's id
      a.atthasdef or a.attidentity <> '' as is_generated_here,
      exists (
        select from pg_constraint f
        where f.conrelid = p_table and f.contype = 'f' and f.confrelid = to_regclass('auth.users') and f.conkey = array[a.attnum]
      ) as references_users
    from pg_index i
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = p_table
      -- a repair says "on conflict (key)", which wants an index like this
      and i.indisunique and i.indisvalid and i.indimmediate
      and i.indnkeyatts = 1 and i.indpred is null and i.indexprs is null
      and a.attgenerated = ''
    group by a.attname, a.attnum, a.atttypid, a.atthasdef, a.attidentity
  ) c
  where c.base in ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype)
     or (select t.typname from pg_type t where t.oid = c.base) = 'citext'
  -- an address can be unique, too
  order by 4, 2 desc, c.is_primary desc, 1
$$;
comment on function rollcall.key_candidates(regclass) is
  'The columns of a table that could hold the user''s id: uuid or text, each with a unique index of its own; the likeliest first. Priority 9: only if a definition names it.';

create or replace function rollcall.profile_columns()
returns table (column_name name, target_type text, is_required boolean)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select
    c.column_name,
    -- without its modifier (varchar(40)), which the insert checks and a cast would cut
    case when a.attgenerated = '' then format_type(a.atttypid, -1) end,
    a.attnotnull or y.typnotnull
  from rollcall.settings s
  cross join unnest(s.columns) with ordinality c (column_name, position)
  left join pg_attribute a on a.attrelid = to_regclass(s.target_table) and a.attname = c.column_name and a.attnum > 0 and not a.attisdropped
  left join pg_type y on y.oid = a.atttypid
  order by c.position
$$;
comment on function rollcall.profile_columns() is
  'The columns that a created profile is given, with their type in the table (null: it has no such column that can be written).';

create or replace function rollcall.unfilled_columns() returns setof name
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select a.attname
  from rollcall.settings s
  join pg_attribute a on a.attrelid = to_regclass(s.target_table)
  join pg_type y on y.oid = a.atttypid
  where a.attnum > 0 and not a.attisdropped
    -- a domain may demand a value, or have a default, of its own
    and (a.attnotnull or y.typnotnull) and not a.atthasdef and y.typdefault is null
    and a.attidentity = '' and a.attgenerated = ''
    and a.attname <> all (s.columns)
    -- a trigger of the application may fill them
    and not exists (
      select from pg_trigger g
      where g.tgrelid = a.attrelid and not g.tgisinternal and g.tgenabled in ('O', 'A')
        and g.tgtype::integer & 7 = 7  -- for each row, before, insert
    )
  order by a.attnum
$$;
comment on function rollcall.unfilled_columns() is
  'Columns of the profile table that must have a value, have no default, and are not in the definition: a repair by definition fails on them. None where a trigger before insert may fill them.';

create or replace function rollcall.require_definition() returns rollcall.settings
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  s rollcall.settings;
  hidden text;
  candidates text;
begin
  -- a signup's trigger runs as the one who signs up
  if pg_trigger_depth() = 0 then
    perform rollcall.refuse_api_roles(), rollcall.distrust_session();
  end if;
  select x.* into s from rollcall.settings x;
  if s.target_table is null then
    select string_agg(c.table_name, ', ') into candidates
    from (select x.table_name from rollcall.candidate_tables() x where x.key_column is not null limit 5) c;
    raise exception 'rollcall: there is no definition of who must have a profile%', coalesce('; it could be a table of these: ' || candidates, '')
      using errcode = 'RC009',
        hint = 'Choose a table: rollcall definition draft TABLE > definition.sql. Then put it in force: rollcall definition set definition.sql.';
  end if;
  if to_regclass(s.target_table) is null then
    raise exception 'rollcall: the profile table % does not exist', s.target_table
      using errcode = 'undefined_table',
        detail = 'It was dropped, renamed or moved after the definition was set, so nothing can be compared.',
        hint = 'Define the table that holds the profiles now: rollcall definition draft, then rollcall definition set FILE.';
  end if;
  select string_agg(t.id::text, ', ') into hidden
  from unnest(array[to_regclass('auth.users'), to_regclass(s.target_table)]) t (id)
  where row_security_active(t.id);
  if hidden is not null then
    raise exception 'rollcall: row level security hides rows of % from the role %', hidden, current_user
      using errcode = 'insufficient_privilege',
        detail = 'What cannot be seen cannot be counted, so there is no verdict.',
        hint = 'The functions of the schema rollcall must belong to a role with BYPASSRLS. On Supabase, run the migrations as postgres.';
  end if;
  return s;
end
$$;
comment on function rollcall.require_definition() is
  'The settings with the definition. Raises an error with a hint where there is none (RC009), its table is gone, or rows are hidden from the owner of the schema.';

create or replace function rollcall.expected_profile()
returns table (_user_id uuid, _signed_up_at timestamptz, profile jsonb)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return query execute format(
    'select e._user_id, e._signed_up_at, to_jsonb(e.*) - ''_user_id'' - ''_signed_up_at'' from (%s) e',
    (rollcall.require_definition()).query
  );
end
$$;
comment on function rollcall.expected_profile() is
  'Every user who must have a profile, and what a new one would contain. For people and tests; checks use the text of the definition.';

create or replace function rollcall.actual_profile()
returns table (_user_id uuid, profile jsonb)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
begin
  return query execute format(
    'select %s, to_jsonb(t.*) from %s t where t.%I is not null', rollcall.key_as_uuid(s.key_column, s.key_is_uuid), s.target_table, s.key_column
  );
end
$$;
comment on function rollcall.actual_profile() is 'Every profile that belongs to somebody, with the user''s id. For people and tests.';

create or replace function rollcall.text_as_uuid(p_text text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select format('case when %1$s like ''________-____-____-____-____________'' and %1$s !~ ''[^0-9a-fA-F-]''
    and length(replace(%1$s, ''-'', '''')) = 32 then %1$s::uuid end', p_text)
$$;
comment on function rollcall.text_as_uuid(text) is 'SQL text of the uuid that stands in a text; null, where something else does.';

create or replace function rollcall.key_as_uuid(p_key name, p_is_uuid boolean) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  -- whatever else stands in a text key belongs to nobody
  select case when p_is_uuid then format('t.%I::uuid', p_key) else rollcall.text_as_uuid(format('t.%I::text', p_key)) end
$$;
comment on function rollcall.key_as_uuid(name, boolean) is 'SQL text of the user''s id in a row t of the profile table.';

create or replace function rollcall.key_match(p_settings rollcall.settings, p_user_id text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case
    when (p_settings).key_is_uuid then format('t.%I = %s', (p_settings).key_column, p_user_id)
    -- it may be written in capitals; both spellings can be looked up in the index
    else format('t.%I in (%s::text, upper(%2$s::text))', (p_settings).key_column, p_user_id)
  end
$$;
comment on function rollcall.key_match(rollcall.settings, text) is
  'SQL text of the condition that the row t of the profile table belongs to a user, by an expression for the user''s id; made for the index of the key.';

create or replace function rollcall.insert_sql(p_overrides jsonb default '{}') returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
  column_list text;
  value_list text;
  wrong_columns text;
  wanted record;
begin
  select
    string_agg(quote_ident(c.column_name), ', '),
    string_agg(
      case when p_overrides ? c.column_name::text
        then format('coalesce($2 ->> %L, e.%I::text)::%s', c.column_name, c.column_name, c.target_type)
        else format('e.%I::%s', c.column_name, c.target_type)
      end, ', '),
    string_agg(quote_ident(c.column_name), ', ') filter (where c.target_type is null)
  into column_list, value_list, wrong_columns
  from rollcall.profile_columns() c;
  if wrong_columns is not null then
    raise exception 'rollcall: the definition names columns that % does not have: %', s.target_table, wrong_columns
      using errcode = 'undefined_column',
        detail = 'The table was changed after the definition was set.',
        hint = 'Draft the definition again and set it: rollcall definition draft, then rollcall definition set FILE.';
  end if;
  if exists (select from jsonb_object_keys(p_overrides) k where k <> all (s.columns::text[])) then
    raise exception 'rollcall: a value is given for a column that the definition does not have'
      using errcode = 'RC003', hint = 'Leave the value out (account_type, email), or add the column to the definition.';
  end if;
  -- a value that its column can never take is the caller's mistake, and none of the rows'
  for wanted in
    select w.key, w.value, c.target_type from jsonb_each_text(p_overrides) w join rollcall.profile_columns() c on c.column_name = w.key
    where p_overrides <> '{}'
  loop
    begin
      execute format('select $1::%s', wanted.target_type) using wanted.value;
    exception when data_exception or integrity_constraint_violation then
      raise exception 'rollcall: a value is given that the column % cannot take', quote_ident(wanted.key)
        using errcode = 'RC005', hint = 'Give a value of its type, or leave it out.';
    end;
  end loop;
  -- names in the definition are looked up before the path is set for the application's triggers
  return format(
    'with made (user_id) as (insert into %1$s as t (%2$s) select %3$s from (%4$s) e'
    ' where e._user_id = any ((select $1)::uuid[]) and not exists (select from %1$s t where %5$s)'
    ' order by e._user_id on conflict (%6$I) do nothing returning %7$s)'
    ' select case when pg_catalog.set_config(''search_path'', $3, true) <> '''' then (select pg_catalog.array_agg(m.user_id) from made m) end',
    s.target_table, column_list, value_list, s.query, rollcall.key_match(s, 'e._user_id'), s.key_column,
    rollcall.key_as_uuid(s.key_column, s.key_is_uuid)
  );
end
$$;
comment on function rollcall.insert_sql(jsonb) is
  'The one statement that creates profiles: $1 uuid[] of users, $2 jsonb of column values that replace the definition''s, $3 the search_path for triggers; returns the ids created, or null. An existing profile is left alone. RC003: a value for a column that the definition does not have. RC005: a value that its column cannot take.';

create or replace function rollcall.put_in_force(p_table regclass, p_query text, p_is_draft boolean) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  s rollcall.settings;
  hint constant text := 'Start from a draft: rollcall definition draft TABLE. Nothing was changed.';
  -- the line break ends a comment on the last line, wherever the text is put
  query constant text := regexp_replace(btrim(p_query, E' \t\r\n'), ';$', '') || E'\n';
  kind "char";
  wrong text;
  reason text;
  code text;
begin
  select c.relkind, format('%I.%I', n.nspname, c.relname) into kind, s.target_table
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.oid = p_table;
  if kind is null or kind not in ('r', 'p') then
    raise exception 'rollcall: % is not a table', coalesce(s.target_table, 'that')
      using errcode = 'wrong_object_type', detail = 'A profile is a row that a repair can insert.', hint = 'Name the table behind the view.';
  end if;

  -- A view shows what the query is made of without running it, and refuses everything but one query.
  begin
    -- in brackets a second statement is none
    execute format('select from (%s) e limit 0', query);
    execute format('create view rollcall.definition_on_trial as %s', query);
  exception when others then
    get stacked diagnostics reason = message_text, code = returned_sqlstate;
    raise exception 'rollcall: the query of the definition is not valid (SQLSTATE %): %', code, reason
      using errcode = 'invalid_table_definition', hint = 'Write every name with its schema, as auth.users. ' || hint;
  end;
  if (select count(*) from pg_attribute a
    where a.attrelid = to_regclass('rollcall.definition_on_trial') and a.attnum > 0
      and (a.attname, a.atttypid) in (('_user_id', 'uuid'::regtype), ('_signed_up_at', 'timestamptz'::regtype))) < 2
  then
    raise exception 'rollcall: the query of the definition lacks _user_id (uuid) or _signed_up_at (timestamptz)'
      using errcode = 'invalid_table_definition',
        hint = 'Begin it with: select u.id as _user_id, u.created_at as _signed_up_at, … from auth.users u. ' || hint;
  end if;
  select array_agg(a.attname order by a.attnum) into s.columns
  from pg_attribute a
  where a.attrelid = to_regclass('rollcall.definition_on_trial') and a.attnum > 0 and a.attname not in ('_user_id', '_signed_up_at');

  select string_agg(quote_ident(c), ', ') into wrong
  from unnest(s.columns) c
  where not exists (
    select from pg_attribute a where a.attrelid = p_table and a.attname = c and a.attnum > 0 and not a.attisdropped
      and a.attgenerated = '' and a.attidentity <> 'a');
  if wrong is not null then
    raise exception 'rollcall: % has no such column, or none that can be written: %', s.target_table, wrong
      using errcode = 'undefined_column', hint = 'Name the columns of the query as those of the table. ' || hint;
  end if;

  select k.column_name, k.is_uuid into s.key_column, s.key_is_uuid
  from rollcall.key_candidates(p_table) k where k.column_name = any (s.columns) limit 1;
  if s.key_column is null then
    raise exception 'rollcall: no column of the definition can tell whose profile a row of % is', s.target_table
      using errcode = 'invalid_table_definition',
        detail = 'One row for one user is needed: a uuid or text column with a unique index of its own, not partial and not deferrable, that holds the user''s id.',
        hint = format('Name such a column in the query, for instance u.id as user_id. If the table has none: alter table %s add constraint … unique (…). ', s.target_table) || hint;
  end if;

  begin
    execute format(
      'select %s from rollcall.definition_on_trial e limit 0',
      (
        select string_agg(format('e.%I::%s', a.attname, format_type(a.atttypid, -1)), ', ')
        from pg_attribute a where a.attrelid = p_table and a.attname = any (s.columns)
      ));
  exception when others then
    get stacked diagnostics reason = message_text, code = returned_sqlstate;
    raise exception 'rollcall: a column of the definition has a type that % cannot take (SQLSTATE %): %', s.target_table, code, reason
      using errcode = 'datatype_mismatch', hint = 'Cast it to the type of the column. ' || hint;
  end;

  begin
    execute format(
      'select string_agg(w.what, '' and '') from (
         select ''it has two rows for one user'' as what
         where exists (select from rollcall.definition_on_trial e group by e._user_id having count(*) > 1)
         union all
         select ''its column %2$s is not always the user''''s id''
         where exists (select from rollcall.definition_on_trial e where lower(e.%1$I::text) is distinct from e._user_id::text)
       ) w', s.key_column, replace(quote_ident(s.key_column), '''', '''''')
    ) into wrong;
  exception when others then
    get stacked diagnostics code = returned_sqlstate;
    raise exception 'rollcall: the query of the definition fails on the users there are (SQLSTATE %)', code
      using errcode = 'invalid_table_definition', hint = 'Guard what users write: cast it only where it fits. ' || hint;
  end;
  if wrong is not null then
    raise exception 'rollcall: the query of the definition does not say one row for one user: %', wrong
      using errcode = 'invalid_table_definition', hint = hint;
  end if;
  drop view rollcall.definition_on_trial;

  s.query := query;
  -- other columns than the key may be dropped any day
  select format('select %s as _user_id, to_jsonb(t.*) ->> ''email'' as email, %s as _created_at from %s t%s',
      rollcall.key_as_uuid(s.key_column, s.key_is_uuid),
      coalesce(max('(to_jsonb(t.*) ->> ''created_at'')::timestamptz') filter (
        where a.attname = 'created_at' and rollcall.base_type(a.atttypid) in ('timestamptz'::regtype, 'timestamp'::regtype)), 'null::timestamptz'),
      s.target_table,
      -- rows that nobody has claimed belong to nobody
      case when bool_or(a.attname = s.key_column and not a.attnotnull) then format(' where t.%I is not null', s.key_column) else '' end)
    into s.actual_query
  from pg_attribute a
  where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped;
  update rollcall.settings x
  set
    target_table = s.target_table, key_column = s.key_column, key_is_uuid = s.key_is_uuid, columns = s.columns,
    query = s.query, actual_query = s.actual_query, is_draft = p_is_draft, defined_at = now(), defined_by = session_user;
  update rollcall.settings x set insert_query = rollcall.insert_sql();
end
$$;
comment on function rollcall.put_in_force(regclass, text, boolean) is
  'Checks a definition and replaces the one in force; a wrong one is refused with a hint. Reads the table''s catalog entry and runs the query.';

create or replace function rollcall.define(p_table regclass, p_query text) returns void
language sql volatile set search_path = pg_catalog, pg_temp as $$
  select rollcall.put_in_force(p_table, p_query, false)
$$;
comment on function rollcall.define(regclass, text) is
  'Checks a definition (columns, types, key: one row for one user) and puts it in force, at once and everywhere. A wrong one is refused with a hint and changes nothing.';

create or replace function rollcall.definition_fault() returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  s rollcall.settings;
  code text;
  reason text;
begin
  s := rollcall.require_definition();
  perform rollcall.insert_sql();
  if not exists (select from rollcall.key_candidates(to_regclass(s.target_table)) k where k.column_name = s.key_column) then
    return format('the column %I of %s has no unique index of its own any more', s.key_column, s.target_table);
  end if;
  if not has_table_privilege(s.target_table, 'select')
    or not (has_table_privilege(s.target_table, 'insert')
      or (select bool_and(has_column_privilege(s.target_table, c, 'insert')) from unnest(s.columns) c)) then
    return format('the role %s may not write to %s', current_user, s.target_table);
  end if;
  execute format('select from (%s) e limit 0', s.query);
  execute format('select from (%s) a limit 0', s.actual_query);
  return null;
exception when others then
  get stacked diagnostics code = returned_sqlstate, reason = message_text;
  -- nobody has found anything wrong with it: it could not be looked at
  if code in ('55P03', '57014', '40P01', '40001', '42501', 'RC009') or left(code, 2) in ('08', '53', '57', '58') then
    raise;
  end if;
  return case when reason like 'rollcall: %' then substr(reason, length('rollcall: ') + 1)
    else format('the definition does not fit %s (SQLSTATE %s)', coalesce(s.target_table, 'the profile table'), code) end;
end
$$;
comment on function rollcall.definition_fault() is
  'Why no profile can be made by the definition, in words without values; null: it fits its table. Raises an error where that cannot be looked at.';
