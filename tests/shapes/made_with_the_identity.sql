-- A forum that shows where people come from: the profile comes with the first identity, by a plain insert.
--
-- @target public.profiles id
-- @replay no
-- @left-out anonymous
-- @make no

create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  provider text,
  email text,
  created_at timestamptz not null default now()
);
alter table public.profiles enable row level security;
create policy "everybody is visible" on public.profiles for select using (true);

create function public.handle_first_identity() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if (select count(*) from auth.identities i where i.user_id = new.user_id) = 1 then
    insert into public.profiles (id, provider, email) values (new.user_id, new.provider, new.identity_data ->> 'email');
  end if;
  return new;
end
$$;
create trigger on_identity_created after insert on auth.identities for each row execute function public.handle_first_identity();
