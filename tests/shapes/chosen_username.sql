-- A drawing tool: everybody chooses a username in the form, and without one there is no account.
--
-- @target public.profiles id
-- @form username=person_{n}
-- @refused web3

create table if not exists public.profiles (
  id uuid references auth.users on delete cascade not null primary key,
  username varchar(24) not null unique,
  created_at timestamp with time zone default timezone('utc' :: text, now()) not null,
  constraint username_validation check (username ~* '^[A-Za-z0-9_]{3,24}$')
);
comment on table public.profiles is 'The names that others see beside a cursor.';

create table public.drawings (
  id bigserial primary key,
  owner uuid references public.profiles on delete cascade not null default auth.uid(),
  document jsonb not null default '{}'
);
alter table public.profiles enable row level security;
alter table public.drawings enable row level security;
create policy "Names are public" on public.profiles for select using (true);
create policy "Owners see their drawings" on public.drawings for select using (auth.uid() = owner);

create or replace function handle_new_user() returns trigger as $$
    begin
        insert into public.profiles(id, username)
        values(new.id, new.raw_user_meta_data->>'username');

        return new;
    end;
$$ language plpgsql security definer;

create trigger on_auth_user_created
    after insert on auth.users
    for each row
    execute function handle_new_user();
