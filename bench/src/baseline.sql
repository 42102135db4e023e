-- The way of the description that Rollcall was built from: its views and functions, repaired only so far that they run on
-- a real Supabase project (qualified column names, casts of varchar and enum), under the schema baseline.
create schema baseline;

create view baseline.signup_audit_summary as
select distinct
  coalesce(payload -> 'traits' ->> 'user_id', payload ->> 'actor_id')::uuid as user_id,
  coalesce(payload -> 'traits' ->> 'user_email', payload ->> 'actor_username') as email,
  payload ->> 'action' as action,
  created_at
from auth.audit_log_entries
where payload ->> 'action' in ('user_signedup', 'user_repeated_signup', 'user_confirmation_requested')
  and coalesce(payload -> 'traits' ->> 'user_id', payload ->> 'actor_id') ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';

create view baseline.auth_profile_mismatch as
select
  s.user_id, s.email as audit_email, s.action, s.created_at as audit_created_at,
  u.id as auth_user_id, u.email::text as auth_email, u.created_at as user_created_at,
  p.id as profile_id, p.email as profile_email, p.created_at as profile_created_at,
  case
    when u.id is not null and p.id is not null then 'healthy'
    when u.id is not null and p.id is null then 'auth_only'
    when u.id is null then 'audit_only'
    else 'unknown'
  end as status
from baseline.signup_audit_summary s
left join auth.users u on u.id = s.user_id
left join public.profiles p on p.id = s.user_id
order by s.created_at desc;

create function baseline.diagnose_auth_profile_consistency() returns table (status text, count bigint, description text)
language plpgsql security definer as $$
begin
  return query select 'Total Signup Audit Entries'::text, count(*), 'Total distinct user signups'::text from baseline.signup_audit_summary;
  return query select 'Healthy (Auth + Profile)'::text, count(*), ''::text from baseline.auth_profile_mismatch m where m.status = 'healthy';
  return query select 'Auth Only (Missing Profile)'::text, count(*), ''::text from baseline.auth_profile_mismatch m where m.status = 'auth_only';
  return query select 'Audit Only (Deleted/Orphaned)'::text, count(*), ''::text from baseline.auth_profile_mismatch m where m.status = 'audit_only';
  return query select 'Total auth.users'::text, count(*), ''::text from auth.users;
  return query select 'Total public.profiles'::text, count(*), ''::text from public.profiles;
  return query select 'Users without Profiles'::text, count(*), ''::text from auth.users u left join public.profiles p on p.id = u.id where p.id is null;
end
$$;

create function baseline.get_auth_profile_mismatches(p_limit integer default 100)
returns table (user_id uuid, audit_email text, auth_email text, status text, audit_created_at timestamptz, user_created_at timestamptz)
language plpgsql security definer as $$
begin
  return query
    select m.user_id, m.audit_email, m.auth_email, m.status, m.audit_created_at, m.user_created_at
    from baseline.auth_profile_mismatch m
    where m.status in ('auth_only', 'audit_only')
    order by m.audit_created_at desc
    limit p_limit;
end
$$;

create function baseline.check_recent_signup_issues()
returns table (user_id uuid, email text, action text, created_at timestamptz, has_auth_user boolean, has_profile boolean, minutes_since_signup numeric)
language plpgsql security definer as $$
begin
  return query
    select s.user_id, s.email, s.action, s.created_at, u.id is not null, p.id is not null, extract(epoch from now() - s.created_at) / 60
    from baseline.signup_audit_summary s
    left join auth.users u on u.id = s.user_id
    left join public.profiles p on p.id = s.user_id
    where s.created_at > now() - interval '10 minutes' and (u.id is null or p.id is null)
    order by s.created_at desc;
end
$$;

create function baseline.log_user_event(p_user_id uuid, p_kind text, p_payload jsonb default null) returns void
language plpgsql security definer as $$
begin
  insert into public.user_events (user_id, kind, payload) values (p_user_id, p_kind, p_payload);
exception when others then
  raise warning 'could not log event: %', sqlerrm;
end
$$;

create function baseline.backfill_user_profile(p_user_id uuid, p_email text default null, p_account_type text default 'sme') returns jsonb
language plpgsql security definer set search_path = public, auth as $$
declare
  address text := p_email;
begin
  if address is null then
    select u.email::text into address from auth.users u where u.id = p_user_id;
  end if;
  insert into public.profiles (id, email, account_type, created_at, updated_at)
  values (p_user_id, address, p_account_type, now(), now())
  on conflict (id) do update set
    email = coalesce(nullif(profiles.email, ''), excluded.email),
    account_type = coalesce(profiles.account_type, excluded.account_type),
    updated_at = now();
  perform baseline.log_user_event(p_user_id, 'profile_backfilled', jsonb_build_object('email', address, 'account_type', p_account_type));
  return jsonb_build_object('success', true, 'user_id', p_user_id, 'email', address, 'account_type', p_account_type, 'action', 'backfilled');
