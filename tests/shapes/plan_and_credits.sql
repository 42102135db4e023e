-- A site builder: profiles with a plan, and credits in a table that has the same kind of key.
--
-- @target public.profiles user_id
-- @also public.user_credits public.credit_transactions
-- @form full_name=Person {n}

create type public.plan as enum ('free', 'pro', 'enterprise');

create table public.profiles (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null unique references auth.users (id) on delete cascade,
  email text,
  full_name text,
  plan public.plan not null default 'free',
  is_admin boolean not null default false,
  created_at timestamptz not null default now()
);
create table public.user_credits (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null unique references auth.users (id) on delete cascade,
  credits integer not null default 5 check (credits >= 0),
  reset_at timestamptz not null default now() + interval '30 days'
);
create table public.credit_transactions (
  id bigint generated always as identity primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  amount integer not null,
  reason text not null,
  created_at timestamptz not null default now()
);
alter table public.profiles enable row level security;
alter table public.user_credits enable row level security;
alter table public.credit_transactions enable row level security;
create policy "own profile" on public.profiles for select using (auth.uid() = user_id);
create policy "own credits" on public.user_credits for select using (auth.uid() = user_id);

create or replace function public.handle_new_user() returns trigger language plpgsql security definer set search_path to 'public' as $$
begin
  insert into public.profiles (user_id, email, full_name)
  values (new.id, new.email, coalesce(new.raw_user_meta_data ->> 'full_name', new.raw_user_meta_data ->> 'name'));

  insert into public.user_credits (user_id) values (new.id);
  insert into public.credit_transactions (user_id, amount, reason) values (new.id, 5, 'welcome');
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
