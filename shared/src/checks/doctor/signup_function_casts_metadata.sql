-- What a client sends as metadata is anything. A cast to an enum, a uuid or a number fails on what does not fit, and takes
-- the signup with it.
select
  'info',
  format('the function %s casts metadata of the user to %s, which fails on what does not fit', e.function_name, string_agg(distinct m.type_name, ', ')),
  'Users whose app sends another value than the cast expects (an old label, an empty text) cannot sign up: "Database error saving new user". The error is 22P02.',
  array_agg(distinct 'cast to ' || m.type_name) || min(e.way),
  'Compare with a list of allowed values before the cast, and fall back to a default.',
  null
from examined e
cross join lateral (
  select lower(coalesce(found[1], found[2])) as type_name
  from regexp_matches(
    e.text,
    'raw_user_meta_data\s*->>?\s*''''\s*\)*\s*(?:,\s*''''\s*\)\s*)*::\s*((?:\w+\.)?\w+)|\mcast\s*\([^;]*?raw_user_meta_data\s*->>?\s*''''[^;]*?\mas\s+((?:\w+\.)?\w+)', 'gi') found
) m
where e.what = 'fails'
  and m.type_name !~ '^(pg_catalog\.)?(text|varchar|character|bpchar|citext|json|jsonb|name)$'
  -- compared first
  and e.text !~* 'raw_user_meta_data\s*->>?\s*''''\s*\)?\s*(~|=\s*any|\min\M|\msimilar\M)|\mpg_input_is_valid\M'
group by e.function_id, e.function_name
