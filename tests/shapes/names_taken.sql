-- An application that has objects under the names of Rollcall's public functions and views: a table of events of the
-- same shape, with policies, grants and a reference; a view, and functions with the same and with other arguments.
--
-- @target public.profiles id
-- @also public.user_events
-- @form full_name=Person {n}

create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  email text,
  full_name text,
  account_type text not null default 'personal',
  created_at timestamptz not null default now()
);
create table public.user_events (
  id bigserial primary key,
  user_id uuid references auth.users on delete cascade,
  kind text not null,
  payload jsonb,
  created_at timestamptz not null default timezone('utc', now())
);
create index user_events_user_idx on public.user_events (user_id, created_at desc);
comment on table public.user_events is 'What our users did.';
alter table public.profiles enable row level security;
alter table public.user_events enable row level security;
create policy user_events_select_owner on public.user_events for select using (auth.uid() = user_id);
create policy user_events_insert_owner on public.user_events for insert with check (auth.uid() = user_id);
grant select, insert on public.user_events to authenticated;
revoke all on public.user_events from anon;

create view public.signup_audit_summary as select kind, count(*) as number from public.user_events group by kind;
revoke all on public.signup_audit_summary from anon, authenticated;

create function public.log_user_event(p_user_id uuid, p_kind text, p_payload jsonb default null) returns void
language sql security definer set search_path = '' as $$
  insert into public.user_events (user_id, kind, payload) values (p_user_id, p_kind, p_payload)
$$;
create function public.monitor_signup_health() returns integer language sql stable set search_path = '' as $$
  select count(*)::integer from public.user_events where kind = 'signed_up' and created_at > now() - interval '1 day'
$$;
comment on function public.monitor_signup_health() is 'Signups of the last day.';
create function public.ensure_profile_exists(p_user_id uuid) returns boolean language sql stable set search_path = '' as $$
  select exists (select from public.profiles where id = p_user_id)
$$;
create function public.backfill_user_profile(p_user_id uuid, p_email text default null, p_account_type text default null)
returns jsonb language sql set search_path = '' as $$ select jsonb_build_object('ours', true) $$;

create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email, full_name) values (new.id, new.email, new.raw_user_meta_data ->> 'full_name');
  perform public.log_user_event(new.id, 'signed_up', jsonb_build_object('provider', new.raw_app_meta_data ->> 'provider'));
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
