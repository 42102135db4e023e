-- A warehouse: everything in a schema app, by names without a schema; the signup's function sets the path, and the
-- triggers on the profile table rely on it.
--
-- @target app.people id
-- @also app.journal
-- @form full_name=Person {n}
-- @repair replay

create schema app;
create table app.people (
  id uuid primary key references auth.users on delete cascade,
  email text,
  full_name text,
  badge text
);
create table app.journal (
  id bigint generated always as identity primary key,
  person uuid not null,
  entry text not null
);
alter table app.people enable row level security;
alter table app.journal enable row level security;

create function app.badge_for(p_name text) returns text language sql immutable as $$ select upper(left(coalesce(p_name, 'X'), 1)) $$;
create function app.before_person() returns trigger language plpgsql as $$
begin
  new.badge := badge_for(new.full_name);
  return new;
end
$$;
create function app.after_person() returns trigger language plpgsql as $$
begin
  insert into journal (person, entry) values (new.id, 'arrived');
  return null;
end
$$;
create trigger before_person before insert on app.people for each row execute function app.before_person();
create trigger after_person after insert on app.people for each row execute function app.after_person();

create function app.handle_new_user() returns trigger language plpgsql security definer set search_path = app, public as $$
begin
  insert into people (id, email, full_name) values (new.id, new.email, new.raw_user_meta_data ->> 'full_name');
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function app.handle_new_user();
