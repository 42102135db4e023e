-- A registry of packages: accounts in a schema app, whose key has a default and refers to nothing; the signup puts the
-- user's id there. Handles are reserved in a table of theirs.
--
-- @target app.accounts id
-- @also app.handle_registry
-- @form handle=person-{n}; display_name=Person {n}
-- @refused web3
-- @undo other tables stays

create schema app;
grant usage on schema app to anon, authenticated;
create domain app.valid_name as varchar check (value ~ '^[A-Za-z][A-Za-z0-9_-]{2,30}$');

create table app.handle_registry (
  handle app.valid_name primary key not null,
  is_organization boolean not null,
  created_at timestamptz not null default now(),
  unique (handle, is_organization)
);
create table app.accounts (
  id uuid primary key default gen_random_uuid(),
  handle app.valid_name not null unique,
  is_organization boolean generated always as (false) stored,
  display_name text,
  bio varchar(1000),
  contact_email text,
  created_at timestamptz not null default now(),
  foreign key (handle, is_organization) references app.handle_registry (handle, is_organization)
);
alter table app.accounts enable row level security;
create policy accounts_are_public on app.accounts for select using (true);
grant select on app.accounts to anon, authenticated;

create function app.register_handle() returns trigger language plpgsql security definer as $$
begin
  insert into app.handle_registry (handle, is_organization) values (new.handle, false);
  return new;
end
$$;
create trigger register_handle before insert on app.accounts for each row execute procedure app.register_handle();

create function app.make_account() returns trigger language plpgsql security definer as $$
begin
  insert into app.accounts (id, handle, display_name, contact_email)
  values (new.id, new.raw_user_meta_data ->> 'handle', new.raw_user_meta_data ->> 'display_name', new.email);
  return new;
end
$$;
create trigger make_account after insert on auth.users for each row execute procedure app.make_account();
