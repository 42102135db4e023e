-- The functions that a signup can come to: the application's, and every function of a trigger, with the text of the latter.
routine as materialized (
  select
    p.oid as function_id, p.oid::pg_catalog.regprocedure::text as signature, n.nspname as schema, p.proname as name, p.proowner as owner,
    p.prosecdef as is_definer, kind.is_trigger_function, l.lanname as language, own.path as own_path,
    kind.is_ours,
    -- in a language that says what it does, and nobody else's
    l.lanname in ('plpgsql', 'sql') and not kind.is_ours and n.nspname !~
      '^(pg_.*|information_schema|auth|extensions|graphql|net|realtime|rollcall|storage|supabase_functions|vault)$' as is_readable,
    case when kind.is_trigger_function then coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) collate "C" end as body
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  join pg_catalog.pg_language l on l.oid = p.prolang
  left join pg_catalog.pg_description d
    on d.objoid = p.oid and d.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objsubid = 0
  cross join lateral (
    select
      p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype as is_trigger_function,
      -- "create or replace" keeps the comment of what it replaces
      coalesce(d.description like 'Rollcall: %' and strpos(p.prosrc, case when p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype
        then 'from rollcall.settings x;' else 'rollcall.' end) > 0, false) as is_ours
  ) kind
  cross join lateral (
    select (
      select array_agg(btrim(s.schema, ' "')::name order by s.position)
      from unnest(p.proconfig) c
      cross join lateral unnest(string_to_array(substr(c, length('search_path=') + 1), ',')) with ordinality s (schema, position)
      where c like 'search\_path=%'
    ) as path
  ) own
  where kind.is_trigger_function
    or n.nspname !~ '^(pg_.*|information_schema|rollcall)$'
    and not exists (
      select from pg_catalog.pg_depend e
      where e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and e.objid = p.oid and e.deptype = 'e')
)
