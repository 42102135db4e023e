-- Anonymous, phone and wallet users have no e-mail address, e-mail users no phone number, and metadata holds what the
-- client sent; nobody is signed in yet. A function that copies such a value into a column that must have one works for
-- the kind it was tried with.
select
  case when bool_or(u.is_in_use) then min(u.severity) else 'info' end,
  format('the function %s copies a value that %s not have into %s, which must have one, %s', u.function_name,
    case when bool_or(u.value ~* '^auth') then 'a new user does' else 'some users do' end,
    string_agg(distinct format('column %s of %s', u.attname, u.object::regclass), ', '),
    case when bool_or(u.value ~* '^auth') then min(u.consequence)
      when min(u.consequence) like 'so users %' then 'so these have no profile' else 'so these cannot sign up' end),
  case when bool_or(u.value ~* '^auth') then 'Nobody is signed in during a signup. '
    else 'Users who sign up anonymously, by phone or by wallet have no e-mail address, by e-mail no phone number, and metadata is what the client sent. ' end
    || min(u.meaning) || ' The error is 23502 (not null).',
  array_agg(distinct format('column %s of %s is not null and gets %s', u.attname, u.object::regclass, replace(u.value, '[]', '()'))) || min(u.way),
  'If such users are to sign up, let the function give a value of its own: coalesce(value, …).',
  null
from (
  select e.*, n.object, a.attname, v.value,
    -- users without it are there; of metadata it is not known
    case when v.value ~* '^auth' then true when v.value ~* '^new\s*\.\s*email' then f.has_no_email when v.value ~* '^new\s*\.\s*phone' then f.has_no_phone end as is_in_use
  from examined e
  cross join facts f
  join path_trigger t on t.trigger_id = e.trigger_id
  join named n on n.function_id = e.function_id and n.path = e.path and n.command = 'insert into' and n.columns is not null
  join pg_catalog.pg_class c on c.oid = n.object
  -- a list of plain values, in which a comma separates two of them
  cross join lateral regexp_matches(
    e.text, '\minsert\s+into\s+(?:"?\w+"?\s*\.\s*)?"?' || regexp_replace(c.relname, '(\W)', '\\\1', 'g')
      || '"?\s*\([^()]*\)\s*values\s*\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)', 'gi') m
  cross join lateral (
    -- (value)::type is value; what a function is given is not looked at
    select btrim(x, E' \n\t\r') as value, position
    from regexp_split_to_table(
      regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(
        m[1], '(?<![\w"])\s*\(\s*(new\s*\.\s*\w+(?:\s*->>?\s*'''')?\s*)\)\s*::\s*[\w.]+', ' \1', 'gi'),
        -- what stands in brackets, from the innermost outwards
        '\[[^][]*\]', '[]', 'g'), '\([^()]*\)', '[]', 'g'), '\([^()]*\)', '[]', 'g'), '\([^()]*\)', '[]', 'g'), ','
    ) with ordinality s (x, position)
  ) v
  join pg_catalog.pg_attribute a on a.attrelid = n.object and a.attname = n.columns[v.position] and a.attnotnull and not a.attisdropped
  where v.value ~* '^new\s*\.\s*(email|phone)(\s*::\s*[\w.]+)?$|^new\s*\.\s*raw_(user|app)_meta_data\s*->>?\s*''''(\s*::\s*[\w.]+)?$|^auth\s*\.\s*(uid|email)\s*\[\](\s*::\s*[\w.]+)?$'
    and not t.is_conditional
    and e.text !~* '\mif\M[^;]*\m(is\s+null|is\s+not\s+null|is_anonymous)\M'
    and not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = n.object and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
) u
group by u.function_id, u.function_name
