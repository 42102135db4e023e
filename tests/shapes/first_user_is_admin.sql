-- A club's site without profiles: whoever comes first becomes the administrator, everybody else gets nothing.
--
-- @target none
-- @also public.user_roles

create table public.user_roles (
  user_id uuid not null references auth.users (id) on delete cascade,
  role text not null check (role in ('admin', 'editor')),
  granted_at timestamptz not null default now(),
  primary key (user_id, role)
);
create table public.pages (
  id uuid primary key default gen_random_uuid(),
  title text not null,
  body text,
  author uuid references auth.users (id) on delete set null
);
alter table public.user_roles enable row level security;
alter table public.pages enable row level security;
create policy "pages are public" on public.pages for select using (true);

create function public.first_user_is_admin() returns trigger language plpgsql security definer set search_path = public as $$
begin
  if not exists (select 1 from public.user_roles where role = 'admin') then
    insert into public.user_roles (user_id, role) values (new.id, 'admin');
  end if;
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.first_user_is_admin();
