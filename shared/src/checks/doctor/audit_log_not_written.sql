-- Projects may keep the audit log outside of PostgreSQL, and new ones do. The verdict does not need it.
select
  'info',
  case s.state
    when 'off' then 'the audit log is not written to PostgreSQL: history and deletions are not available'
    else 'the audit log in PostgreSQL has not been written for a while: history and deletions end where it ends'
  end,
  'Who signed up and is gone is not known; who has no profile is.',
  array[format('audit log: %s', s.state)],
  'The verdict does not need it. To have history: Supabase dashboard, Authentication, Audit Logs, write to the database.',
  null
from (
  select case when f.unreadable is null then rollcall.audit_log_state() else 'on' end as state
  from facts f
  -- else PostgreSQL may ask it while it plans
  offset 0
) s
where s.state <> 'on'
