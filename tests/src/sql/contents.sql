-- One line for each table with its rows' number and a checksum over their values, in no particular order of rows.
select format('%s %s', c.oid::regclass, (
  xpath('/row/c/text()', query_to_xml(format(
    'select concat_ws('' '', count(*), md5(string_agg(t::text, '''' order by t::text collate "C"))) as c from %s t', c.oid::regclass),
    false, true, ''))
)[1])
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname !~ '^(pg_|information_schema$)'
order by c.oid::regclass::text collate "C"
