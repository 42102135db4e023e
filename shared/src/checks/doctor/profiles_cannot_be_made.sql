-- The definition does not fit its table any more: the table was renamed, moved or changed, or a right is gone.
select
  case when s.is_by_definition then 'critical' when f.unreadable is not null then 'unknown' else 'warning' end,
  case
    when s.is_by_definition then 'neither signup nor repair can make a profile: '
    when f.unreadable is not null then 'users and profiles cannot be compared: '
    else 'a repair cannot make a profile: '
  end || f.fault,
  case
    when s.is_by_definition then 'Everyone who signs up from now on is without a profile.'
    when f.unreadable is not null then 'How many users have no profile is not known.'
    else 'Signups go on as they do. Who is without a profile stays so.'
  end,
  array[format('profile table: %s', f.target_name), format('key: %s', f.key_column)],
  'Draft the definition again and set it: rollcall definition draft, then rollcall definition set FILE.',
  null
from facts f cross join trigger_state s
where f.fault is not null
