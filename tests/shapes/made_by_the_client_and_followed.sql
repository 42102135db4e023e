-- The browser makes the profile after the first login; the database only follows changes of the address, and cleans up.
--
-- @target public.profiles id
-- @replay no
-- @by-client insert into public.profiles (id, email) values (auth.uid(), public.auth_email())
-- @make no

create function public.auth_email() returns text language sql stable security definer set search_path = '' as $$
  select email::text from auth.users where id = auth.uid()
$$;
create table public.profiles (
  id uuid primary key,
  email text
);
alter table public.profiles enable row level security;
create policy "make your own" on public.profiles for insert to authenticated with check (auth.uid() = id);

create function public.follow_address() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  update public.profiles p set email = new.email where p.id = new.id;
  return null;
end
$$;
create trigger follow_address after update of email on auth.users for each row execute function public.follow_address();
create function public.remove_profile() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  delete from public.profiles p where p.id = old.id;
  return null;
end
$$;
create trigger remove_profile after delete on auth.users for each row execute function public.remove_profile();
