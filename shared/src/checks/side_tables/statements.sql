-- One statement for each of these tables, if it is a table of the application's with that column: how many users with a profile
-- have no row there. $1: tables, $2: columns, $3: since when the signup path is as it is, $4: users who signed up on it.
select
  c.oid::pg_catalog.regclass::text as name,
  format(
    'with person as materialized (
       select e._user_id, e._signed_up_at,
         exists (select from %s t where t.%I = e._user_id::text::%s) as has_row,
         e._signed_up_at > %L::timestamptz or e._user_id = any (%L::uuid[]) as is_on_this_path
       from (%s) e
       where exists (select from (%s) a where a._user_id = e._user_id)
     )
     select count(*) as users, max(p._signed_up_at) as newest,
       -- where rows go again (a queue), those who have one are the newest
       coalesce(bool_or(p.is_on_this_path and exists (
         select from person o where o.has_row and o.is_on_this_path and o._signed_up_at < p._signed_up_at)), false) as is_since
     from person p
     where not p.has_row',
    c.oid::pg_catalog.regclass, a.attname, format_type(rollcall.base_type(a.atttypid), null), $3::text, $4::uuid[]::text, s.query, s.actual_query) as statement
from unnest($1::text[], $2::text[]) x (name, column_name)
join pg_catalog.pg_class c on c.oid = to_regclass(x.name) and c.relkind in ('r', 'p')
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname !~ '^(pg_.*|information_schema|auth|rollcall)$'
join pg_catalog.pg_attribute a on a.attrelid = c.oid and quote_ident(a.attname) = x.column_name and a.attnum > 0 and not a.attisdropped
cross join rollcall.require_definition() s
order by 1
