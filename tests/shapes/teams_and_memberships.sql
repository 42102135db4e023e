-- Accounts and memberships: everybody gets a personal account with their own id as its key; the accounts of teams stand
-- in the same table.
--
-- @target crew.accounts id
-- @also crew.account_user
-- @make yes

create schema if not exists crew;
grant usage on schema crew to authenticated, service_role;

create type crew.account_role as enum ('owner', 'member');
create table crew.accounts (
  id uuid unique not null default gen_random_uuid(),
  primary_owner_user_id uuid references auth.users not null default auth.uid(),
  name text,
  slug text unique,
  personal_account boolean default false not null,
  updated_at timestamptz,
  created_at timestamptz,
  created_by uuid references auth.users,
  public_metadata jsonb default '{}'::jsonb not null,
  private_metadata jsonb default '{}'::jsonb not null,
  primary key (id),
  constraint slug_only_for_teams check ((personal_account and slug is null) or (not personal_account and slug is not null))
);
create table crew.account_user (
  user_id uuid references auth.users on delete cascade not null,
  account_id uuid references crew.accounts on delete cascade not null,
  account_role crew.account_role not null,
  constraint account_user_pkey primary key (user_id, account_id)
);
grant select, insert, update, delete on crew.accounts, crew.account_user to authenticated, service_role;
alter table crew.accounts enable row level security;
alter table crew.account_user enable row level security;
create policy "people see their memberships" on crew.account_user for select to authenticated using (user_id = auth.uid());

create or replace function crew.set_times() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    new.created_at = now();
  end if;
  new.updated_at = now();
  return new;
end
$$;
create trigger set_times before insert or update on crew.accounts for each row execute function crew.set_times();

create or replace function crew.run_new_user_setup() returns trigger language plpgsql security definer set search_path = public as $$
declare
  account_id uuid;
  user_name text;
begin
  if new.email is not null then
    user_name := split_part(new.email, '@', 1);
  end if;
  insert into crew.accounts (name, primary_owner_user_id, personal_account, id)
  values (user_name, new.id, true, new.id)
  returning id into account_id;
  insert into crew.account_user (account_id, user_id, account_role) values (account_id, new.id, 'owner');
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute procedure crew.run_new_user_setup();
