-- A ledger of the browser's own making: the client makes the profile, and a constraint trigger notes it at the commit with
-- the caller's rights, which Supabase Auth does not have.
--
-- @target public.profiles id
-- @replay no
-- @undo other tables stays
-- @by-client insert into public.profiles (id, email) values (auth.uid(), public.auth_email())
-- @make no commit

create function public.auth_email() returns text language sql stable security definer set search_path = '' as $$
  select email::text from auth.users where id = auth.uid()
$$;
create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  email text
);
create table public.profile_notes (
  id bigint generated always as identity primary key,
  profile_id uuid not null,
  noted_by name not null default current_user
);
alter table public.profiles enable row level security;
create policy "make your own" on public.profiles for insert to authenticated with check (auth.uid() = id);
create policy "see your own" on public.profiles for select to authenticated using (auth.uid() = id);

create function public.note_profile() returns trigger language plpgsql as $$
begin
  insert into public.profile_notes (profile_id) values (new.id);
  return null;
end
$$;
create constraint trigger note_profile after insert on public.profiles deferrable initially deferred
  for each row execute function public.note_profile();
