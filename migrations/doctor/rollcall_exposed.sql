-- Rollcall's functions and views are for service_role and the team. Made anew by a script or a tool, one may be open to
-- whoever has the public key.
create or replace function rollcall.doctor_rollcall_exposed() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    'whoever has the public API key can use what is Rollcall''s: ' || string_agg(distinct o.name, ', '),
    'Some of it lists users with their e-mail addresses, or makes profiles for anybody.',
    array_agg(format('%s: %s', r.role, o.name) order by o.name, r.role),
    'Take the rights away.',
    string_agg(distinct format('revoke all on %s%s from public, anon, authenticated;', o.class, o.name), ' ')
  from (
    select 'schema ' as class, 'rollcall' as name, n.oid as id from pg_catalog.pg_namespace n where n.nspname = 'rollcall'
    union all
    select 'table ', c.oid::regclass::text, c.oid
    from pg_catalog.pg_class c
    where c.relkind in ('r', 'v')
      and (c.relnamespace = 'rollcall'::regnamespace
        or c.oid in (to_regclass('public.signup_audit_summary'), to_regclass('public.auth_profile_mismatch')))
    union all
    select 'function ', p.oid::regprocedure::text, p.oid
    from pg_catalog.pg_proc p
    where p.pronamespace = 'rollcall'::regnamespace
      or (p.pronamespace = 'public'::regnamespace and pg_catalog.obj_description(p.oid, 'pg_proc') like 'Rollcall: %' and p.prorettype <> 'trigger'::regtype)
  ) o
  cross join (select a.rolname as role from pg_catalog.pg_roles a where a.rolname in ('anon', 'authenticated')) r
  where case o.class
    when 'schema ' then has_schema_privilege(r.role, o.id, 'usage')
    when 'function ' then has_function_privilege(r.role, o.id, 'execute')
    else has_table_privilege(r.role, o.id, 'select, insert, update, delete') or has_any_column_privilege(r.role, o.id, 'select, insert, update')
  end
  having count(*) > 0
$$;
comment on function rollcall.doctor_rollcall_exposed() is
  'Check rollcall_exposed: anon or authenticated may use an object of Rollcall.';
