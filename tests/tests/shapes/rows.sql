-- A query that answers with one line for each row of the application's tables, without what differs between two projects
-- that did the same: ids made at random (those of users are fixed), times, and a column that the application fills at
-- random.
select coalesce(
  string_agg(
    format(
      $query$
        select %L || ' ' || regexp_replace(regexp_replace((to_jsonb(t.*) - %L::text[])::text,
          '(?!00000000-0000-4000-)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<uuid>', 'g'),
          '\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d)?', '<time>', 'g') as line
        from %s t
      $query$,
      c.oid::regclass,
      array(select split_part(r.path, '/', 2) from unnest(string_to_array('RANDOM', ',')) r (path)
        where to_regclass(split_part(r.path, '/', 1)) = c.oid),
      c.oid::regclass),
    ' union all ') || ' order by 1',
  'select ''''::text where false')
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname not in ('auth', 'rollcall') and n.nspname !~ '^(pg_|information_schema$)'
