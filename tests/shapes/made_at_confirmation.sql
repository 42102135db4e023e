-- A marketplace that wants no profiles of people who never confirmed: the profile comes with the confirmation, by a plain
-- insert.
--
-- @target public.profiles id
-- @replay no
-- @form full_name=Person {n}
-- @left-out email-unconfirmed phone-unconfirmed oauth-unverified invite link anonymous web3
-- @make no

create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  email text,
  full_name text,
  verified_at timestamptz not null default now()
);
alter table public.profiles enable row level security;
create policy "own profile" on public.profiles for select using (auth.uid() = id);

create function public.handle_confirmed_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email, full_name) values (new.id, new.email, new.raw_user_meta_data ->> 'full_name');
  return new;
end
$$;
create trigger on_auth_user_confirmed after update of email_confirmed_at, phone_confirmed_at on auth.users for each row
  when (old.confirmed_at is null and new.confirmed_at is not null)
  execute function public.handle_confirmed_user();
