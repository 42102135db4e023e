-- A parliament: profiles in a schema that no client reaches, with a column for full-text search that fills itself, and two
-- triggers on auth.users that fill three tables.
--
-- @target hidden.profiles id
-- @also hidden.notification_settings hidden.feeds
-- @form full_name=Person {n}; avatar_url=https://img.example.com/{n}.png

create schema hidden;
create table hidden.profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  display_name text,
  avatar text,
  bio text not null default '',
  search tsvector generated always as (to_tsvector('simple', coalesce(display_name, '') || ' ' || coalesce(bio, ''))) stored,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index profiles_search_idx on hidden.profiles using gin (search);
create table hidden.notification_settings (
  profile_id uuid primary key references hidden.profiles on delete cascade,
  by_mail boolean not null default true
);
create table hidden.feeds (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null references hidden.profiles on delete cascade,
  title text not null
);
create view public.people with (security_invoker = true) as select id, display_name, avatar from hidden.profiles;
alter table hidden.profiles enable row level security;

create function hidden.touch() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end
$$;
create trigger touch before update on hidden.profiles for each row execute function hidden.touch();

create function hidden.make_profile() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into hidden.profiles (id, display_name, avatar)
  values (new.id, new.raw_user_meta_data ->> 'full_name', new.raw_user_meta_data ->> 'avatar_url');
  insert into hidden.notification_settings (profile_id) values (new.id);
  return new;
end
$$;
create function hidden.make_feed() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into hidden.feeds (owner_id, title) values (new.id, 'Everything');
  return new;
end
$$;
create trigger a_make_profile after insert on auth.users for each row execute function hidden.make_profile();
create trigger b_make_feed after insert on auth.users for each row execute function hidden.make_feed();
