-- Whether this role may replay a signup, and whether there is one: read from the catalog, which every role may.
select
  pg_has_role(n.nspowner, 'usage') and has_schema_privilege(n.oid, 'create')
    and has_database_privilege(current_database(), 'temporary') as is_permitted,
  pg_get_userbyid(n.nspowner)::text as owner,
  exists (
    select from pg_catalog.pg_trigger g join pg_catalog.pg_class c on c.oid = g.tgrelid
    where c.relname = 'users' and c.relnamespace = (select a.oid from pg_catalog.pg_namespace a where a.nspname = 'auth')
      and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgconstraint = 0 and g.tgtype::integer & 7 = 5  -- for each row, after, insert
      and coalesce(obj_description(g.tgfoid, 'pg_proc'), '') not like 'Rollcall: %'
  ) as has_triggers
from pg_catalog.pg_namespace n
where n.nspname = 'rollcall'
