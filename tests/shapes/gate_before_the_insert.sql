-- A webring of a university: a trigger before the insert drops whoever comes from elsewhere without a word, another one
-- after it makes the profile.
--
-- @target public.profile id
-- @domain campus.test
-- @outsiders refused
-- @refused phone phone-unconfirmed web3 anonymous

create table public.allowed_domain (domain text primary key);
insert into public.allowed_domain values ('campus.test'), ('alumni.campus.test');
create table public.profile (
  id uuid primary key references auth.users (id) on delete cascade on update cascade,
  email text not null,
  ring_url text,
  is_verified boolean not null default false,
  created_at timestamptz not null default now()
);
alter table public.allowed_domain enable row level security;
alter table public.profile enable row level security;
create policy "the ring is public" on public.profile for select using (is_verified);

create function public.check_domain() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if exists (select 1 from public.allowed_domain d where d.domain = split_part(new.email, '@', 2)) then
    return new;
  end if;
  return null;
end
$$;
create trigger check_domain before insert on auth.users for each row execute function public.check_domain();

create function public.add_to_ring() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profile (id, email) values (new.id, new.email);
  return new;
end
$$;
create trigger add_to_ring after insert on auth.users for each row execute function public.add_to_ring();
