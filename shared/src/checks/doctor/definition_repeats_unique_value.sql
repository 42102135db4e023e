-- The definition gives users without a value all the same one (an empty text), into a column that must be unique: the
-- first of them gets a profile, and nobody after.
select
  s.severity,
  format('%s: it gives several of them the same value for %s, which must be unique', s.some_fail, i.attname),
  'Of these kinds only the first user gets a profile from the definition: ' || string_agg(distinct v.kind, ', ') || '.',
  array_agg(distinct format('unique index %s', i.index_name)),
  'Give null where there is no value, which is never the same: nullif(…, '''') in the definition.',
  null
from trigger_state s
cross join (
  select x.indexrelid::regclass as index_name, a.attname
  from place l
  join pg_catalog.pg_index x on x.indrelid = l.target and x.indisunique and x.indnkeyatts = 1 and x.indpred is null and x.indexprs is null
  join pg_catalog.pg_attribute a on a.attrelid = x.indrelid and a.attnum = x.indkey[0] and a.attname <> l.key_column
) i
join (
  select p.kind, e.key, e.value, count(*) over (partition by e.key, e.value) as times
  from sample p cross join lateral jsonb_each(p.profile) e
  where p.kind <> 'odd_metadata' and e.value <> 'null'
) v on v.key = i.attname::text and v.times > 1
group by i.attname, s.severity, s.some_fail
