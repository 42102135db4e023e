-- An application for several tenants: a user may have one profile in each of them, so no column alone tells whose it is.
--
-- @target none
-- @because one row for one user
-- @form full_name=Person {n}

create table public.tenants (
  id uuid primary key default gen_random_uuid(),
  name text not null
);
insert into public.tenants (id, name) values ('00000000-0000-4000-9000-000000000001', 'Everybody');
create table public.profiles (
  tenant_id uuid not null references public.tenants (id) default '00000000-0000-4000-9000-000000000001',
  user_id uuid not null references auth.users (id) on delete cascade,
  email text,
  full_name text,
  primary key (tenant_id, user_id)
);
alter table public.tenants enable row level security;
alter table public.profiles enable row level security;
create policy "own profiles" on public.profiles for select using (auth.uid() = user_id);

create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (user_id, email, full_name) values (new.id, new.email, new.raw_user_meta_data ->> 'full_name');
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
