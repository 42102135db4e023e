-- Rollcall's functions and views are for service_role and the team. Made anew by a script, a restore or a branch, one may
-- be open to everyone who has the public key.
select
  case when bool_or(o.is_in_reach) then 'critical' else 'warning' end,
  'everyone who has the public API key can use what is Rollcall''s: ' || string_agg(distinct o.name, ', '),
  'Some of it lists users with their e-mail addresses, or makes profiles for anybody. The functions refuse anon and authenticated by themselves, too.',
  array_agg(format('%s: %s', r.rolname, o.name) order by o.name, r.rolname),
  'Take the rights away: rollcall migrate, or by hand:',
  string_agg(distinct format('revoke all on %s%s from public, anon, authenticated;', o.class, o.name), ' ')
from place l
cross join lateral (
  select 'schema ' as class, 'rollcall' as name, l.schema_rollcall as id, true as is_in_reach
  union all
  select 'table ', c.oid::regclass::text, c.oid, c.relnamespace <> l.schema_rollcall
  from pg_catalog.pg_class c
  where c.relnamespace = l.schema_rollcall and c.relkind in ('r', 'v')
    or c.relkind = 'v' and pg_catalog.obj_description(c.oid, 'pg_class') like 'Rollcall: %'
  union all
  select 'function ', p.oid::regprocedure::text, p.oid, p.pronamespace <> l.schema_rollcall
  from pg_catalog.pg_proc p
  join pg_catalog.pg_description d
    on d.objoid = p.oid and d.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.description like 'Rollcall: %'
  where p.pronamespace <> l.schema_rollcall
  union all
  select 'function ', p.oid::regprocedure::text, p.oid, false
  from pg_catalog.pg_proc p
  where p.pronamespace = l.schema_rollcall
) o
join pg_catalog.pg_roles r on r.rolname in ('anon', 'authenticated')
where l.is_installed and case o.class
  when 'schema ' then has_schema_privilege(r.oid, o.id, 'usage')
  when 'function ' then has_function_privilege(r.oid, o.id, 'execute')
  else has_table_privilege(r.oid, o.id, 'select, insert, update, delete') or has_any_column_privilege(r.oid, o.id, 'select, insert, update')
end
having count(*) > 0
