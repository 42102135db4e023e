-- Before rows of the application's are changed: the schemas in which its triggers look for what they name, less time for a
-- lock than PostgreSQL takes to call a deadlock, and where the run stands. $1 the run.
select set_config('search_path', rollcall.application_path(), true), set_config('lock_timeout', '500ms', true), r.state
from rollcall.run r
where r.run_id = $1
for no key update of r
