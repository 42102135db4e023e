-- Whether each trigger seems to make profiles (by what it runs and what that calls), or hands the signup on to something
-- that may: a web hook, a queue, a language that is not read here.
maker as materialized (
  select
    t.trigger_id,
    t.is_ours or coalesce(bool_or(
      r.text ~* p.pattern or r.text ~* '\mexecute\M' and r.source ~* '\mexecute\M.*\minsert\M'
    ), false) as makes_profiles,
    coalesce(bool_or(
      f.language not in ('plpgsql', 'sql', 'c', 'internal') or f.schema in ('supabase_functions', 'realtime')
      or r.text ~* '\m(net|pgmq|realtime)\s*\.\s*\w+\s*\(|\m(http|dblink)\w*\s*\(|\mpg_notify\M|\mnotify\s+\w'
    ), false) as hands_on,
    max((select count(*) from regexp_matches(r.text, '\mbegin\M', 'gi'))) filter (where r.caller is null) as blocks
  from path_trigger t
  cross join profile_insert p
  left join run r on r.trigger_id = t.trigger_id
  left join routine f on f.function_id = r.function_id
  group by t.trigger_id, t.is_ours
)
