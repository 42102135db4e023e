-- The columns that Supabase Auth fills in a new row; whatever comes later is an update. Nobody signs
-- in to the sandbox, so there are no passwords.
insert into auth.users (
  instance_id, id, aud, role, email, phone, encrypted_password,
  raw_app_meta_data, raw_user_meta_data, is_sso_user, is_anonymous, created_at, updated_at,
  confirmation_token, recovery_token, email_change, email_change_token_new,
  email_change_token_current, email_change_confirm_status, phone_change, phone_change_token,
  reauthentication_token
) values (
  '00000000-0000-0000-0000-000000000000', $1, 'authenticated', '', $2, $3, '',
  $4, $5, $6, $7, $8, $8,
  '', '', '', '', '', 0, '', '', ''
)
