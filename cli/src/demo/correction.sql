-- The team corrects its own function.
create or replace function public.handle_new_user() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, email, handle)
  values (new.id, new.email, left('user_' || replace(new.id::text, '-', ''), 20));
  insert into public.wallets (user_id, credits) values (new.id, 10);
  return new;
end
$$;
