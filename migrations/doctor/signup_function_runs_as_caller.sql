-- Without "security definer" a trigger function runs as supabase_auth_admin, which has no rights in the application's
-- schemas. For postgres, who tries it by hand, it works.
create or replace function rollcall.doctor_signup_function_runs_as_caller() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s runs as %s, which may not write to %s, so nobody can sign up',
      t.function_name, t.runs_as, string_agg(distinct n.relation::text, ', ')),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (42501, permission denied), and keeps nothing of it.',
    array_agg(distinct format('%s lacks %s on %s', t.runs_as, n.needed, n.relation)) || format('trigger %s', t.trigger_name),
    'Let the function run as its owner.',
    format('alter function %s security definer%s;', t.function_name,
      -- as its owner it must not look for names where anybody may put some
      case when not exists (select from pg_catalog.pg_proc p cross join unnest(p.proconfig) c where p.oid = t.function_id and c like 'search\_path=%')
        then ' set search_path = pg_catalog, public, extensions, pg_temp' else '' end)
  from rollcall.signup_triggers() t
  join lateral (
    select w.relation, case w.command when 'insert into' then 'insert' when 'delete from' then 'delete' when 'merge into' then 'insert' else 'update' end as needed
    from rollcall.names_in_code(
      t.code,
      -- what it would write to, wherever it looks
      case when 'public' = any (t.path) then t.path else t.path || 'public'::name end
    ) w
    where w.kind = 'relation' and w.command <> 'select' and w.relation is not null
  ) n on not has_table_privilege(t.runs_as, n.relation, n.needed)
    and not (n.needed in ('insert', 'update') and has_any_column_privilege(t.runs_as, n.relation, n.needed))
  where t.is_enabled and not t.is_definer
  group by t.function_id, t.function_name, t.trigger_name, t.runs_as
$$;
comment on function rollcall.doctor_signup_function_runs_as_caller() is
  'Check signup_function_runs_as_caller: a signup function without security definer writes where supabase_auth_admin may not.';
