-- An intranet: the signup's function refuses everybody whose address is not the company's.
--
-- @target public.profiles id
-- @domain corp.test
-- @outsiders refused
-- @form full_name=Person {n}
-- @refused phone phone-unconfirmed web3 anonymous

create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  email text,
  full_name text
);
alter table public.profiles enable row level security;
create policy "colleagues see each other" on public.profiles for select to authenticated using (true);

create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if new.email is null or split_part(new.email, '@', 2) <> 'corp.test' then
    raise exception 'Only addresses of the company can sign up' using errcode = 'P0001', hint = 'Ask the help desk.';
  end if;
  insert into public.profiles (id, email, full_name) values (new.id, new.email, new.raw_user_meta_data ->> 'full_name');
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
