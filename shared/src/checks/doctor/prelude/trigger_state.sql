-- Who makes the profiles when somebody signs up, in a word; and what is said of a definition that cannot be followed.
trigger_state as materialized (
  select
    w.*,
    case when w.is_by_definition then 'critical' else 'warning' end as severity
  from (
    select
      case
        when bool_or(t.is_ours and t.is_enabled) then 'in_place'
        when bool_or(t.is_enabled and not t.is_ours and (m.makes_profiles or m.hands_on or l.target is null)) then 'application'
        when bool_or(m.makes_profiles) then 'disabled'
        else 'missing'
      end as state,
      coalesce(bool_or(t.is_enabled and m.makes_profiles), false) as has_maker,
      -- nothing but Rollcall's trigger makes profiles: what the definition gets wrong, signups get wrong
      coalesce(
        bool_or(t.is_enabled and t.is_ours) and not bool_or(t.is_enabled and not t.is_ours and m.makes_profiles), false
      ) as is_by_definition
    from path_trigger t
    cross join place l
    join maker m on m.trigger_id = t.trigger_id
  ) w
)
