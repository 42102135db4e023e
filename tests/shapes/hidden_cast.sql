-- A school whose form chooses a role: the function casts it, and hides every error, so that a role that there is not costs
-- the profile and nothing else.
--
-- @target public.profiles id
-- @form full_name=Person {n}; role=teacher
-- @warned signup_function_casts_metadata signup_function_hides_errors
-- @differs role

create type public.school_role as enum ('admin', 'teacher', 'student');
create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  full_name text,
  role public.school_role not null default 'student'
);
alter table public.profiles enable row level security;

create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, full_name, role)
  values (
    new.id, new.raw_user_meta_data ->> 'full_name',
    coalesce((new.raw_user_meta_data ->> 'role')::public.school_role, 'student'));
  return new;
exception when others then
  raise warning 'no profile: %', sqlerrm;
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
