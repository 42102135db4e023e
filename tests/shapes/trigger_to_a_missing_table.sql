-- A project whose own migrations renamed the table and left the function behind: nobody can sign up, and the users that
-- there are came before.
--
-- @target public.profiles id
-- @refused all
-- @healthy no
-- @named create_profile_for_user

create table public.profile (
  id uuid primary key references auth.users on delete cascade,
  username text,
  full_name text
);
create or replace function public.create_profile_for_user() returns trigger language plpgsql security definer set search_path = public as $$
begin
  insert into public.profile (id, full_name) values (new.id, new.raw_user_meta_data ->> 'full_name');
  return new;
end
$$;
create trigger on_new_user after insert on auth.users for each row execute function public.create_profile_for_user();

-- a later migration
alter table public.profile rename to profiles;
alter table public.profiles enable row level security;
create policy "profiles are public" on public.profiles for select using (true);
