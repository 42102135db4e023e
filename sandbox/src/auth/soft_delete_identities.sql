-- The provider's name for the person becomes base64url(sha256(id || provider || ':' || name)).
update auth.identities
set
  identity_data = '{}',
  provider_id = translate(
    encode(sha256(convert_to(user_id::text || provider || ':' || provider_id, 'UTF8')), 'base64'), '+/=', '-_'
  ),
  updated_at = $2
where user_id = $1
