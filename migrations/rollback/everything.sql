-- Takes all of Rollcall back: its trigger, guards, public API, and the schema rollcall with the definition, the events and the
-- history. Functions and views of the application's that were guarded or taken over on request stand again as they were. No
-- table of the application's is touched, and no profile; public.profiles stays, also where Rollcall made it on request.
--
-- Refuses where something of the application's uses what would be removed; then nothing was removed. Says what it removed,
-- gave back and left, in notices that begin with "rollcall: ".
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

do $$
declare
  replaced jsonb := '{}';
  target text;
  our_relations oid[];
  our_functions oid[];
  made_profiles boolean := false;
  dependants text;
  found record;
  removed text[] := '{}';
  tables integer;
  functions integer;
  talk constant text := current_setting('client_min_messages');
begin
  -- the definitions that the catalog gives then name every schema
  perform set_config('search_path', '', true);
  perform set_config('check_function_bodies', 'off', true);
  if to_regnamespace('rollcall') is null then
    raise notice 'rollcall: nothing to remove: Rollcall is not installed in this database';
    return;
  end if;
  if coalesce(obj_description(to_regnamespace('rollcall'), 'pg_namespace'), '') not like 'Rollcall: %' then
    raise exception 'rollcall: this database has a schema named rollcall that is not Rollcall''s'
      using errcode = 'duplicate_schema', hint = 'Check that the connection string names the right database; nothing was removed.';
  end if;
  perform set_config('lock_timeout', '30s', true);
  perform pg_advisory_xact_lock(hashtext('rollcall.install'));
  -- Dropping a trigger locks its table: whoever waits for that lock makes every signup behind it wait, too.
  perform set_config('lock_timeout', '2s', true);
  if to_regclass('rollcall.settings') is not null then
    select s.replaced, s.target_table into replaced, target from rollcall.settings s;
  end if;

  -- Guards first: a guarded function of the application's calls one of ours.
  for found in
    select substr(r.key, length('guard ') + 1) as name, r.value as original
    from jsonb_each_text(replaced) r
    where r.key like 'guard %'
    order by 1
  loop
    if exists (select from pg_catalog.pg_proc p where p.oid = to_regprocedure(found.name) and p.prosrc like '%rollcall guard%') then
      execute found.original;
      raise notice 'rollcall: gave % back its body without the guard', found.name;
    else
      raise notice 'rollcall: left % as it is: its guard was overwritten', found.name;
    end if;
  end loop;

  -- A function that the application deployed over one of ours keeps our comment, not our body.
  our_relations := array(
    select c.oid
    from pg_catalog.pg_class c
    where c.relnamespace = to_regnamespace('rollcall')
      or (c.relnamespace = to_regnamespace('public') and c.relkind = 'v' and obj_description(c.oid, 'pg_class') like 'Rollcall: %'));
  our_functions := array(
    select p.oid
    from pg_catalog.pg_proc p
    where p.pronamespace = to_regnamespace('rollcall')
      or (
        p.pronamespace = to_regnamespace('public') and p.prosrc like '%rollcall.%'
        and obj_description(p.oid, 'pg_proc') like 'Rollcall: %'
      ));

  -- Whatever would be dropped along with ours: views, columns, defaults, policies, triggers.
  with ours (class_id, object_id) as (
    select 'pg_catalog.pg_class'::regclass, r from unnest(our_relations) r
    union all select 'pg_catalog.pg_proc'::regclass, f from unnest(our_functions) f
  ), all_ours (class_id, object_id) as (
    select o.class_id, o.object_id from ours o
    union all
    select 'pg_catalog.pg_type'::regclass, t.oid from pg_catalog.pg_type t where t.typnamespace = to_regnamespace('rollcall')
    union all select 'pg_catalog.pg_type'::regclass, t.oid from pg_catalog.pg_type t join ours o on o.object_id = t.typrelid
    union all select 'pg_catalog.pg_type'::regclass, t.typarray from pg_catalog.pg_type t join ours o on o.object_id = t.typrelid
    union all select 'pg_catalog.pg_rewrite'::regclass, r.oid from pg_catalog.pg_rewrite r join ours o on o.object_id = r.ev_class
    union all select 'pg_catalog.pg_constraint'::regclass, c.oid from pg_catalog.pg_constraint c join ours o on o.object_id = c.conrelid
    union all select 'pg_catalog.pg_attrdef'::regclass, d.oid from pg_catalog.pg_attrdef d join ours o on o.object_id = d.adrelid
    union all
    select 'pg_catalog.pg_trigger'::regclass, t.oid
    from pg_catalog.pg_trigger t
    join ours o on o.object_id = t.tgfoid
    where t.tgrelid = to_regclass('auth.users') and t.tgname in ('on_auth_user_created', 'zz_rollcall_on_signup')
  )
  select string_agg(distinct pg_describe_object(d.classid, d.objid, d.objsubid), ', ') into dependants
  from pg_catalog.pg_depend d
  join all_ours o on o.class_id = d.refclassid and o.object_id = d.refobjid
  where d.deptype = 'n' and not exists (select from all_ours x where x.class_id = d.classid and x.object_id = d.objid);
  if dependants is not null then
    raise exception 'rollcall: the application uses what would be removed: %', dependants
      using errcode = 'dependent_objects_still_exist', hint = 'Drop or change it first; nothing was removed.';
  end if;

  -- The bodies of functions leave no trace in the catalog but their text.
  for found in
    with api (name) as (
      select p.proname::text from pg_catalog.pg_proc p
      where p.oid = any (our_functions) and p.pronamespace <> to_regnamespace('rollcall')
      union
      select c.relname::text from pg_catalog.pg_class c
      where c.oid = any (our_relations) and c.relnamespace <> to_regnamespace('rollcall')
    )
    select
      string_agg(p.oid::regprocedure::text, ', ' order by p.oid::regprocedure::text)
        filter (where exists (select from pg_catalog.pg_trigger t where t.tgfoid = p.oid)) as of_triggers,
      string_agg(p.oid::regprocedure::text, ', ' order by p.oid::regprocedure::text) as names
    from pg_catalog.pg_proc p
    where p.oid <> all (our_functions)
      and p.pronamespace not in (to_regnamespace('pg_catalog'), to_regnamespace('information_schema'))
      -- of no extension
      and not exists (
        select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
      and regexp_replace(regexp_replace(p.prosrc, '--[^\n]*', '', 'g'), '/\*.*?\*/', '', 'g')
        ~* (select '\mrollcall\.\w|\m(' || coalesce(string_agg(a.name, '|'), 'rollcall\.') || ')\M' from api a)
  loop
    if found.of_triggers is not null then
      raise exception 'rollcall: trigger functions of the application''s name what would be removed: %', found.of_triggers
        using errcode = 'dependent_objects_still_exist',
          detail = 'Their triggers would fail, and a signup with them.', hint = 'Change them first; nothing was removed.';
    elsif found.names is not null then
      raise warning 'rollcall: functions of the application''s name what is removed: %', found.names
        using hint = 'They fail from now on where they use it.';
    end if;
  end loop;

  -- Dropping a function takes its triggers along, which a role that does not own auth.users could not drop itself.
  for found in
    select t.tgname, p.oid::regprocedure as function
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = to_regclass('auth.users') and p.oid = any (our_functions)
  loop
    execute format('drop function %s cascade', found.function);
    raise notice 'rollcall: removed the trigger % on auth.users', quote_ident(found.tgname);
    made_profiles := true;
  end loop;

  for found in
    select 'view' as kind, c.oid::regclass::text as name
    from pg_catalog.pg_class c
    where c.oid = any (our_relations) and c.relnamespace <> to_regnamespace('rollcall')
    union all
    select 'function', p.oid::regprocedure::text
    from pg_catalog.pg_proc p
    where p.oid = any (our_functions) and p.pronamespace <> to_regnamespace('rollcall')
    order by 1 desc, 2
  loop
    execute format('drop %s %s', found.kind, found.name);
    removed := removed || found.name;
  end loop;
  if removed <> '{}' then
    raise notice 'rollcall: removed %', array_to_string(removed, ', ');
  end if;

  -- What was taken over on request; functions before the views that may call them.
  for found in
    select
      split_part(r.key, ' ', 2) as kind, regexp_replace(r.key, '^api \w+ ', '') as name, r.value as definition
    from jsonb_each_text(replaced) r where r.key like 'api %' order by 1, 2
  loop
    if (found.kind = 'function' and to_regprocedure(found.name) is null)
      or (found.kind = 'view' and to_regclass(found.name) is null)
    then
      execute found.definition;
      raise notice 'rollcall: gave back the % %', found.kind, found.name;
    else
      raise notice 'rollcall: left the % % as it is: the application has made it again', found.kind, found.name;
    end if;
  end loop;

  select count(*) into tables from pg_catalog.pg_class c where c.relnamespace = to_regnamespace('rollcall') and c.relkind = 'r';
  select count(*) into functions from pg_catalog.pg_proc p where p.pronamespace = to_regnamespace('rollcall');
  -- without the server's own list of them
  perform set_config('client_min_messages', 'warning', true);
  drop schema rollcall cascade;
  perform set_config('client_min_messages', talk, true);
  raise notice 'rollcall: removed the schema rollcall with its % tables and % functions: definition, events, checks, runs',
    tables, functions;

  if target is not null and to_regclass(target) is not null then
    raise notice 'rollcall: left the table % and every row of it', target;
    if made_profiles then
      raise warning 'rollcall: from now on nothing of Rollcall''s makes a profile in % at a signup', target
        using hint = 'See that a trigger of your own does, or your program.';
    end if;
  end if;
  -- the file of `rollcall export`; the CLI's history is only read
  if coalesce(has_schema_privilege(to_regnamespace('supabase_migrations')::oid, 'usage'), false) then
    if coalesce(has_table_privilege(to_regclass('supabase_migrations.schema_migrations')::oid, 'select'), false) then
      for found in
        execute $query$
          select m.version from supabase_migrations.schema_migrations m where to_jsonb(m) ->> 'name' = 'rollcall' order by 1 $query$
      loop
        raise notice 'rollcall: left the entry % in the history of the Supabase CLI; where you delete its file: %',
          found.version, 'supabase migration repair --status reverted ' || found.version;
      end loop;
    end if;
  end if;
  select string_agg(quote_ident(r.rolname), ', ' order by r.rolname) into dependants
  from pg_catalog.pg_roles r where r.rolname in ('rollcall_monitor', 'rollcall_repairer');
  if dependants is not null then
    raise notice 'rollcall: left the roles %: they belong to the whole server; where no other database uses them: drop role %',
      dependants, dependants;
  end if;
end
$$;
