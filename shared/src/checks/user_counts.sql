-- Users against profiles, both ways: see the comment on rollcall.user_counts().
select
  c.users, c.soft_deleted, c.expected, c.profiles, c.healthy,
  c.missing, c.missing_anonymous, c.missing_phone, c.missing_sso, c.missing_unconfirmed, c.orphaned, c.newest_missing
from rollcall.user_counts() c
