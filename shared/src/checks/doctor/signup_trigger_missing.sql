-- Nothing that a signup or its confirmation fires makes the profile: the trigger was never created, or went with a restore,
-- a branch or a function that was dropped with cascade. Where a client or a server makes the profiles, that is as it should
-- be; so this needs a sign that a trigger did: a function without its trigger, a profile that a signup's own transaction
-- wrote, or newest users without one.
select
  case when v.is_lost or f.newest_is_missing then 'critical' else 'warning' end,
  case
    when v.is_lost or f.newest_is_missing then 'no trigger makes profiles at signup, so the next signup gets no profile'
    else 'no trigger makes profiles at signup'
  end,
  case
    when v.is_lost or f.newest_is_missing
      then 'Everyone who signs up from now on is without a profile. Supabase Auth notices nothing, and neither do its logs.'
    else 'Unless the application makes them otherwise, everyone who signs up is without a profile.'
  end,
  array['no trigger that a signup or its confirmation fires inserts into ' || l.target_written]
    || array(select format('trigger %s on %s', t.name, t.relation_name) from path_trigger t where t.is_enabled order by t.position)
    || array(select format('the function %s makes profiles, and no trigger runs it', o.signature) from orphan o order by o.signature)
    || array(select 'the function public.handle_new_user() is Rollcall''s, and no trigger runs it' where v.lost_ours)
    || array(select 'profiles were written by the transaction of their signup' where f.has_profiles_of_signup),
  case
    when v.lost_ours then 'Add Rollcall''s trigger again: rollcall trigger install --apply.'
    when v.orphans = 1 then 'Create the trigger again.'
    when v.orphans > 1 then 'Create the trigger of the right function again.'
    else 'Create the application''s trigger again. If it has none, Rollcall can make the profiles: rollcall trigger install --apply.'
  end || f.then_repair,
  case when v.orphans = 1 then (
    select format('create trigger %I after insert on auth.users for each row execute function %s;', 'on_auth_user_created', o.signature)
    from orphan o
    where o.is_of_users and not exists (
      select from pg_catalog.pg_trigger t where t.tgrelid = l.users and t.tgname = 'on_auth_user_created')
  ) end
from facts f
cross join place l
cross join trigger_state s
cross join lateral (
  select
    (select count(*) from orphan) as orphans, r.lost_ours,
    exists (select from orphan) or r.lost_ours or f.has_profiles_of_signup or f.has_made_profiles as is_lost
  from (
    select exists (
      select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace and n.nspname = 'public'
      where p.proname = 'handle_new_user' and pg_catalog.obj_description(p.oid, 'pg_proc') like 'Rollcall: %'
        and not exists (select from pg_catalog.pg_trigger t where t.tgfoid = p.oid)
    ) as lost_ours
  ) r
) v
where l.target is not null and s.state = 'missing'
  and (v.is_lost or not exists (select from client_policy) and (f.newest_is_missing or not f.has_profiles))
