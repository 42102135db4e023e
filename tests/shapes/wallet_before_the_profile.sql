-- A shop that opens a wallet at the signup and makes the profile at the confirmation: a replay of the signup makes no
-- profile, so it must not open wallets either.
--
-- @target public.profiles id
-- @replay none
-- @left-out email-unconfirmed phone-unconfirmed oauth-unverified invite link anonymous web3
-- @make no

create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  email text
);
create table public.wallets (
  id bigint generated always as identity primary key,
  user_id uuid not null references auth.users on delete cascade,
  balance numeric not null default 10
);
alter table public.profiles enable row level security;
alter table public.wallets enable row level security;

create function public.open_wallet() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.wallets (user_id) values (new.id);
  return null;
end
$$;
create trigger open_wallet after insert on auth.users for each row execute function public.open_wallet();

create function public.handle_confirmed_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email) values (new.id, new.email);
  return null;
end
$$;
create trigger on_auth_user_confirmed after update of email_confirmed_at, phone_confirmed_at on auth.users for each row
  when (old.confirmed_at is null and new.confirmed_at is not null)
  execute function public.handle_confirmed_user();
