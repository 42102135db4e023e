-- A starter for user management: one profile a user behind policies, a username that is chosen later, a bucket's worth
-- of public columns.
--
-- @target public.profiles id
-- @form full_name=Person {n}; avatar_url=https://img.example.com/{n}.png

create table public.profiles (
  id uuid not null primary key references auth.users on delete cascade,
  updated_at timestamptz,
  username text unique,
  full_name text,
  avatar_url text,
  website text,
  constraint username_length check (char_length(username) >= 3)
);
comment on table public.profiles is 'What everybody may know about a user.';
alter table public.profiles enable row level security;
create policy "Profiles are public" on public.profiles for select using (true);
create policy "People add their own profile" on public.profiles for insert with check ((select auth.uid()) = id);
create policy "People change their own profile" on public.profiles for update using ((select auth.uid()) = id);

create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, full_name, avatar_url)
  values (new.id, new.raw_user_meta_data ->> 'full_name', new.raw_user_meta_data ->> 'avatar_url');
  return new;
end
$$;
comment on function public.handle_new_user() is 'One profile for each new user.';

create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
