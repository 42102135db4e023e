-- A beta for invited companies: a trigger before the insert refuses addresses that are not on a list, with a code of its own.
--
-- @target public.profiles id
-- @domain corp.test
-- @outsiders refused
-- @refused phone phone-unconfirmed web3 anonymous

create table public.invited_domains (domain text primary key);
insert into public.invited_domains values ('corp.test');
create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  email text
);
alter table public.invited_domains enable row level security;
alter table public.profiles enable row level security;

create function public.check_invitation() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if not exists (select from public.invited_domains d where d.domain = split_part(new.email, '@', 2)) then
    raise exception 'Your company is not invited yet' using errcode = '42501';
  end if;
  return new;
end
$$;
create trigger check_invitation before insert on auth.users for each row execute function public.check_invitation();

create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email) values (new.id, new.email);
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
