-- $1 the run, $2 the batch before, $3 whether to do it or only to say. See the comment on rollcall.undo_batch().
select u.batch, u.removed, u.gone, u.skipped
from rollcall.undo_batch($1, $2, $3) u
