-- Whoever owns the functions of Rollcall must see every row, else a check of the data would read hidden rows as none.
create or replace function rollcall.doctor_not_all_visible() returns setof rollcall.doctor_finding
language plpgsql stable set search_path = '' as $$
declare
  reason text;
  hint text;
begin
  perform rollcall.require_sight();
exception when others then
  get stacked diagnostics reason = message_text, hint = pg_exception_hint;
  return next row(
    'unknown',
    case when reason like 'rollcall: %' then substr(reason, length('rollcall: ') + 1) else format('users and profiles cannot be compared (SQLSTATE %s)', sqlstate) end,
    'How many users have no profile is not known, and the checks that read users or profiles say nothing.',
    array[format('role %s', current_user), format('SQLSTATE %s', sqlstate)],
    coalesce(case when reason like 'rollcall: %' then hint end, 'Run the migrations again: rollcall migrate --again.'),
    null
  )::rollcall.doctor_finding;
end
$$;
comment on function rollcall.doctor_not_all_visible() is
  'Check not_all_visible: hidden rows, or a definition that is incomplete.';
