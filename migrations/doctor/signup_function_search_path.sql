-- Supabase Auth's search_path is auth. A function that names its tables, types or functions without a schema finds them
-- when a person tries it, and not when somebody signs up. One that names everything in full needs no search_path.
create or replace function rollcall.doctor_signup_function_search_path() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s looks for %s where it is not, so nobody can sign up', t.function_name, string_agg(distinct n.name_as_written, ', ')),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (42P01, 42704 or 42883, does not exist), and keeps nothing of it.',
    array_agg(distinct format('%s %s is in the schema %s', n.kind, n.name_as_written, n.found_elsewhere))
      || format('it looks in: %s', array_to_string(t.path, ', ')) || format('trigger %s', t.trigger_name),
    'Set the search_path of the function, or name everything with its schema.',
    format(
      'alter function %s set search_path = %s, pg_temp;', t.function_name,
      (
        select string_agg(quote_ident(s), ', ' order by s <> 'pg_catalog', s)
        from (select unnest(t.path) union select unnest(array_agg(n.found_elsewhere))) x (s)
      )
    )
  from rollcall.signup_triggers() t
  join lateral (
    select w.kind, w.name_as_written, w.found_elsewhere from rollcall.names_in_code(t.code, t.path) w where w.found_elsewhere is not null
  ) n on true
  where t.is_enabled and not t.is_ours
  group by t.function_id, t.function_name, t.trigger_name, t.path
$$;
comment on function rollcall.doctor_signup_function_search_path() is
  'Check signup_function_search_path: a signup function names something without a schema that is out of its reach.';
