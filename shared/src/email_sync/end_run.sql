-- $1 the run, $2 how many could not be changed, $3 the error that ended it. One that a person ended stays so.
update rollcall.run r
set
  failed = $2, state = case when r.state <> 'running' then r.state when $3 is null then 'done' else 'failed' end,
  stop_reason = coalesce($3, 'complete'), leased_until = null, updated_at = clock_timestamp(), finished_at = clock_timestamp()
where r.run_id = $1
