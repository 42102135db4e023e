-- $1 source, $2 profiles in a batch, $3 how many profiles are to be changed
insert into rollcall.run (kind, source, batch_size, total_missing, leased_until)
values ('emails', $1, $2, $3, clock_timestamp() + interval '10 seconds')
returning run_id
