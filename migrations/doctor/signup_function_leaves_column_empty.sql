-- A column became mandatory after the function was written.
create or replace function rollcall.doctor_signup_function_leaves_column_empty() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s gives no value for %s, which must have one, so nobody can sign up', t.function_name, string_agg(distinct n.thing, ', ')),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (23502, not null), and keeps nothing of it.',
    array_agg(distinct n.thing || ' is not null and has no default') || format('trigger %s', t.trigger_name),
    'Give the column a default, let it be null, or let the function fill it.',
    string_agg(distinct format('alter table %s alter column %I drop not null;', n.relation, n.attname), ' ')
  from rollcall.signup_triggers() t
  join lateral (
    select w.relation, a.attname, format('column %s of %s', a.attname, w.relation) as thing
    from rollcall.names_in_code(t.code, t.path) w
    join pg_catalog.pg_attribute a on a.attrelid = w.relation and a.attnum > 0 and not a.attisdropped
    join pg_catalog.pg_type d on d.oid = a.atttypid
    where w.kind = 'relation' and w.command = 'insert into' and w.columns is not null
      and a.attnotnull and not a.atthasdef and d.typdefault is null and a.attidentity = '' and a.attgenerated = ''
      and a.attname <> all (w.columns)
      -- a trigger may fill it before it is looked at
      and not exists (
        select from pg_catalog.pg_trigger g
        where g.tgrelid = w.relation and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
  ) n on true
  where t.is_enabled and not t.is_ours
  group by t.function_id, t.function_name, t.trigger_name
$$;
comment on function rollcall.doctor_signup_function_leaves_column_empty() is
  'Check signup_function_leaves_column_empty: a signup function inserts without a column that must have a value.';
