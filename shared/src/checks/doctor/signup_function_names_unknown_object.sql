-- A table, column, function or type was renamed or dropped, and the function still has the old name: PostgreSQL reads the
-- text of a function when it runs. Or the new row has no such field.
select
  min(u.severity),
  format('the function %s names what does not exist, %s: %s', u.function_name, min(u.consequence), string_agg(distinct u.thing, ', ')),
  min(u.meaning) || ' The error is 42P01, 42703, 42704, 42883 or 3F000 (does not exist).',
  array_agg(distinct u.thing || ' does not exist') || min(u.way),
  'Let the function use the names that there are now.',
  null
from (
  select e.*, 'table ' || n.written as thing
  from examined e
  join named n on n.function_id = e.function_id and n.path = e.path
  where n.kind = 'relation' and n.object is null and n.elsewhere is null
    -- "extract(epoch from new.created_at)"
    and (n.command <> 'select' or n.schema_id is not null)
    -- made by the function itself
    and e.text !~* '\mcreate\s+(temp|temporary|unlogged|table)\M'
  union all
  select e.*, n.kind || ' ' || n.written
  from examined e
  join named n on n.function_id = e.function_id and n.path = e.path
  where n.kind in ('function', 'type', 'sequence') and n.object is null and n.schema is not null
    -- numeric(10, 2)
    and not (n.kind = 'function' and exists (
      select from pg_catalog.pg_type y where y.typname = n.name and y.typnamespace = n.schema_id))
  union all
  select e.*, format('column %s of %s', c.name, n.object::regclass)
  from examined e
  join named n on n.function_id = e.function_id and n.path = e.path
  cross join unnest(n.columns) c (name)
  where n.command = 'insert into' and n.object is not null
    and not exists (
      select from pg_catalog.pg_attribute a where a.attrelid = n.object and a.attname = c.name and a.attnum > 0 and not a.attisdropped)
  union all
  select e.*, format('field %s of the new row of %s', field.name, e.relation::regclass)
  from examined e
  join pg_catalog.pg_trigger t on t.oid = coalesce(e.via, e.trigger_id) and t.tgfoid = e.function_id and t.tgtype::integer & 1 = 1
  cross join lateral (
    select distinct case when m[1] like '"%' then btrim(m[1], '"') else lower(m[1]) end as name
    from regexp_matches(e.text, '(?<![\w".])new\s*\.\s*("[^"]+"|[a-z_]\w*)', 'gi') m
  ) field
  where e.relation is not null
    and not exists (
      select from pg_catalog.pg_attribute a where a.attrelid = e.relation and a.attname = field.name and not a.attisdropped)
) u
-- one that looks first knows that it may not be there
where u.text !~* '\mto_reg\w+\s*\(|\mpg_(extension|proc|class|namespace|type)\M|\minformation_schema\M|\mwhen\s+(undefined_|invalid_schema_name)'
group by u.function_id, u.function_name
