-- Projects may keep the audit log outside of PostgreSQL, and new ones do. The verdict does not need it.
select
  'info',
  case s.state
    when 'off' then 'the audit log is not written to PostgreSQL: history and deletions are not available'
    else 'the audit log in PostgreSQL has not been written for a while: history and deletions end where it ends'
  end,
  'Who signed up and is gone cannot be told; who has no profile can.',
  array[format('audit log: %s', s.state)],
  'The verdict does not need it. To have history: Supabase dashboard, Authentication, Audit Logs, write to the database.',
  null
from rollcall.audit_log_state() s (state)
where s.state <> 'on'
