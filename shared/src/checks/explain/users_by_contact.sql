-- Users with an e-mail address, but for case, or a phone number.
select u.id as user_id
from auth.users u
where lower(u.email::text) = lower(btrim($1))
  -- Supabase Auth stores numbers without the plus sign
  or u.phone::text = nullif(regexp_replace($1, '[^0-9]', '', 'g'), '') and $1 !~ '@'
order by u.created_at, u.id
limit 10
