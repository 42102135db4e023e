-- A large application that keeps its profiles in partitions, one of them in a schema for cold data.
--
-- @target public.profiles id
-- @form full_name=Person {n}

create schema cold;
create table public.profiles (
  id uuid not null references auth.users on delete cascade,
  email text,
  full_name text,
  created_at timestamptz not null default now(),
  primary key (id)
) partition by hash (id);
create table public.profiles_0 partition of public.profiles for values with (modulus 3, remainder 0);
create table public.profiles_1 partition of public.profiles for values with (modulus 3, remainder 1);
create table cold.profiles_2 partition of public.profiles for values with (modulus 3, remainder 2);
alter table public.profiles enable row level security;
alter table public.profiles_0 enable row level security;
alter table public.profiles_1 enable row level security;
create policy "own profile" on public.profiles for select using (auth.uid() = id);

create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email, full_name) values (new.id, new.email, new.raw_user_meta_data ->> 'full_name');
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
