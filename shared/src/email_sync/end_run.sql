-- $1 the run, $2 how many could not be changed, $3 the error that ended it, $4 whether all were attempted. Without an error,
-- one that was not brought to its end was ended by a person.
update rollcall.run r
set
  failed = $2,
  state = case when r.state <> 'running' then r.state when $3 is not null then 'failed' when $4 then 'done' else 'cancelled' end,
  stop_reason = coalesce($3, case when $4 then 'complete' end),
  leased_until = null, updated_at = clock_timestamp(), finished_at = clock_timestamp()
where r.run_id = $1
