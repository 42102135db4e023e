-- The definition fills a column that must have a value from one that some users do not have: e-mail, phone, a key of the
-- metadata.
create or replace function rollcall.doctor_definition_gives_null() returns setof rollcall.doctor_finding
language sql volatile set search_path = '' as $$
  select
    case when rollcall.signup_trigger_state() = 'foreign' then 'warning' else 'critical' end,
    format('users of some kinds get no profile: rollcall.expected_profile gives %s no value, and the table requires one', a.attname),
    'Without a profile stay: ' || string_agg(s.kind, ', ') || '.',
    array_agg(format('%s: column %s', s.kind, a.attname)),
    'Let the column be null, or give it a value of its own in the view: coalesce(u.email, ...). Or leave these users out by the where of the view.',
    format('alter table %s alter column %I drop not null;', rollcall.profile_table(), a.attname)
  from rollcall.sample_profiles() s
  join pg_catalog.pg_attribute a
    on a.attrelid = rollcall.profile_table() and a.attnotnull and a.attnum > 0 and not a.attisdropped
  where s.profile ? a.attname and s.profile -> a.attname = 'null'
    -- a trigger of the application may fill it before it is looked at
    and not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = a.attrelid and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
  group by a.attname, a.attnum
  order by a.attnum
$$;
comment on function rollcall.doctor_definition_gives_null() is
  'Check definition_gives_null: for some kind of user the definition gives null to a column that must have a value.';
