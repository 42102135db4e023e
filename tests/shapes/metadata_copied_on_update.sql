-- A tool for teams of designers: public.users copies the name and the picture at the signup, and again whenever the
-- metadata change.
--
-- @target public.users id
-- @form full_name=Person {n}; name=P{n}; avatar_url=https://img.example.com/{n}.png

create table public.users (
  id uuid primary key,
  name text not null,
  email text not null default '',
  avatar_url text
);
alter table only public.users add constraint users_id_fkey foreign key (id) references auth.users (id) on delete cascade;
create index users_email_idx on public.users using btree (email);
alter table public.users enable row level security;
create policy authenticated_users_can_select on public.users for select to authenticated using (true);
grant select (id, name) on public.users to anon;

create or replace function public.handle_new_user() returns trigger language plpgsql security definer as $$
begin
  insert into public.users (id, name, email, avatar_url)
  values (
    new.id,
    coalesce(new.raw_user_meta_data ->> 'name', new.raw_user_meta_data ->> 'full_name', split_part(new.email, '@', 1), 'New user'),
    coalesce(new.email, ''),
    new.raw_user_meta_data ->> 'avatar_url'
  );
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();

create or replace function public.sync_user_metadata() returns trigger language plpgsql security definer as $$
begin
  update public.users
  set
    avatar_url = new.raw_user_meta_data ->> 'avatar_url',
    name = coalesce(new.raw_user_meta_data ->> 'name', name)
  where id = new.id;
  return new;
end
$$;
create trigger on_auth_user_metadata_updated after update of raw_user_meta_data on auth.users
  for each row when (old.raw_user_meta_data is distinct from new.raw_user_meta_data)
  execute function public.sync_user_metadata();
