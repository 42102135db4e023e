-- A query that answers with one line for each table: the number of its rows and a checksum over their values, in no
-- particular order of rows. It reads all of them in one statement, and so at one moment.
select string_agg(
    format(
        'select concat_ws('' '', %L, count(*), md5(string_agg((t.*)::text, '''' order by (t.*)::text collate "C"))) as line from %s t',
        c.oid::regclass, c.oid::regclass),
    ' union all ') || ' order by line'
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname !~ '^(pg_|information_schema$)'
