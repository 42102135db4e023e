-- A recipe book: the browser makes the profile after the first login, by a plain insert that would fail on a second row.
--
-- @target public.profiles id
-- @replay no
-- @by-client insert into public.profiles (id, email) values (auth.uid(), public.auth_email())
-- @make no

create function auth_email() returns text language sql stable security definer set search_path = '' as $$
  select email::text from auth.users where id = auth.uid()
$$;
create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  email text,
  full_name text,
  diet text not null default 'everything' check (diet in ('everything', 'vegetarian', 'vegan')),
  created_at timestamptz not null default now()
);
create table public.recipes (
  id uuid primary key default gen_random_uuid(),
  cook uuid not null references public.profiles (id) on delete cascade,
  title text not null
);
alter table public.profiles enable row level security;
alter table public.recipes enable row level security;
create policy "read" on public.profiles for select using (true);
create policy "make your own" on public.profiles for insert to authenticated with check (auth.uid() = id);
create policy "change your own" on public.profiles for update to authenticated using (auth.uid() = id);
