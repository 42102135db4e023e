-- Supabase Auth's search_path is auth. A function that names its tables, types or functions without a schema finds them
-- when a person tries it, and not when somebody signs up. One that names everything in full needs no search_path.
select
  min(e.severity),
  format('the function %s looks for %s where it is not, %s', e.function_name, string_agg(distinct n.written, ', '), min(e.consequence)),
  min(e.meaning) || ' The error is 42P01, 42704 or 42883 (does not exist).',
  array_agg(distinct format('%s %s is in the schema %s', n.kind, n.written, array_to_string(n.elsewhere, ' or ')))
    || format('it looks in: %s', array_to_string(e.path, ', ')) || min(e.way),
  'Set the search_path of the function, or name everything with its schema.',
  case when bool_and(cardinality(n.elsewhere) = 1 or 'public' = any (n.elsewhere)) then
    format('alter function %s set search_path = %s, pg_temp;', e.function_name, (
      select string_agg(quote_ident(s.schema), ', ' order by s.position)
      from (
        -- where it looks now, it still looks first
        select s.schema::text, s.position from unnest(e.path) with ordinality s (schema, position)
        union all
        select x.schema, 1000 + row_number() over (order by x.schema)
        from (select distinct y as schema from unnest(array_agg(case when 'public' = any (n.elsewhere) then 'public' else n.elsewhere[1] end)) y) x
      ) s))
  end
from examined e
join named n on n.function_id = e.function_id and n.path = e.path and n.elsewhere is not null
group by e.function_id, e.function_name, e.path