exception when others then
  perform baseline.log_user_event(p_user_id, 'profile_backfill_error', jsonb_build_object('error', sqlerrm));
  return jsonb_build_object('success', false, 'user_id', p_user_id, 'error', sqlerrm, 'sqlstate', sqlstate);
end
$$;

-- Without the array of results, which was copied for each user.
create function baseline.backfill_all_missing_profiles(p_batch_size integer) returns jsonb
language plpgsql security definer set search_path = public, auth as $$
declare
  person record;
  result jsonb;
  processed integer := 0;
  successful integer := 0;
  failed integer := 0;
begin
  for person in
    select u.id, u.email, u.raw_user_meta_data
    from auth.users u left join public.profiles p on p.id = u.id
    where p.id is null
    limit p_batch_size
  loop
    -- three blocks a user, around one another: as many transaction ids as the reference takes
    begin
      result := baseline.backfill_user_profile(person.id, person.email, coalesce(person.raw_user_meta_data ->> 'account_type', 'sme'));
    exception when others then
      result := jsonb_build_object('success', false, 'user_id', person.id, 'error', sqlerrm);
    end;
    processed := processed + 1;
    if (result ->> 'success')::boolean then successful := successful + 1; else failed := failed + 1; end if;
  end loop;
  return jsonb_build_object('dry_run', false, 'processed', processed, 'successful', successful, 'failed', failed);
end
$$;

-- The least that a repair by sets does: rows of users without a profile, in the order of their ids, in transactions of so
-- many. No definition, no event, no cursor, no receipt.
create procedure baseline.bare_sets(p_size integer) language plpgsql as $$
declare
  last_id uuid := '00000000-0000-0000-0000-000000000000';
  made uuid[];
begin
  loop
    with page as (
      insert into public.profiles (id, email, account_type)
      select u.id, u.email, 'sme'
      from auth.users u
      where u.id > last_id
        and not exists (select from public.profiles p where p.id = u.id and p.id > last_id)
      order by u.id
      limit p_size
      on conflict (id) do nothing
      returning id
    )
    select array_agg(id) into made from page;
    commit;
    exit when made is null;
    last_id := made[cardinality(made)];
  end loop;
end
$$;

-- Whom the backfills are to repair, again and again.
create table baseline.missing (id uuid primary key);

create function baseline.ensure_profile_exists(p_user_id uuid, p_email text) returns void
language plpgsql security definer set search_path = public, auth as $$
begin
  insert into public.profiles (id, email, account_type) values (p_user_id, p_email, 'sme')
  on conflict (id) do update set email = coalesce(nullif(profiles.email, ''), excluded.email), updated_at = now();
  perform baseline.log_user_event(p_user_id, 'profile_bootstrap_ok', jsonb_build_object('email', p_email));
exception when others then
  perform baseline.log_user_event(p_user_id, 'profile_bootstrap_error', jsonb_build_object('error', sqlerrm));
end
$$;

create function baseline.handle_new_user() returns trigger
language plpgsql security definer set search_path = public, auth as $$
begin
  perform baseline.log_user_event(new.id, 'auth_user_created', jsonb_build_object('email', new.email));
  perform baseline.ensure_profile_exists(new.id, coalesce(new.email, 'missing-email-' || new.id || '@example.invalid'));
  return new;
exception when others then
  return new;
end
$$;

-- The leanest trigger that writes the same rows, the profile and two events, and still never fails a signup: what a signup
-- costs at least.
create function baseline.lean() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email, account_type)
  values (
    new.id, new.email,
    coalesce(
      case lower(new.raw_user_meta_data ->> 'account_type')
        when 'customer' then 'customer' when 'donor' then 'donor' when 'investor' then 'investor' when 'partner' then 'partner'
        when 'professional' then 'professional' when 'service_provider' then 'service_provider' when 'sme' then 'sme'
        when 'sole_proprietor' then 'sole_proprietor'
      end,
      'sme')
  )
  on conflict (id) do nothing;
  insert into public.user_events (user_id, kind, payload, created_at)
  values
    (new.id, 'auth_user_created', '{"source": "trigger"}', clock_timestamp()),
    (new.id, 'profile_bootstrap_ok', '{"source": "trigger"}', clock_timestamp());
  return new;
exception when others or query_canceled or assert_failure then
  return new;
end
$$;

create trigger baseline_handle_new_user after insert on auth.users for each row execute function baseline.handle_new_user();
create trigger baseline_lean after insert on auth.users for each row execute function baseline.lean();
alter table auth.users disable trigger baseline_handle_new_user;
alter table auth.users disable trigger baseline_lean;
