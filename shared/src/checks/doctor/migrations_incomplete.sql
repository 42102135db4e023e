-- Something that Rollcall's migrations make is gone, or was never made: a migration that broke off, an object that was
-- dropped; and in a copy, what its dump left out: roles, and the rights of roles that were not there yet.
select
  'warning',
  'what Rollcall''s migrations make is not all there: ' || string_agg(distinct m.name, ', '),
  'What people and programs call fails, and a repair may fail with it. Signups go on.',
  (array_agg(distinct m.seen))[:10] || array_remove(array[case when count(distinct m.seen) > 10 then format('and %s more', count(distinct m.seen) - 10) end], null),
  'Run the migrations again: rollcall migrate, or the newest file of rollcall export.',
  null
from place l
cross join lateral (
  select 'rollcall.' || w.name as name, format('rollcall.%s is missing', w.name) as seen
  from jsonb_array_elements_text($1 -> 'objects') w (name)
  -- what is published lies in public
  where not exists (
      select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
      where p.proname = w.name and n.nspname in ('rollcall', 'public'))
    and not exists (select from pg_catalog.pg_class c where c.relnamespace = l.schema_rollcall and c.relname = w.name)
  union all
  select 'the role ' || r.name, format('the role %s is missing', r.name)
  from unnest(array['rollcall_monitor', 'rollcall_repairer']) r (name)
  where to_regrole(r.name) is null
  union all
  select 'rights of ' || r.rolname, format('%s may not call %s', r.rolname, p.oid::regprocedure)
  from jsonb_to_recordset($1 -> 'grants') g (role text, function text)
  join pg_catalog.pg_roles r on r.rolname = g.role
  join pg_catalog.pg_proc p on p.oid = to_regprocedure(g.function)
  where not (has_function_privilege(r.oid, p.oid, 'execute') and has_schema_privilege(r.oid, p.pronamespace, 'usage'))
  union all
  select 'rights of service_role', format('service_role may not use %s', o.name)
  from pg_catalog.pg_roles r
  cross join lateral (
    select p.oid::regprocedure::text as name
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace and n.nspname = 'public'
    where p.prorettype <> 'pg_catalog.trigger'::regtype and pg_catalog.obj_description(p.oid, 'pg_proc') like 'Rollcall: %'
      and not has_function_privilege(r.oid, p.oid, 'execute')
    union all
    select c.oid::regclass::text
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public'
    where c.relkind = 'v' and pg_catalog.obj_description(c.oid, 'pg_class') like 'Rollcall: %'
      and not has_table_privilege(r.oid, c.oid, 'select')
  ) o
  where r.rolname = 'service_role'
) m
where l.is_installed
having count(*) > 0
