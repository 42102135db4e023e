-- Who keeps others from reading or changing a table: holders of its strong locks, and those who wait for one, since everybody
-- else waits behind them. Numbers and names from the catalog; where the role may not see how long, that is null.
select pg_catalog.format('%I.%I', n.nspname, c.relname) as table_name, l.granted as is_granted, l.pid,
  a.usename::text as role_name, a.xact_start as begun_at
from pg_catalog.pg_locks l
join pg_catalog.pg_database d on d.oid = l.database and d.datname = pg_catalog.current_database()
join pg_catalog.pg_class c on c.oid = l.relation and c.relkind in ('r', 'p')
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname not in ('pg_catalog', 'pg_toast', 'rollcall')
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.mode in ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')
  and l.pid is distinct from pg_catalog.pg_backend_pid()
order by l.granted desc, a.xact_start, table_name
limit 3
