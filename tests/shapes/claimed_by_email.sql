-- A club that enters its members before they sign up: a signup claims the row with its address, and only who has none
-- gets a new one.
--
-- @target public.members user_id
-- @form full_name=Person {n}
-- @claims person3 person103 person205

create table public.members (
  id uuid primary key default gen_random_uuid(),
  user_id uuid unique references auth.users (id) on delete set null,
  email text unique,
  full_name text,
  member_since date not null default current_date,
  fee_paid boolean not null default false
);
insert into public.members (email, full_name, member_since, fee_paid)
select 'person' || n || '@example.com', 'Member ' || n, date '2019-04-01', true from generate_series(1, 300) n where n in (3, 103, 205, 299);
alter table public.members enable row level security;
create policy "own membership" on public.members for select using (auth.uid() = user_id);

create function public.claim_membership() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  update public.members set user_id = new.id where email = new.email and user_id is null;
  if not found then
    insert into public.members (user_id, email, full_name) values (new.id, new.email, new.raw_user_meta_data ->> 'full_name');
  end if;
  return new;
end
$$;
create trigger claim_membership after insert on auth.users for each row execute function public.claim_membership();
