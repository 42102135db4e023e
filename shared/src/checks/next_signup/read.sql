-- What tells whether the next signup gets its profile, but for trying one: the signup path and its last change, what was kept
-- of it, and the newest signups.
with code as materialized (
  select distinct c.kind, c.object_id from rollcall.signup_code('signup') c
),
users as materialized (
  select c.oid, c.relowner
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'auth' and c.relname in ('users', 'identities')
),
tables as materialized (
  select u.oid from users u union select c.object_id from code c where c.kind = 'table'
),
functions as materialized (
  select c.object_id as oid from code c where c.kind = 'function'
  union
  select g.tgfoid from pg_catalog.pg_trigger g join tables t on t.oid = g.tgrelid where not g.tgisinternal
),
roles as materialized (
  select u.relowner as oid from users u
  union
  select p.proowner from pg_catalog.pg_proc p join functions f on f.oid = p.oid
),
schemas as materialized (
  select c.relnamespace as oid from pg_catalog.pg_class c join tables t on t.oid = c.oid
  union
  select p.pronamespace from pg_catalog.pg_proc p join functions f on f.oid = p.oid
),
-- A row of the catalog is written anew by whoever changes the object, so its xmin stands for what it says.
parts (part, written_by) as materialized (
  select format('function %s', p.oid), p.xmin from pg_catalog.pg_proc p join functions f on f.oid = p.oid
  union all
  select format('trigger %s', g.oid), g.xmin from pg_catalog.pg_trigger g join tables t on t.oid = g.tgrelid where not g.tgisinternal
  union all
  select format('table %s', c.oid), c.xmin from pg_catalog.pg_class c join tables t on t.oid = c.oid
  union all
  select format('column %s %s', a.attrelid, a.attnum), a.xmin from pg_catalog.pg_attribute a join tables t on t.oid = a.attrelid where a.attnum > 0
  union all
  select format('default %s', d.oid), d.xmin from pg_catalog.pg_attrdef d join tables t on t.oid = d.adrelid
  union all
  select format('constraint %s', k.oid), k.xmin
  from pg_catalog.pg_constraint k
  where k.conrelid in (select t.oid from tables t)
    or k.contypid in (select a.atttypid from pg_catalog.pg_attribute a join tables t on t.oid = a.attrelid)
  union all
  select format('index %s', i.indexrelid), i.xmin from pg_catalog.pg_index i join tables t on t.oid = i.indrelid
  union all
  select format('policy %s', y.oid), y.xmin from pg_catalog.pg_policy y join tables t on t.oid = y.polrelid
  union all
  select format('type %s', y.oid), y.xmin
  from pg_catalog.pg_type y
  where y.typtype in ('d', 'e') and y.oid in (select a.atttypid from pg_catalog.pg_attribute a join tables t on t.oid = a.attrelid)
  union all
  -- whatever else functions name
  select format('sequence %s', c.oid), c.xmin
  from pg_catalog.pg_class c
  join schemas s on s.oid = c.relnamespace
  where c.relkind = 'S'
  union all
  select format('schema %s', n.oid), n.xmin
  from pg_catalog.pg_namespace n
  where n.oid in (select s.oid from schemas s) or n.nspname in ('extensions', 'net')
  union all
  select format('extension %s', e.oid), e.xmin from pg_catalog.pg_extension e
  union all
  select format('setting %s %s', d.setrole, d.setdatabase), d.xmin
  from pg_catalog.pg_db_role_setting d
  where d.setrole in (select u.relowner from users u union select 0)
    and d.setdatabase in (0, (select b.oid from pg_catalog.pg_database b where b.datname = current_database()))
  union all
  select format('member %s %s', m.roleid, m.member), m.xmin from pg_catalog.pg_auth_members m join roles r on r.oid = m.member
),
path as materialized (
  select
    md5(string_agg(concat_ws(' ', p.part, p.written_by::text), ',' order by p.part) || (
      select string_agg(concat_ws(' ', r.rolname, r.rolsuper, r.rolbypassrls, r.rolinherit), ',' order by r.rolname)
      from pg_catalog.pg_roles r join roles o on o.oid = r.oid)) as id,
    min(age(p.written_by)) as changed_transactions_ago
  from parts p
),
kept as materialized (
  select h.checked_at, h.counts -> 'evidence' as evidence
  from (
    (select * from rollcall.check_history('health', now() - interval '7 days') x where x.counts ? 'evidence' and x.checked_at <= now() limit 1)
    union all
    (select * from rollcall.check_history('recent', now() - interval '1 day') x where x.counts ? 'evidence' and x.checked_at <= now() limit 1)
  ) h
  order by h.checked_at desc
  limit 1
)
select
  now() as check_time, p.id as path, k.evidence,
  s.newest as newest_signup, s.newest_on_this_path, s.on_this_path,
  case
    when not pg_is_in_recovery() then null
    when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() and exists (select from pg_catalog.pg_stat_get_wal_receiver() w where w.pid is not null) then 0
    -- one that was restarted and has nothing to replay is as old as what it began with
    else extract(epoch from clock_timestamp() - coalesce(pg_last_xact_replay_timestamp(), (select c.checkpoint_time from pg_control_checkpoint() c)))
  end::float8 as replica_age
from path p
left join kept k on true
cross join lateral (
  select
    max(n.signed_up_at) as newest,
    -- written later than the newest part of the path
    max(n.signed_up_at) filter (where y.is_on_this_path) as newest_on_this_path,
    coalesce(array_agg(n.user_id) filter (where y.is_on_this_path), '{}') as on_this_path
  from rollcall.newest_with_profile() n
  cross join lateral (select n.is_of_signup and n.transactions_ago < p.changed_transactions_ago as is_on_this_path) y
  -- evidence that is fresh needs no other, and the newest of many users take a while to find
  where not exists (
    select
    from kept k join path q on k.evidence ->> 'path' = q.id
    where k.evidence ->> 'proved_at' > to_char(now() at time zone 'utc' - interval '50 minutes', 'YYYY-MM-DD"T"HH24:MI:SS')
      and k.evidence ->> 'probed_at' is not null)
) s
