-- DROP SCHEMA public and a reset by a migration tool take the usage of the schema away, from everyone.
create or replace function rollcall.doctor_signup_function_lacks_schema() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s runs as %s, which may not use the schema %s, so nobody can sign up', t.function_name, t.runs_as, s.nspname),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (42501, permission denied for schema), and keeps nothing of it.',
    array[format('%s lacks usage on schema %s', t.runs_as, s.nspname), format('trigger %s', t.trigger_name)],
    'Grant the usage of the schema.',
    format('grant usage on schema %I to %I;', s.nspname, t.runs_as)
  from rollcall.signup_triggers() t
  join lateral (
    select distinct c.relnamespace
    from rollcall.names_in_code(t.code, t.path) w
    join pg_catalog.pg_class c on c.oid = w.relation
    where w.kind = 'relation' and w.command <> 'select'
  ) n on true
  join pg_catalog.pg_namespace s on s.oid = n.relnamespace
  where t.is_enabled and not t.is_ours and not has_schema_privilege(t.runs_as, s.oid, 'usage')
$$;
comment on function rollcall.doctor_signup_function_lacks_schema() is
  'Check signup_function_lacks_schema: the role that a signup function runs as may not use the schema it writes to.';
