-- A kit that checks what it stores by domains: the key is user_id, and one domain demands a value and has a default.
--
-- @target public.profiles user_id
-- @form full_name=Person {n}; locale=de

create domain public.url as text check (value ~ '^https?://');
create domain public.person_name as text check (length(value) between 1 and 80);
create domain public.locale as varchar(5) not null default 'en' check (value ~ '^[a-z]{2}(-[A-Z]{2})?$');
create domain public.user_key as uuid;

create table public.profiles (
  user_id public.user_key primary key references auth.users (id) on delete cascade,
  avatar_url public.url,
  full_name public.person_name,
  locale public.locale,
  email text,
  created_at timestamptz not null default now(),
  updated_at timestamptz
);
alter table public.profiles enable row level security;
create policy "own profile" on public.profiles for all to authenticated using ((select auth.uid()) = user_id);

create function public.create_profile() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (user_id, full_name, email)
  values (new.id, new.raw_user_meta_data ->> 'full_name', new.email);
  return new;
end
$$;
create trigger create_profile after insert on auth.users for each row execute function public.create_profile();
