-- The definition fills a column that must have a value from one that some users do not have: e-mail, phone, a key of the
-- metadata.
select
  case
    when array_agg(p.kind) = '{odd_metadata}' then case when s.is_by_definition then 'warning' else 'info' end
    when s.is_by_definition then 'critical' else 'warning'
  end,
  format(
    case when s.is_by_definition then 'users of some kinds get no profile' else 'a repair by the definition cannot make the profiles of some kinds of users' end
    || ': it gives %s no value, and the table requires one', a.attname),
  case when s.is_by_definition then 'Without a profile stay: ' else 'Signups go on as they do. A repair fails for: ' end || string_agg(p.kind, ', ') || '.',
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
group by a.attname, s.is_by_definition
