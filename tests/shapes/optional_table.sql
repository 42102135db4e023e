-- A magazine without profiles: one table has the user's id as its key, and few users ever get a row in it, by their own
-- wish.
--
-- @target none
-- @candidates public.newsletter_subscriptions
-- @by-server insert into public.newsletter_subscriptions (user_id, email) select u.id, u.email from auth.users u where u.id = $1 and u.email is not null and right(u.id::text, 1) = '3'

create table public.articles (
  id bigint generated always as identity primary key,
  title text not null,
  body text not null default ''
);
create table public.newsletter_subscriptions (
  user_id uuid primary key references auth.users (id) on delete cascade,
  email text not null,
  subscribed_at timestamptz not null default now()
);
alter table public.articles enable row level security;
alter table public.newsletter_subscriptions enable row level security;
create policy "read" on public.articles for select using (true);
create policy "subscribe yourself" on public.newsletter_subscriptions for all using (auth.uid() = user_id);
