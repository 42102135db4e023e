-- With session_replication_role = replica a session fires no ordinary trigger. Restores set it for a moment; set on a role
-- or the database, it stays.
select
  'critical',
  format('%s has session_replication_role = replica, so no signup fires a trigger', d.whose),
  'Everyone who signs up from now on is without a profile, and nothing checks their references. Supabase Auth notices nothing.',
  array[format('%s: session_replication_role = replica', d.whose)],
  format('Reset it, as a role that may (on Supabase ask its support): alter %s reset session_replication_role. Then restart Supabase Auth.', d.whose)
    || f.then_repair,
  null
from place l
cross join facts f
join lateral (
  select
    case when g.setrole <> 0 then format('role %I', pg_catalog.pg_get_userbyid(g.setrole)) else format('database %I', current_database()) end as whose
  from pg_catalog.pg_db_role_setting g
  cross join unnest(g.setconfig) c
  where g.setrole in (0, l.auth_role)
    and g.setdatabase in (0, (select b.oid from pg_catalog.pg_database b where b.datname = current_database()))
    and c = 'session_replication_role=replica'
  order by g.setrole desc
  limit 1
) d on true
where exists (select from path_trigger)
