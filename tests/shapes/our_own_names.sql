-- A table whose columns are called like everything that Rollcall's own statements name, and a few that need quotes.
--
-- @target public.profiles user_id
-- @form full_name=Person {n}; seen=often {n}

create table public.profiles (
  id bigint generated always as identity primary key,
  user_id uuid not null unique references auth.users on delete cascade,
  email text,
  p text, t text, e text, a text, u text, s text, c text, q text, r text, v text, x text,
  seen text,
  code text not null default 'none',
  candidates integer not null default 0,
  settled_before timestamptz,
  made boolean not null default false,
  run_id text, batch text, receipts text, state text, reason text, wanted text, wrong text, hidden text,
  target_table text, key_column text, query text, actual_query text, columns text[], definition text, profile text,
  _signed_up_at text, _created_at text,
  missing bigint not null default 0,
  "select" text, "order" text, "table" text, "user" text default 'nobody', "all" text, "from" text,
  "100% sure" text, "it's" text, "say ""hi""" text, "$1" text, "%I" text, "naïve ☂" text,
  "a_name_of_sixty_three_bytes_which_is_as_long_as_postgresql_takes" text
);
alter table public.profiles enable row level security;
create policy "own profile" on public.profiles for select using (auth.uid() = user_id);

create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (user_id, email, p, seen, t, e, "select", "100% sure", "it's", "say ""hi""", "%I")
  values (new.id, new.email, split_part(new.email, '@', 1), new.raw_user_meta_data ->> 'seen', 't', new.email, new.phone,
    new.raw_user_meta_data ->> 'full_name', 'it''s', '100%', '%s');
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
