-- PostgreSQL computes a generated column itself, and refuses an insert that gives it a value.
select
  min(e.severity),
  format('the function %s gives a value to %s, which PostgreSQL computes itself, %s', e.function_name,
    string_agg(distinct format('column %s of %s', a.attname, n.object::regclass), ', '), min(e.consequence)),
  min(e.meaning) || ' The error is 428C9 (generated always).',
  array_agg(distinct format('column %s of %s is generated always', a.attname, n.object::regclass)) || min(e.way),
  'Leave the column out of the insert.',
  null
from examined e
join named n on n.function_id = e.function_id and n.path = e.path and n.command = 'insert into'
join pg_catalog.pg_attribute a on a.attrelid = n.object and a.attname::text = any (n.columns) and (a.attgenerated <> '' or a.attidentity = 'a')
where e.text !~* '\moverriding\s+system\M|\mdefault\s*[,)]'
group by e.function_id, e.function_name
