-- Names of the public API ($1), the application's triggers, and what can be read of Rollcall's tables: asked before and after.
-- A function that the application deployed over one of ours keeps our comment, not our body.
with used (name, is_ours) as (
  select p.proname::text, coalesce(pg_catalog.obj_description(p.oid, 'pg_proc'), '') like 'Rollcall: %' and p.prosrc like case when p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype then '%from rollcall.settings x;%' else '%rollcall.%' end
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where n.nspname = 'public'
  union all
  select c.relname::text, coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') like 'Rollcall: %'
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'public'
)
select
  array(
    select distinct used.name from used where used.name = any ($1) and used.is_ours
  ) as our_names,
  array(
    select distinct used.name from used where used.name = any ($1) and not used.is_ours
  ) as their_names,
  array(
    select pg_catalog.format('%I on %I.%I: %I.%I()', t.tgname, n.nspname, c.relname, fn.nspname, p.proname)
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_class c on c.oid = t.tgrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    join pg_catalog.pg_namespace fn on fn.oid = p.pronamespace
    where n.nspname = 'auth' and not t.tgisinternal
      and not (coalesce(pg_catalog.obj_description(p.oid, 'pg_proc'), '') like 'Rollcall: %' and p.prosrc like case when p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype then '%from rollcall.settings x;%' else '%rollcall.%' end)
    order by 1
  ) as application_triggers,
  exists (
    select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'rollcall' and c.relname = 'migration'
  ) as has_history,
  exists (
    select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'rollcall' and c.relname = 'settings'
  ) as has_settings
