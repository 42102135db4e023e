-- An address becomes base64url(sha256(id || address)) without padding, a phone number the first 15
-- characters of that. Users without an address get the hash of nothing.
with hashed as (
  select
    id,
    translate(encode(sha256(convert_to(id::text || coalesce(email, ''), 'UTF8')), 'base64'), '+/=', '-_') as email,
    translate(encode(sha256(convert_to(id::text || coalesce(phone, ''), 'UTF8')), 'base64'), '+/=', '-_') as phone,
    translate(encode(sha256(convert_to(id::text || coalesce(email_change, ''), 'UTF8')), 'base64'), '+/=', '-_') as email_change,
    translate(encode(sha256(convert_to(id::text || coalesce(phone_change, ''), 'UTF8')), 'base64'), '+/=', '-_') as phone_change
  from auth.users
  where id = $1
)
update auth.users
set
  email = hashed.email,
  phone = left(hashed.phone, 15),
  email_change = hashed.email_change,
  phone_change = left(hashed.phone_change, 15),
  encrypted_password = null,
  confirmation_token = '',
  recovery_token = '',
  email_change_token_current = '',
  email_change_token_new = '',
  phone_change_token = '',
  raw_user_meta_data = '{}',
  raw_app_meta_data = '{}',
  deleted_at = $2,
  updated_at = $2
from hashed
where users.id = hashed.id
