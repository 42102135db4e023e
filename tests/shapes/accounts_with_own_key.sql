-- A starter kit: accounts have a key with a default of its own, which the signup overwrites with the user's id, and two
-- more columns that refer to users. Users cannot change protected columns.
--
-- @target public.accounts id
-- @form name=Person {n}; avatar_url=https://img.example.com/{n}.png

create schema if not exists kit;
revoke all on schema kit from public;
grant usage on schema kit to authenticated, service_role;

create table if not exists public.accounts (
  id uuid unique not null default gen_random_uuid(),
  name varchar(255) not null,
  email varchar(320) unique,
  updated_at timestamp with time zone,
  created_at timestamp with time zone,
  created_by uuid references auth.users,
  updated_by uuid references auth.users,
  picture_url varchar(1000),
  public_data jsonb default '{}'::jsonb not null,
  primary key (id)
);
comment on table public.accounts is 'Accounts are the top level entity.';
comment on column public.accounts.name is 'The name of the account';
alter table public.accounts enable row level security;
revoke all on public.accounts from authenticated, service_role, anon;
grant select, update on public.accounts to authenticated;
grant all on public.accounts to service_role;
create policy accounts_read on public.accounts for select to authenticated using ((select auth.uid()) = id);
create policy accounts_update on public.accounts for update to authenticated
  using ((select auth.uid()) = id) with check ((select auth.uid()) = id);

create or replace function kit.protect_account_fields() returns trigger as $$
begin
  if current_user in ('authenticated', 'anon') then
    if new.id <> old.id or new.email is distinct from old.email then
      raise exception 'You do not have permission to update this field';
    end if;
  end if;
  return new;
end
$$ language plpgsql set search_path = '';
create trigger protect_account_fields before update on public.accounts for each row execute function kit.protect_account_fields();

create or replace function kit.follow_email() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  update public.accounts set email = new.email where id = new.id;
  return new;
end
$$;
create trigger on_auth_user_updated after update of email on auth.users for each row execute procedure kit.follow_email();

create or replace function kit.setup_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  user_name text;
begin
  if new.raw_user_meta_data ->> 'name' is not null then
    user_name := new.raw_user_meta_data ->> 'name';
  end if;
  if user_name is null and new.email is not null then
    user_name := split_part(new.email, '@', 1);
  end if;
  if user_name is null then
    user_name := '';
  end if;
  insert into public.accounts (id, name, picture_url, email)
  values (new.id, user_name, new.raw_user_meta_data ->> 'avatar_url', new.email);
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute procedure kit.setup_new_user();
