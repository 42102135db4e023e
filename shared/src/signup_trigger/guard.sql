-- $1 the function. Why it may not be guarded, with a hint; else what a guard would make of it: its body in a block that
-- catches its errors, keeps them, and lets the signup through.
with recursive f as materialized (
  select
    p.oid, p.oid::regprocedure::text as name, p.prosrc, p.prosecdef as is_definer, pg_get_functiondef(p.oid) as definition,
    p.prosrc like '%rollcall guard%' as is_guarded,
    (select l.lanname from pg_language l where l.oid = p.prolang) = 'plpgsql' and exists (
      select from pg_trigger t
      where t.tgfoid = p.oid and t.tgrelid = to_regclass('auth.users') and t.tgtype::integer & 7 = 5  -- for each row, after, insert
    ) as is_fitting,
    exists (select from pg_trigger t where t.tgfoid = p.oid and t.tgtype::integer & 66 <> 0) as is_also_before,
    E'begin -- rollcall guard, taken off by: rollcall trigger unguard\n'
    || regexp_replace(btrim(p.prosrc, E' \t\r\n'), ';?$', E';\n')
    || E'exception when others or query_canceled or assert_failure then\n'
    || E'  begin\n'
    || E'    perform rollcall.log_guarded_failure(new.id, sqlstate);\n'
    || E'  exception when others or query_canceled or assert_failure then null;\n'
    || E'  end;\n'
    || E'  return new;\nend\n' as body
  from pg_proc p
  where p.oid = $1::regprocedure
),
-- what it calls, and what fires on the tables that it names
code (id, source) as (
  select f.oid, f.prosrc from f
  union
  select p.oid, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
  from code
  join pg_proc p on p.pronamespace = any ((select rollcall.application_schemas())::oid[])
    and (
      strpos(lower(code.source), lower(p.proname)) > 0
      or exists (
        select from pg_trigger g join pg_class c on c.oid = g.tgrelid
        where g.tgfoid = p.oid and c.relnamespace = any ((select rollcall.application_schemas())::oid[]) and strpos(lower(code.source), lower(c.relname)) > 0)
    )
),
refusing as (
  select string_agg(code.id::regprocedure::text, ', ') as names
  from code
  where regexp_replace(regexp_replace(code.source, '--[^\n]*', '', 'g'), '/\*.*?\*/', '', 'g')
    ~* '\mraise\M(?!\s+(debug|log|info|notice|warning)\M)|\massert\M|\minto\s+strict\M'
)
select
  f.name, f.is_guarded, f.body, f.definition as original, replace(f.definition, f.prosrc, f.body) as guarded,
  case
    when f.is_guarded then null
    when not f.is_fitting then f.name || ' is no PL/pgSQL function of an after-insert trigger on auth.users'
    when f.is_also_before then f.name || ' is also run before a row is written, where its result decides what becomes of the row'
    when not f.is_definer then f.name || ' runs as Supabase Auth''s role, which may not keep the failure'
    when refusing.names is not null then 'signups are refused on purpose in ' || refusing.names || ', and a guard would let through those that it keeps out'
  end as obstacle,
  case
    when not f.is_fitting then 'List them: rollcall trigger status.'
    when f.is_also_before then 'Give the triggers a function each.'
    when not f.is_definer then 'Make it security definer with a search_path of its own; a guard can follow.'
    else 'Put what may fail into a block of its own inside the function, with an exception handler.'
  end as hint
from f cross join refusing
