-- A quiz that can be tried without an account: the trigger's condition leaves anonymous users out, and they get their
-- profile when they become permanent.
--
-- @target public.players id
-- @permanent profile
-- @left-out anonymous

create table public.players (
  id uuid primary key references auth.users (id) on delete cascade,
  email text,
  joined_at timestamptz not null default now(),
  points integer not null default 0
);
create table public.answers (
  id bigint generated always as identity primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  answer smallint not null
);
alter table public.players enable row level security;
alter table public.answers enable row level security;
create policy "see all players" on public.players for select using (true);
create policy "answer yourself" on public.answers for insert with check (user_id = auth.uid());

create function public.add_player() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.players (id, email) values (new.id, new.email) on conflict (id) do update set email = excluded.email;
  return new;
end
$$;
create trigger add_player after insert on auth.users for each row
  when (new.is_anonymous is not true) execute function public.add_player();
create trigger add_player_when_permanent after update of is_anonymous, email on auth.users for each row
  when (new.is_anonymous is not true and new.email is not null) execute function public.add_player();
