-- The application of the demo: a profile and a wallet for everybody who signs up.
create table public.profiles (
  id uuid primary key references auth.users on delete cascade,
  email text,
  plan text not null default 'free',
  created_at timestamptz not null default now()
);
create table public.wallets (
  user_id uuid primary key references public.profiles on delete cascade,
  credits integer not null
);

create function public.handle_new_user() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email) values (new.id, new.email);
  insert into public.wallets (user_id, credits) values (new.id, 10);
  return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
