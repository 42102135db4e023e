-- Functions of Rollcall's run as their owner: one that was given to a role without rights fails, or makes no profile.
select
  case when bool_or(s.is_by_definition and p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype) then 'critical' else 'unknown' end,
  format('functions of Rollcall''s run as %s, which lacks rights: %s', r.rolname, string_agg(p.oid::regprocedure::text, ', ' order by p.oid)),
  case when bool_or(s.is_by_definition and p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype)
    then 'Everyone who signs up from now on is without a profile.'
    else 'What they are asked cannot be answered.'
  end,
  array_agg(distinct format('%s lacks %s', r.rolname, k.needed)),
  format('Give them back to %I, which owns the schema: rollcall migrate does not, since they are not its own.', pg_catalog.pg_get_userbyid(l.owner)),
  string_agg(distinct format('alter function %s owner to %I;', p.oid::regprocedure, pg_catalog.pg_get_userbyid(l.owner)), ' ')
from place l
cross join trigger_state s
join pg_catalog.pg_proc p on p.prosecdef and p.proowner <> l.owner
  and (p.pronamespace = l.schema_rollcall
    or p.pronamespace = (select n.oid from pg_catalog.pg_namespace n where n.nspname = 'public')
      and pg_catalog.obj_description(p.oid, 'pg_proc') like 'Rollcall: %')
join pg_catalog.pg_roles r on r.oid = p.proowner and not r.rolsuper
cross join lateral (
  select 'usage on schema rollcall' as needed where not has_schema_privilege(r.oid, l.schema_rollcall, 'usage')
  union all
  select 'select on auth.users' where not has_table_privilege(r.oid, l.users, 'select')
  union all
  select format('select, insert on %s', l.target_written)
  where not (has_table_privilege(r.oid, l.target, 'select') and has_table_privilege(r.oid, l.target, 'insert'))
) k
group by l.owner, r.rolname
