-- $1 the run, $2 whose lease it is, $3 milliseconds (null: give it back), $4 what it waits for, $5 the error that ends it
select rollcall.hold_run($1, $2, $3, $4, $5)
