-- Without "security definer" a trigger function runs as supabase_auth_admin, which has no rights in the application's
-- schemas. For postgres, who tries it by hand, it works.
select
  min(k.severity),
  format('the function %s runs as %s, which lacks rights to %s, %s',
    k.function_name, k.runs_as_name, string_agg(distinct k.thing, ', '), min(k.consequence)),
  min(k.meaning) || ' The error is 42501 (permission denied).',
  array_agg(distinct format('%s lacks %s on %s', k.runs_as_name, k.needed, k.thing)) || min(k.way),
  'Let the function run as its owner.',
  case when bool_and(k.owner_has_it) then
    format('alter function %s security definer%s;', k.function_name,
      -- as its owner it must not look for names where anybody may put some; where it looks now, it still looks first
      case when k.own_path is null then ' set search_path = ' || (
        select string_agg(quote_ident(s.schema), ', ' order by s.position)
        from unnest(k.path || array(
          select case when 'public' = any (n.elsewhere) then 'public' else n.elsewhere[1] end
          from named n where n.function_id = k.function_id and n.path = k.path and n.elsewhere is not null
          group by 1
        )::name[] || 'pg_temp'::name) with ordinality s (schema, position)
      ) else '' end)
  end
from lacking k
cross join place l
where not k.is_definer and k.runs_as = l.auth_role
group by k.function_id, k.function_name, k.runs_as_name, k.own_path, k.path
