-- A table or column was renamed or dropped, and the function still has the old name: PostgreSQL reads the text of a
-- function when it runs.
create or replace function rollcall.doctor_signup_function_names_unknown_object() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s writes to %s, which does not exist, so nobody can sign up', t.function_name, string_agg(distinct n.thing, ', ')),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (42P01 or 42703, does not exist), and keeps nothing of it.',
    array_agg(distinct n.thing || ' does not exist') || format('trigger %s', t.trigger_name),
    'Let the function use the names that there are now. Or, if it only makes the profile, let Rollcall''s take its place.',
    case when to_regprocedure('rollcall.on_signup()') is not null then
      format('create or replace trigger %I after insert on auth.users for each row execute function rollcall.on_signup();', t.trigger_name)
    end
  from rollcall.signup_triggers() t
  join lateral (
    select 'table ' || w.name_as_written as thing
    from rollcall.names_in_code(t.code, t.path) w
    where w.kind = 'relation' and w.command <> 'select' and w.relation is null and w.found_elsewhere is null
      -- made by the function itself
      and t.code !~* '\mcreate\s+(temp|temporary|table)\M'
    union all
    select format('column %s of %s', c.name, w.relation)
    from rollcall.names_in_code(t.code, t.path) w
    cross join unnest(w.columns) c (name)
    where w.kind = 'relation' and w.command = 'insert into' and w.relation is not null and c.name ~ '^\w+$'
      and not exists (
        select from pg_catalog.pg_attribute a where a.attrelid = w.relation and a.attname = c.name and a.attnum > 0 and not a.attisdropped)
  ) n on true
  where t.is_enabled and not t.is_ours
  group by t.function_id, t.function_name, t.trigger_name
$$;
comment on function rollcall.doctor_signup_function_names_unknown_object() is
  'Check signup_function_names_unknown_object: a signup function writes to a table or column that is not there.';
