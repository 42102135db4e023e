-- Projects may keep the audit log outside of PostgreSQL, and new ones do. The verdict does not need it.
create or replace function rollcall.audit_log_finding(p_state text) returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'info',
    case p_state
      when 'off' then 'the audit log is not written to PostgreSQL: history and deletions are not available'
      else 'the audit log in PostgreSQL has not been written for a while: history and deletions end where it ends'
    end,
    'Who signed up and is gone cannot be told; who has no profile can.',
    array[format('audit log: %s', p_state)],
    'The verdict does not need it. To have history: Supabase dashboard, Authentication, Audit Logs, write to the database.',
    null
  where p_state <> 'on'
$$;
comment on function rollcall.audit_log_finding(text) is
  'What the check audit_log_not_written finds where the audit log is in this state (rollcall.audit_log_state()).';

create or replace function rollcall.doctor_audit_log_not_written() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select f.*
  from rollcall.audit_log_finding(case when rollcall.sees_everything() then rollcall.audit_log_state() else 'on' end) f
$$;
comment on function rollcall.doctor_audit_log_not_written() is
  'Check audit_log_not_written: the audit log in PostgreSQL is off or stale.';
