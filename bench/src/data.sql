-- A project of {users} users and {audit} entries of the audit log, three years old, with Rollcall's migrations: 1 % of the
-- users without a profile, and half a percent more people in the log who are gone. Runs as the superuser, past every
-- trigger, in the physical order in which it would have come. The server keeps the statistics of empty tables.
analyze auth.users;
analyze auth.audit_log_entries;
analyze public.profiles;
begin;
set local session_replication_role = replica;

create temporary table person on commit drop as
select
  n,
  md5('person ' || n)::uuid as id,
  'person' || n || '@example.com' as email,
  now() - ({people} - n) * (interval '3 years' / {people}) as signed_up_at,
  n % 201 = 7 as is_gone
from generate_series(1, {people}) n;

insert into auth.users (
  instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, confirmation_token, recovery_token,
  email_change_token_new, email_change, last_sign_in_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at
)
select
  '00000000-0000-0000-0000-000000000000', id, 'authenticated', 'authenticated', email,
  '$2a$10$' || repeat('x', 53), signed_up_at, '', '', '', '', signed_up_at,
  '{"provider": "email", "providers": ["email"]}',
  jsonb_build_object('sub', id, 'email', email, 'full_name', 'Person ' || n, 'email_verified', true),
  signed_up_at, signed_up_at
from person
where not is_gone
order by n;

insert into public.profiles (id, email, created_at, updated_at)
select id, email, signed_up_at, signed_up_at
from person
where not is_gone and n % 100 <> 3
order by n;

insert into auth.audit_log_entries (instance_id, id, payload, created_at)
select
  '00000000-0000-0000-0000-000000000000',
  md5('entry ' || entry.number)::uuid,
  case
    -- every tenth signup was made by an administrator
    when entry.action = 'user_signedup' and subject.n % 10 = 0 then
      '{"action":"user_signedup","actor_id":"00000000-0000-0000-0000-000000000000","actor_username":"service_role","actor_via_sso":false,"log_type":"team","traits":{"provider":"email","user_email":"person'
      || subject.n || '@example.com","user_id":"' || subject.id || '","user_phone":""}}'
    else
      '{"action":"' || entry.action || '","actor_id":"' || subject.id || '","actor_name":"Person ' || subject.n
      || '","actor_username":"person' || subject.n || '@example.com","actor_via_sso":false,"log_type":"' || entry.log_type || '"'
      || case when entry.action in ('user_signedup', 'login') then ',"traits":{"provider":"email"}' else '' end || '}'
  end::json,
  now() - ({audit} - entry.number) * (interval '3 years' / {audit})
from (
  select
    number,
    -- one signup for each person, between the sign-ins of those who came before
    case
      when number % {entries_a_person} = 0 then number / {entries_a_person}
      else 1 + hashint8(number)::bigint & 2147483647 % greatest(number / {entries_a_person}, 1)
    end as n,
    case
      when number % {entries_a_person} = 0 then 'user_signedup'
      when number % 3 = 0 then 'login'
      when number % 3 = 1 then 'token_refreshed'
      else 'token_revoked'
    end as action,
    case when number % {entries_a_person} = 0 then 'team' when number % 3 = 0 then 'account' else 'token' end as log_type
  from generate_series(1, {audit}) number
) entry
cross join lateral (select least(entry.n, {people}) as n, md5('person ' || least(entry.n, {people}))::uuid as id) subject
order by entry.number;

commit;
