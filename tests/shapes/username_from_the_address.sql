-- A shop: a username from the form or else from the address, the display name likewise, and a type of user that no form
-- may choose.
--
-- @target public.profiles id
-- @left-out phone phone-unconfirmed web3 anonymous

create type public.user_type as enum ('customer', 'partner', 'admin');
create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  username text not null unique,
  email text not null,
  user_type public.user_type not null default 'customer',
  newsletter boolean not null default false,
  created_at timestamptz not null default now()
);
alter table public.profiles enable row level security;
create policy "own profile" on public.profiles for select using (auth.uid() = id);

create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if new.email is null then
    return new;
  end if;
  insert into public.profiles (id, username, email)
  values (new.id, coalesce(new.raw_user_meta_data ->> 'username', split_part(new.email, '@', 1)), new.email);
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
