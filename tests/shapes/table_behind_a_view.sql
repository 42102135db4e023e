-- An application that shows its profiles through a view: the signup writes to the view, the rows stand in a table of the
-- schema private.
--
-- @target private.people id
-- @form full_name=Person {n}

create schema private;
create table private.people (
  id uuid primary key references auth.users on delete cascade,
  email text,
  full_name text,
  secret_note text not null default '',
  created_at timestamptz not null default now()
);
alter table private.people enable row level security;
create view public.profiles with (security_barrier = true) as
  select id, email, full_name, created_at from private.people;
comment on view public.profiles is 'What the clients see.';
revoke all on public.profiles from anon;

create function private.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email, full_name) values (new.id, new.email, new.raw_user_meta_data ->> 'full_name');
  return new;
end
$$;
revoke all on function private.handle_new_user() from public;
grant execute on function private.handle_new_user() to supabase_auth_admin;
create trigger on_auth_user_created after insert on auth.users for each row execute function private.handle_new_user();
