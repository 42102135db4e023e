-- What a client sends as metadata is anything. A cast to an enum, a uuid or a number fails on what does not fit, and takes
-- the signup with it.
create or replace function rollcall.doctor_signup_function_casts_metadata() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    format('the function %s casts metadata of the user to %s, which fails on what does not fit', t.function_name, string_agg(distinct m.type_name, ', ')),
    'Whose app sends another value than the cast expects (an old label, an empty text) cannot sign up: "Database error saving new user" (22P02).',
    array_agg(distinct 'cast to ' || m.type_name) || format('trigger %s', t.trigger_name),
    'Compare with a list of allowed values before the cast, and fall back to a default. Or, if it only makes the profile, let Rollcall''s take its place.',
    format('create or replace trigger %I after insert on auth.users for each row execute function rollcall.on_signup();', t.trigger_name)
  from rollcall.signup_triggers() t
  cross join lateral (
    select lower(coalesce(found[1], found[2])) as type_name
    from regexp_matches(
      t.code,
      'raw_user_meta_data\s*->>?\s*''''\s*\)*\s*(?:,\s*''''\s*\)\s*)*::\s*((?:\w+\.)?\w+)|\mcast\s*\([^;]*?raw_user_meta_data\s*->>?\s*''''[^;]*?\mas\s+((?:\w+\.)?\w+)', 'gi') found
  ) m
  where t.is_enabled and not t.is_ours
    and m.type_name !~ '^(pg_catalog\.)?(text|varchar|character|bpchar|citext|json|jsonb|name)$'
    and t.code !~* '\mexception\s+when\M'
  group by t.function_id, t.function_name, t.trigger_name
$$;
comment on function rollcall.doctor_signup_function_casts_metadata() is
  'Check signup_function_casts_metadata: a signup function casts raw_user_meta_data to a type that not every text fits.';
