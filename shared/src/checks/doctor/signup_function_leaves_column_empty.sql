-- A column became mandatory after the function was written.
select
  min(u.severity),
  format('the function %s gives no value for %s, which must have one, %s', u.function_name, string_agg(distinct u.thing, ', '), min(u.consequence)),
  min(u.meaning) || ' The error is 23502 (not null).',
  array_agg(distinct u.thing || u.reason) || min(u.way),
  'Let the function fill the column, or give the column a default that suits every new user.',
  null
from (
  select e.*, format('column %s of %s', a.attname, n.object::regclass) as thing,
    case when b.oid is null then ' is not null and has no default' else ' is not null, and its default is null while nobody is signed in' end as reason
  from examined e
  join named n on n.function_id = e.function_id and n.path = e.path and n.command = 'insert into' and n.columns is not null
  join pg_catalog.pg_attribute a on a.attrelid = n.object and a.attnum > 0 and not a.attisdropped and a.attname::text <> all (n.columns)
  join pg_catalog.pg_type d on d.oid = a.atttypid
  left join pg_catalog.pg_attrdef b on b.adrelid = a.attrelid and b.adnum = a.attnum
  where (a.attnotnull or d.typnotnull) and d.typdefault is null and a.attidentity = '' and a.attgenerated = ''
    and coalesce(pg_catalog.pg_get_expr(b.adbin, b.adrelid) ~ '^\(?(select )?auth\.(uid|email)\(\)', b.oid is null)
    -- a trigger may fill it before it is looked at
    and not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = n.object and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
) u
group by u.function_id, u.function_name
