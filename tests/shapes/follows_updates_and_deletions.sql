-- A habit tracker: one trigger function follows its users from the signup through changes of the address to the deletion,
-- and keeps a list of who left. No reference to auth.users does the cleaning up.
--
-- @target public.profiles id
-- @form full_name=Person {n}

create table public.profiles (
  id uuid primary key,
  email text,
  full_name text,
  updated_at timestamptz not null default now()
);
create table public.departed (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  had_address boolean not null,
  left_at timestamptz not null default now()
);
alter table public.profiles enable row level security;
alter table public.departed enable row level security;

create function public.follow_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    insert into public.profiles (id, email, full_name) values (new.id, new.email, new.raw_user_meta_data ->> 'full_name');
  elsif tg_op = 'UPDATE' then
    update public.profiles set email = new.email, updated_at = now() where id = new.id;
  elsif tg_op = 'DELETE' then
    delete from public.profiles where id = old.id;
    insert into public.departed (user_id, had_address) values (old.id, old.email is not null);
    return old;
  end if;
  return new;
end
$$;
create trigger follow_user after insert or update of email or delete on auth.users
  for each row execute function public.follow_user();
