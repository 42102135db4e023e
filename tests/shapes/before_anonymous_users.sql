-- A project that hosts a Supabase Auth of early 2024 by itself: auth.users has no column is_anonymous yet.
--
-- @target public.profiles id
-- @auth before-anonymous
-- @form full_name=Person {n}

create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  email text,
  full_name text
);
alter table public.profiles enable row level security;
create policy "own profile" on public.profiles for select using (auth.uid() = id);

create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email, full_name) values (new.id, new.email, new.raw_user_meta_data ->> 'full_name');
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
