-- "on conflict (email)" wants a unique index on just these columns; without one the insert fails, conflict or not.
select
  min(u.severity),
  format('the function %s says on conflict %s, for which %s has no unique index, %s', u.function_name, string_agg(distinct u.target, ', '),
    min(u.relation_name), min(u.consequence)),
  min(u.meaning) || ' The error is 42P10 or 42704.',
  array_agg(distinct format('%s has no unique index for on conflict %s', u.relation_name, u.target)) || min(u.way),
  'Name the columns of an index that there is, or leave the columns out: on conflict do nothing.',
  null
from (
  select e.*, n.object::regclass::text as relation_name,
    case when m[2] is not null then 'on constraint ' || m[2] else format('(%s)', btrim(m[1])) end as target
  from examined e
  join named n on n.function_id = e.function_id and n.path = e.path and n.command = 'insert into'
  join pg_catalog.pg_class c on c.oid = n.object and c.relkind in ('r', 'p')
  cross join lateral regexp_matches(
    e.text, '\minsert\s+into\s+(?:(?:"[^"]+"|\w+)\s*\.\s*)?"?' || regexp_replace(c.relname, '(\W)', '\\\1', 'g')
      || '"?(?!\w)[^;]*\mon\s+conflict\s*(?:\(([^()]*)\)(?!\s*where\M)|on\s+constraint\s+("[^"]+"|\w+))', 'gi') m
  where case
    when m[2] is not null then not exists (
      select from pg_catalog.pg_constraint k
      where k.conrelid = c.oid and k.conname = case when m[2] like '"%' then btrim(m[2], '"') else lower(m[2]) end)
    when m[1] ~ '^\s*("[^"]+"|\w+)\s*(,\s*("[^"]+"|\w+)\s*)*$' then not exists (
      select
      from pg_catalog.pg_index i
      where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indpred is null and i.indexprs is null
        and (
          select array_agg(a.attname::text order by a.attname::text collate "C")
          from unnest(trim_array(i.indkey::smallint[], i.indnatts - i.indnkeyatts)) k
          join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k
        ) = (
          select array_agg(x.name order by x.name collate "C")
          from (
            select case when y like '%"%' then btrim(y, E' \n\t\r"') else lower(btrim(y, E' \n\t\r')) end as name
            from unnest(string_to_array(m[1], ',')) y
          ) x
        ))
    else false
  end
) u
group by u.function_id, u.function_name
