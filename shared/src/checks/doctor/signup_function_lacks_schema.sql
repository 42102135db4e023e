-- DROP SCHEMA public and a reset by a migration tool take the usage of the schema away, from everyone.
select
  min(e.severity),
  format('the function %s runs as %s, which may not use the schema %s, %s', e.function_name, e.runs_as_name, s.nspname, min(e.consequence)),
  min(e.meaning) || ' The error is 42501 (permission denied for schema).',
  array[format('%s lacks usage on schema %s', e.runs_as_name, s.nspname)] || min(e.way),
  'Grant the usage of the schema.',
  case when e.runs_as_name not in ('anon', 'authenticated') then format('grant usage on schema %I to %I;', s.nspname, e.runs_as_name) end
from examined e
join named n on n.function_id = e.function_id and n.path = e.path and n.meant is not null
join pg_catalog.pg_namespace s on s.oid = coalesce(
  case when n.kind in ('relation', 'sequence') then (select c.relnamespace from pg_catalog.pg_class c where c.oid = n.meant) end,
  case n.kind when 'function' then (select p.pronamespace from pg_catalog.pg_proc p where p.oid = n.meant) end,
  case n.kind when 'type' then (select y.typnamespace from pg_catalog.pg_type y where y.oid = n.meant) end)
where not has_schema_privilege(e.runs_as, s.oid, 'usage')
  -- one that runs as its caller is to run as its owner
  and not exists (
    select from lacking k cross join place l
    where k.function_id = e.function_id and not k.is_definer and k.runs_as = l.auth_role and e.runs_as = l.auth_role)
group by e.function_id, e.function_name, e.runs_as_name, s.nspname
