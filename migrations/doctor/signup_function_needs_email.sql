-- Anonymous, phone and wallet users have no e-mail address, e-mail users no phone number, and metadata holds what the
-- client sent. A function that copies such a value into a column that must have one works for the kind it was tried with.
create or replace function rollcall.doctor_signup_function_needs_email() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s copies a value that some users do not have into %s, which must have one, so these cannot sign up',
      t.function_name, string_agg(distinct format('column %s of %s', n.attname, n.relation), ', ')),
    'Who signs up anonymously, by phone or by wallet has no e-mail address, by e-mail no phone number: Supabase Auth answers "Database error saving new user" to them (23502, not null), and keeps nothing of it. Others get their profile.',
    array_agg(distinct format('column %s of %s is not null and gets %s', n.attname, n.relation, n.value)) || format('trigger %s', t.trigger_name),
    'Let the column be null, or let the function give a value of its own with coalesce.',
    string_agg(distinct format('alter table %s alter column %I drop not null;', n.relation, n.attname), ' ')
  from rollcall.signup_triggers() t
  join lateral (
    select w.relation, a.attname, v.value
    from rollcall.names_in_code(t.code, t.path) w
    -- a list of plain values, in which a comma separates two of them
    cross join lateral regexp_matches(
      t.code, '\minsert\s+into\s+(?:"?\w+"?\s*\.\s*)?"?' || (select c.relname from pg_catalog.pg_class c where c.oid = w.relation) || '"?\s*\([^()]*\)\s*values\s*\(((?:[^()]|\([^()]*\))*)\)', 'gi') m
    cross join lateral (
      select btrim(x, E' \n\t\r') as value, position
      from regexp_split_to_table(regexp_replace(m[1], '\([^()]*\)', '()', 'g'), ',') with ordinality as s (x, position)
    ) v
    join pg_catalog.pg_attribute a on a.attrelid = w.relation and a.attname = w.columns[v.position] and a.attnotnull and not a.attisdropped
    where w.kind = 'relation' and w.command = 'insert into' and w.columns is not null
      and v.value ~* '^new\s*\.\s*(email|phone)(\s*::\s*\w+)?$|^new\s*\.\s*raw_(user|app)_meta_data\s*->>?\s*''''(\s*::\s*\w+)?$'
      and not exists (
        select from pg_catalog.pg_trigger g
        where g.tgrelid = w.relation and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
  ) n on true
  where t.is_enabled and not t.is_ours and not t.is_conditional
  group by t.function_id, t.function_name, t.trigger_name
$$;
comment on function rollcall.doctor_signup_function_needs_email() is
  'Check signup_function_needs_email: a signup function copies e-mail, phone or metadata, which may be null, into a column that may not.';
