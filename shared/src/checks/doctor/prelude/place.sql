-- Where everything stands: one row. Looked up in the catalog, since a name in a text wants usage of its schema.
place as materialized (
  select
    users.oid as users, users.relowner as auth_role, pg_catalog.pg_get_userbyid(users.relowner) as auth_role_name,
    (
      select c.oid from pg_catalog.pg_class c where c.relnamespace = users.relnamespace and c.relname = 'identities'
    ) as identities,
    target.oid as target, target.relname as target_name, target.oid::regclass::text as target_written,
    target.relrowsecurity as target_has_rls,
    f.application_path, key.attnum as key_number, key.attname as key_column,
    rollcall.oid as schema_rollcall, rollcall.nspowner as owner,
    -- not so while somebody looks without installing: everything of Rollcall's is gone again in a moment
    exists (
      select from pg_catalog.pg_proc p where p.pronamespace = rollcall.oid and p.proname = 'schema_version'
    ) as is_installed,
    -- where the role that signs people up looks for names
    (
      select array_agg(btrim(s.schema, ' "')::name order by s.position)
      from unnest(string_to_array(coalesce(
        (
          select substr(c, length('search_path=') + 1)
          from pg_catalog.pg_db_role_setting d cross join unnest(d.setconfig) c
          where d.setrole in (users.relowner, 0) and c like 'search\_path=%'
            and d.setdatabase in (0, (select b.oid from pg_catalog.pg_database b where b.datname = current_database()))
          order by d.setrole desc, d.setdatabase desc
          limit 1
        ), '"$user", public'), ',')) with ordinality s (schema, position)
    ) as auth_path
  from facts f
  left join (
    pg_catalog.pg_class users
    join pg_catalog.pg_namespace auth on auth.oid = users.relnamespace and auth.nspname = 'auth'
  ) on users.relname = 'users'
  left join pg_catalog.pg_class target on target.oid = f.target
  left join pg_catalog.pg_attribute key on key.attrelid = f.target and key.attname = f.key_column and not key.attisdropped
  left join pg_catalog.pg_namespace rollcall on rollcall.nspname = 'rollcall'
)
