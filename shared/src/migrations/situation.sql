-- What stands in this database, from the catalog alone: it can be asked by any role, wherever Rollcall was never heard of.
select
  exists (
    select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'auth' and c.relname = 'users' and c.relkind in ('r', 'p')
  ) as is_supabase,
  -- is_anonymous is not among them: Supabase Auth has it since 2024-04, and without it there are no such users
  array(
    select wanted.name
    from unnest(array[
      'id', 'email', 'phone', 'created_at', 'deleted_at', 'is_sso_user', 'email_confirmed_at', 'confirmed_at', 'banned_until',
      'raw_app_meta_data', 'raw_user_meta_data'
    ]) with ordinality wanted (name, position)
    where not exists (
      select from pg_catalog.pg_attribute a
      join pg_catalog.pg_class c on c.oid = a.attrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'auth' and c.relname = 'users' and a.attname = wanted.name and not a.attisdropped
    )
    order by wanted.position
  ) as missing_columns,
  exists (
    select from pg_catalog.pg_namespace n
    where n.nspname = 'rollcall' and coalesce(pg_catalog.obj_description(n.oid, 'pg_namespace'), '') not like 'Rollcall: %'
  ) as schema_is_taken,
  (
    select coalesce(substring(p.prosrc from '[0-9]{14}'), '')
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'rollcall' and p.proname = 'schema_version' and p.pronargs = 0
  ) as version,
  exists (
    select from pg_catalog.pg_trigger t
    join pg_catalog.pg_class c on c.oid = t.tgrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where n.nspname = 'auth' and c.relname = 'users'
      and p.proname in ('on_signup', 'handle_new_user')
      and pg_catalog.obj_description(p.oid, 'pg_proc') like 'Rollcall: %' and p.prosrc like case when p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype then '%from rollcall.settings x;%' else '%rollcall.%' end
  ) as makes_profiles,
  pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create') as may_create,
  pg_catalog.pg_is_in_recovery() as is_standby,
  pg_catalog.current_setting('default_transaction_read_only')::boolean as is_read_only
