-- A profile that is made at the commit of the signup, when Supabase Auth has written all it has to say.
--
-- @target public.profiles id
-- @replay no
-- @make no

create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  email text,
  provider text,
  created_at timestamptz not null default now()
);
alter table public.profiles enable row level security;
create policy "own profile" on public.profiles for select using (auth.uid() = id);

create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email, provider) values (new.id, new.email, new.raw_app_meta_data ->> 'provider');
  return null;
end
$$;
create constraint trigger on_auth_user_created after insert on auth.users deferrable initially deferred
  for each row execute function public.handle_new_user();
