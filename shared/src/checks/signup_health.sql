-- Signups of the last hour: see the comment on rollcall.recent_health().
select h.check_time, h.signups, h.missing
from rollcall.recent_health(interval '1 hour') h
