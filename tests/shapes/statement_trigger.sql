-- An importer of many users: one trigger a statement makes the profiles of all its rows.
--
-- @target public.profiles id
-- @make no on_auth_users_created
-- @replay no
-- @form full_name=Person {n}

create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  email text,
  full_name text
);
create table public.imports (
  id bigint generated always as identity primary key,
  users integer not null,
  at timestamptz not null default now()
);
alter table public.profiles enable row level security;
alter table public.imports enable row level security;

create function public.handle_new_users() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email, full_name)
  select n.id, n.email, n.raw_user_meta_data ->> 'full_name' from newcomers n;
  insert into public.imports (users) select count(*) from newcomers;
  return null;
end
$$;
create trigger on_auth_users_created after insert on auth.users
  referencing new table as newcomers for each statement execute function public.handle_new_users();
