-- No trigger that a signup runs makes the profile: it was never created, or went with a restore, a branch or a function
-- that was dropped with cascade. Triggers of other teams may stand there, and make no profile.
create or replace function rollcall.doctor_signup_trigger_missing() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    case when exists (select from rollcall.signup_triggers())
      then 'auth.users has no trigger that makes profiles, so the next signup gets no profile'
      else 'auth.users has no trigger for signups, so the next signup gets no profile'
    end,
    'Everyone who signs up from now on is without a profile. Supabase Auth notices nothing, and neither do its logs.',
    array(
      select 'no trigger on auth.users makes profiles at an insert'
      union all
      select format('trigger %s runs %s, which inserts into no profile table', t.trigger_name, t.function_name)
      from rollcall.signup_triggers() t
      where not t.is_ours
      union all
      select format('function %s is there, and no trigger runs it', p.oid::regprocedure)
      from pg_catalog.pg_proc p
      where p.oid = to_regprocedure('public.handle_new_user()')
    ),
    'Run the migrations again: rollcall migrate --again. Then repair who was missed: rollcall backfill --apply.',
    case when to_regprocedure('rollcall.on_signup()') is not null then
      format(
        'create or replace trigger on_auth_user_created after insert on auth.users for each row execute function %s;',
        coalesce(
          (
            select p.oid::regproc || '()'
            from pg_catalog.pg_proc p
            where p.oid = to_regprocedure('public.handle_new_user()') and p.prorettype = 'trigger'::regtype
              and p.prosrc like '%rollcall.bootstrap_profile%'
          ),
          'rollcall.on_signup()'
        )
      )
    end
  where not exists (select from rollcall.signup_triggers() t where t.makes_profiles)
    and rollcall.signup_trigger_state() <> 'left_to_application'
$$;
comment on function rollcall.doctor_signup_trigger_missing() is
  'Check signup_trigger_missing: no trigger of auth.users makes profiles at signup.';
