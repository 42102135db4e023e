-- An application that writes every name as people say it; its profiles have numbers of their own.
--
-- @target "My App"."User Profiles" "User Id"
-- @replay no
-- @make no
-- @left-out anonymous

create schema "My App";
grant usage on schema "My App" to authenticated, service_role;
create table "My App"."User Profiles" (
  "User Id" uuid primary key references auth.users on delete cascade,
  "E-mail" text,
  "Member No" bigserial
);
alter table "My App"."User Profiles" enable row level security;

create function public."Handle First Identity"() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into "My App"."User Profiles" ("User Id", "E-mail") values (new.user_id, new.identity_data ->> 'email') on conflict do nothing;
  return null;
end
$$;
create trigger "On First Identity" after insert on auth.identities for each row execute function public."Handle First Identity"();
