-- Two triggers make the same profile; the later one inserts plainly, fails on the first one's row, and takes the signup
-- with it. Triggers fire in the order of their names.
create or replace function rollcall.doctor_signup_triggers_collide() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the trigger %s makes the profile once more and fails on the one that %s made, so nobody can sign up', later.trigger_name, earlier.trigger_name),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up, and keeps nothing of it.',
    array[
      format('trigger %s runs %s', earlier.trigger_name, earlier.function_name),
      format('trigger %s runs %s, which inserts without on conflict', later.trigger_name, later.function_name)
    ],
    case when earlier.is_ours
      then 'Let Rollcall''s come last: rollcall migrate --again. Or drop the other, if it only makes the profile.'
      else 'Drop one of them, or let the later one insert with on conflict do nothing.'
    end,
    case when earlier.is_ours and earlier.trigger_name = 'on_auth_user_created' then
      'create or replace trigger on_auth_user_created after insert on auth.users for each row execute function rollcall.leave_to_later_trigger();'
      || ' create or replace trigger "~~~_rollcall_on_auth_user_created" after insert on auth.users for each row execute function rollcall.on_signup();'
    else
      format('create or replace trigger %I after insert on auth.users for each row execute function rollcall.on_signup();', later.trigger_name)
    end
  from (
    select t.*, row_number() over () as position from rollcall.signup_triggers() t where t.makes_profiles and t.is_enabled and not t.is_conditional
  ) later
  join lateral (
    select e.* from (
      select t.*, row_number() over () as position from rollcall.signup_triggers() t where t.makes_profiles and t.is_enabled and not t.is_conditional
    ) e
    where e.position < later.position
    order by e.position
    limit 1
  ) earlier on true
  where not later.is_ours
    -- its own insert, and nothing that would spare or catch it
    and exists (
      select from rollcall.names_in_code(later.code, later.path) n
      where n.command = 'insert into' and n.relation = rollcall.profile_table())
    and later.code !~* '\mon\s+conflict\M|\mexception\s+when\M|\mnot\s+exists\M|\mif\s+found\M|\mif\s+not\s+found\M'
$$;
comment on function rollcall.doctor_signup_triggers_collide() is
  'Check signup_triggers_collide: a later trigger inserts a profile that is there already.';
