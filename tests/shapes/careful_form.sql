-- A health application that trusts no form: the date of birth is cast only where it fits, a trigger on the profile table
-- tidies what comes in, another keeps a history, and flags come as booleans.
--
-- @target public.profiles id
-- @undo other rows refer to it
-- @differs birth_date marketing
-- @form full_name=  Person   {n} ; birth_date=1990-02-1{d}; marketing=true

create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  email text,
  full_name text not null,
  slug text not null unique,
  birth_date date,
  marketing boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create table public.profile_history (
  id bigint generated always as identity primary key,
  profile_id uuid not null references public.profiles (id) on delete cascade,
  changed_to jsonb not null
);
alter table public.profiles enable row level security;
alter table public.profile_history enable row level security;
create policy "own profile" on public.profiles for select using (auth.uid() = id);

create function public.tidy_profile() returns trigger language plpgsql set search_path = '' as $$
begin
  new.full_name := coalesce(nullif(btrim(regexp_replace(new.full_name, '\s+', ' ', 'g')), ''), 'Somebody');
  new.slug := lower(regexp_replace(new.full_name, '[^A-Za-z0-9]+', '-', 'g')) || '-' || right(new.id::text, 6);
  new.updated_at := now();
  return new;
end
$$;
create trigger tidy_profile before insert or update on public.profiles for each row execute function public.tidy_profile();
create function public.keep_history() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profile_history (profile_id, changed_to) values (new.id, jsonb_build_object('name', new.full_name));
  return null;
end
$$;
create trigger keep_history after insert or update on public.profiles for each row execute function public.keep_history();

create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email, full_name, birth_date, marketing)
  values (
    new.id, new.email, new.raw_user_meta_data ->> 'full_name',
    case when new.raw_user_meta_data ->> 'birth_date' ~ '^\d{4}-\d{2}-\d{2}$' then (new.raw_user_meta_data ->> 'birth_date')::date end,
    coalesce((new.raw_user_meta_data ->> 'marketing') = 'true', false));
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
