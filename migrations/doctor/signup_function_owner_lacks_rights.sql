-- A function that runs as its owner needs its owner's rights: the owner was changed, or a table was made anew by another
-- role.
create or replace function rollcall.doctor_signup_function_owner_lacks_rights() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s runs as %s, which may not write to %s, so nobody can sign up',
      t.function_name, t.runs_as, string_agg(distinct n.relation::text, ', ')),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (42501, permission denied), and keeps nothing of it.',
    array_agg(distinct format('%s lacks %s on %s', t.runs_as, n.needed, n.relation)) || format('trigger %s', t.trigger_name),
    'Grant the right to the owner of the function, or give the function to the owner of the table.',
    string_agg(distinct format('grant %s on %s to %I;', n.needed, n.relation, t.runs_as), ' ')
  from rollcall.signup_triggers() t
  join lateral (
    select w.relation, case w.command when 'insert into' then 'insert' when 'delete from' then 'delete' when 'merge into' then 'insert' else 'update' end as needed
    from rollcall.names_in_code(t.code, t.path) w
    where w.kind = 'relation' and w.command <> 'select' and w.relation is not null
  ) n on not has_table_privilege(t.runs_as, n.relation, n.needed)
    and not (n.needed in ('insert', 'update') and has_any_column_privilege(t.runs_as, n.relation, n.needed))
  where t.is_enabled and t.is_definer and not t.is_ours
  group by t.function_id, t.function_name, t.trigger_name, t.runs_as
$$;
comment on function rollcall.doctor_signup_function_owner_lacks_rights() is
  'Check signup_function_owner_lacks_rights: the owner of a security definer signup function may not write where it writes.';
