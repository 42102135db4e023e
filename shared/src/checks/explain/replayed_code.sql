-- What a replay runs, and what it leaves out: one document.
with target as materialized (
  select c.oid, c.relname from rollcall.settings s join pg_class c on c.oid = to_regclass(s.target_table)
),
code as materialized (
  select distinct p.oid, p.oid::regprocedure::text as name, p.prosrc, p.prosecdef, l.lanname,
    pg_has_role(p.proowner, 'usage') and has_schema_privilege(p.pronamespace, 'create') as is_open
  from rollcall.signup_code() c
  join pg_proc p on c.kind = 'function' and p.oid = c.object_id and not rollcall.is_ours(p.oid)
  join pg_language l on l.oid = p.prolang
)
select jsonb_build_object(
  -- what makes a replay belongs to it
  'role', (select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'rollcall'),
  'auth_role', (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = to_regclass('auth.users')),
  'beyond_rollback', array(select b from rollcall.beyond_rollback() b order by b),
  'triggers', array(
    select format('trigger %s runs %s()', quote_ident(r.trigger_name), r.function_name) from rollcall.replay_triggers() r where r.skipped is null),
  -- with the rights of the one who signs up, which a replay has not
  'as_caller', array(
    select c.name from code c
    where not c.prosecdef and exists (select from pg_trigger g where g.tgfoid = c.oid and g.tgrelid = to_regclass('auth.users'))
    order by 1),
  'catching', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'function_id', c.oid::text, 'name', c.name, 'source', c.prosrc, 'is_open', c.is_open) order by c.oid), '[]')
    from code c where c.lanname = 'plpgsql' and c.prosrc ~* '\mexception\M'),
  -- other ways to a profile: a constraint trigger, one at the confirmation, one with the identity
  'left_out', array(
    select format('trigger %I on %s, which runs %s', g.tgname, g.tgrelid::regclass, g.tgfoid::regprocedure)
    from pg_trigger g
    join code c on c.oid = g.tgfoid
    cross join target t
    where g.tgrelid in (to_regclass('auth.users'), to_regclass('auth.identities')) and not g.tgisinternal
      and g.tgenabled in ('O', 'A') and g.tgtype::integer & 20 <> 0  -- insert or update
      and not (g.tgrelid = to_regclass('auth.users') and exists (
        select from rollcall.replay_triggers() r where r.trigger_name = g.tgname and r.skipped is null))
      and c.prosrc ~* ('\minto\s+[^;]*\m' || regexp_replace(t.relname, '(\W)', '\\\1', 'g') || '\M')
    order by 1)
) as code
