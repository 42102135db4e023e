-- The definition fills a column that must have a value from one that some users do not have: e-mail, phone, a key of the
-- metadata.
select
  case when array_agg(p.kind) = '{odd_metadata}' then s.severity_of_odd else s.severity end,
  format('%s: it gives %s no value, and the table requires one', s.some_fail, a.attname),
  s.who_fails || string_agg(p.kind, ', ') || '.',
  array_agg(format('%s: column %s', p.kind, a.attname)),
  'Give the column a value of its own in the definition: coalesce(u.email, …). Or leave these users out by its where.',
  null
from sample p
cross join facts f
cross join trigger_state s
join pg_catalog.pg_attribute a on a.attrelid = f.target and a.attnotnull and a.attnum > 0 and not a.attisdropped
where p.profile -> a.attname::text = 'null'
  -- a trigger may fill it before it is looked at
  and not exists (
    select from pg_catalog.pg_trigger g
    where g.tgrelid = a.attrelid and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
group by a.attname, s.severity, s.severity_of_odd, s.some_fail, s.who_fails
