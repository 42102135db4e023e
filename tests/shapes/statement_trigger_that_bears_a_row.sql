-- An importer whose trigger fires once a statement, after every trigger for a row, and leaves a profile alone that is there:
-- a profile that was made before it fires keeps its own values.
--
-- @target public.profiles id
-- @replay no
-- @make no on_auth_users_created
-- @form full_name=Person {n}; role=teacher
-- @warned signup_function_casts_metadata
-- @differs role

create type public.school_role as enum ('admin', 'teacher', 'student');
create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  full_name text,
  role public.school_role not null default 'student'
);
alter table public.profiles enable row level security;

create function public.handle_new_users() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, full_name, role)
  select n.id, n.raw_user_meta_data ->> 'full_name', coalesce((n.raw_user_meta_data ->> 'role')::public.school_role, 'student')
  from newcomers n
  on conflict do nothing;
  return null;
end
$$;
create trigger on_auth_users_created after insert on auth.users
  referencing new table as newcomers for each statement execute function public.handle_new_users();
