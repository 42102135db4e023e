-- "exception when others then return new" lets the signup through, which is right, and forgets why there is no profile.
create or replace function rollcall.doctor_signup_function_hides_errors() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    format('the function %s hides every error', t.function_name),
    'When the profile cannot be made, the user signs up without one, and neither Supabase Auth''s logs nor an event says why.',
    array['exception when others, and no error is raised again', format('trigger %s', t.trigger_name)],
    'Keep the error''s SQLSTATE where you look for it, or let it through. Rollcall''s function keeps both: the signup, and an event with the reason.',
    format('create or replace trigger %I after insert on auth.users for each row execute function rollcall.on_signup();', t.trigger_name)
  from rollcall.signup_triggers() t
  cross join lateral (select substring(t.code from '(?i)\mexception\s+when\s+others\M.*') as handler) h
  where t.is_enabled and not t.is_ours and t.makes_profiles
    and h.handler !~* '\mraise\s*(;|exception|sqlstate|using|'''')|\minsert\s+into\M|\mperform\M'
$$;
comment on function rollcall.doctor_signup_function_hides_errors() is
  'Check signup_function_hides_errors: a function of the application that makes profiles catches everything and keeps nothing.';
