-- Signups as Supabase Auth writes them, through every trigger.
create temporary table person as
select
  gen_random_uuid() as id,
  'person' || n || '@example.com' as email,
  now() - n * interval '20 minutes' as signed_up_at
from generate_series(1, 1000) n;

insert into auth.users (
  instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, confirmation_token, recovery_token,
  email_change_token_new, email_change, last_sign_in_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at
)
select
  '00000000-0000-0000-0000-000000000000', id, 'authenticated', 'authenticated', email,
  '$2a$10$' || repeat('x', 53), signed_up_at, '', '', '', '', signed_up_at,
  '{"provider": "email", "providers": ["email"]}',
  jsonb_build_object('sub', id, 'email', email, 'email_verified', true),
  signed_up_at, signed_up_at
from person
order by signed_up_at;

insert into auth.audit_log_entries (instance_id, id, payload, created_at)
select
  '00000000-0000-0000-0000-000000000000',
  gen_random_uuid(),
  jsonb_build_object(
    'action', 'user_signedup', 'actor_id', id, 'actor_username', email, 'actor_via_sso', false, 'log_type', 'team',
    'traits', jsonb_build_object('provider', 'email')
  )::json,
  signed_up_at
from person
order by signed_up_at;
