-- $1 the user. See the comment on rollcall.user_facts(); "infinity" is a date for PostgreSQL, and none for anybody else.
select
  f.is_user, f.is_expected, f.has_profile, f.is_in_grace, f.is_soft_deleted, f.is_anonymous, f.is_sso, f.is_confirmed,
  f.is_banned, f.email, f.phone_only, f.email_differs, f.signup_logged, f.deletion_logged, f.audit_log,
  f.failure_sqlstate, f.failure_constraint, f.failure_column, f.failure_functions, f.failure_attempts, f.failure_last_at
from rollcall.user_facts($1) f
