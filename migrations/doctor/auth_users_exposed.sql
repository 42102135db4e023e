-- A view runs with its owner's rights: one over auth.users in an exposed schema shows every user to whoever may read it.
create or replace function rollcall.doctor_auth_users_exposed() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    format('whoever has the public API key can read auth.users through %s', v.oid::regclass),
    'E-mail addresses and ids of all users may be read by anybody on the internet.',
    array_agg(format('%s may select from %s', r.rolname, v.oid::regclass) order by r.rolname),
    'Take the right away, or make the view security_invoker, or move it to a schema that is not exposed.',
    format('revoke all on %s from public, anon, authenticated;', v.oid::regclass)
  from pg_catalog.pg_class v
  join pg_catalog.pg_roles r on r.rolname in ('anon', 'authenticated')
  where v.relkind in ('v', 'm') and v.relnamespace in (select n.oid from pg_catalog.pg_namespace n where n.nspname in ('public', 'graphql_public', 'api'))
    and (v.relkind = 'm' or not coalesce(v.reloptions, '{}') && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'])
    and has_schema_privilege(r.rolname, v.relnamespace, 'usage')
    and (has_table_privilege(r.rolname, v.oid, 'select') or has_any_column_privilege(r.rolname, v.oid, 'select'))
    and exists (
      select from pg_catalog.pg_rewrite w
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
      where w.ev_class = v.oid and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = 'auth.users'::regclass
    )
  group by v.oid
$$;
comment on function rollcall.doctor_auth_users_exposed() is
  'Check auth_users_exposed: a view over auth.users in an exposed schema that anon or authenticated may read.';
