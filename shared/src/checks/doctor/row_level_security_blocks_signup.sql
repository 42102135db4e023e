-- Row level security binds a function's owner who neither owns the table nor bypasses it, and also the table's owner where
-- it is forced. No policy for people who are signed in helps: nobody is signed in during a signup.
select
  min(e.severity),
  format('row level security keeps the function %s, which runs as %s, from inserting into %s, %s',
    e.function_name, e.runs_as_name, c.oid::regclass, min(e.consequence)),
  min(e.meaning) || ' The error is 42501 (row-level security policy).',
  array[
    format('%s is owned by %s%s', c.oid::regclass, pg_catalog.pg_get_userbyid(c.relowner),
      case when c.relforcerowsecurity then ', and row level security is forced' else '' end),
    format('%s does not bypass row level security', e.runs_as_name)
  ] || min(e.way),
  case when o.can then 'Let the function run as its owner, which row level security does not bind.'
    else 'Give the function (security definer) to a role that row level security does not bind: the owner of the table, or postgres on Supabase.'
  end,
  case when o.can then format('alter function %s security definer;', e.function_name) end
from examined e
join named n on n.function_id = e.function_id and n.path = e.path and n.command = 'insert into'
join pg_catalog.pg_class c on c.oid = n.meant and c.relrowsecurity
join pg_catalog.pg_roles r on r.oid = e.runs_as and not r.rolsuper and not r.rolbypassrls
cross join lateral (
  select not e.is_definer and e.own_path is not null and has_table_privilege(e.owner, c.oid, 'insert') and exists (
    select from pg_catalog.pg_roles w
    where w.oid = e.owner and (w.rolsuper or w.rolbypassrls or pg_has_role(w.oid, c.relowner, 'usage') and not c.relforcerowsecurity)) as can
) o
where (has_table_privilege(e.runs_as, c.oid, 'insert') or has_any_column_privilege(e.runs_as, c.oid, 'insert'))
  and (c.relforcerowsecurity or not pg_has_role(e.runs_as, c.relowner, 'usage'))
  -- of a policy whose condition can be anything, it is not known
  and not exists (
    select from pg_catalog.pg_policy y
    where y.polrelid = c.oid and y.polcmd in ('a', '*') and y.polpermissive
      and exists (select from unnest(y.polroles) m where case when m = 0 then true else pg_has_role(e.runs_as, m, 'usage') end)
      and coalesce(pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid), pg_catalog.pg_get_expr(y.polqual, y.polrelid), 'true')
        !~ '\m(auth\.)?(uid|jwt|role)\(|request\.jwt'
  )
group by e.function_id, e.function_name, e.runs_as_name, c.oid, c.relowner, c.relforcerowsecurity, o.can
