-- One signup of every kind, and what kept them from being tried.
select
  now() as check_time, array(select b from rollcall.beyond_rollback() b order by b) as beyond_rollback,
  p.kind, p.outcome, p.code, p.constraint_name, p.column_name, coalesce(p.wrong_columns, '{}') as wrong_columns,
  p.tables_written, coalesce(p.failed_functions, '{}') as failed_functions, p.is_in_use, p.step, coalesce(p.later, '{}') as later,
  coalesce(p.side_tables, '{}') as side_tables
from rollcall.probe_signup() p
