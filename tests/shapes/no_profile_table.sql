-- A list of private items: the users are Supabase Auth's own, and nothing is kept about them.
--
-- @target none

create table public.items (
  id uuid primary key default gen_random_uuid(),
  name varchar not null,
  description varchar not null default '',
  owner_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  created_at timestamptz not null default now()
);
create table public.shares (
  item_id uuid not null references public.items (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  primary key (item_id, user_id)
);
alter table public.items enable row level security;
alter table public.shares enable row level security;
create policy "owners" on public.items for all to authenticated using (owner_id = (select auth.uid()));
