-- The one row of the compatible function; numeric has no counterpart in the program, two decimals fit a double.
select m.check_time, m.recent_signups_count, m.signups_missing_profiles, m.health_percentage::float8 as health_percentage
from public.monitor_signup_health() m
