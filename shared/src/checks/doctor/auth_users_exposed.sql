-- A view runs with its owner's rights: one over auth.users in an exposed schema shows every user to everyone who may read
-- it.
select
  'warning',
  format('everyone who has the public API key can read auth.users through %s', v.oid::regclass),
  'E-mail addresses and ids of all users may be read by anybody on the internet.',
  array_agg(format('%s may select from %s', r.rolname, v.oid::regclass) order by r.rolname),
  'Take the right from anon and authenticated, or make the view security_invoker, or move it to a schema that is not exposed, as the app allows.',
  null
from place l
join pg_catalog.pg_depend d
  on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = l.users
join pg_catalog.pg_rewrite w on w.oid = d.objid
join pg_catalog.pg_class v on v.oid = w.ev_class and v.relkind in ('v', 'm')
join pg_catalog.pg_namespace n on n.oid = v.relnamespace and n.nspname in ('public', 'graphql_public', 'api')
join pg_catalog.pg_roles r on r.rolname in ('anon', 'authenticated')
where (v.relkind = 'm' or not coalesce(v.reloptions, '{}') && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'])
  and has_schema_privilege(r.oid, v.relnamespace, 'usage')
  and (has_table_privilege(r.oid, v.oid, 'select') or has_any_column_privilege(r.oid, v.oid, 'select'))
group by v.oid
