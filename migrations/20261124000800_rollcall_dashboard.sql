-- What the dashboard shows beside the checks: the repairs of the last days.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

create or replace function rollcall.recent_repairs(p_limit integer default 5)
returns table (last_at timestamptz, created bigint, failed bigint)
language sql stable security definer set search_path = '' set row_security = off as $$
  select
    max(e.created_at),
    count(*) filter (where e.kind = 'profile_backfilled'),
    count(*) filter (where e.kind = 'profile_backfill_error')
  from public.user_events e
  where e.kind in ('profile_backfilled', 'profile_backfill_error')
    and e.created_at between now() - interval '7 days' and now()
  group by date_trunc('hour', e.created_at)
  order by 1 desc
  limit p_limit
$$;
comment on function rollcall.recent_repairs(integer) is
  'The newest hours of the last 7 days in which profiles were repaired, or could not be: when the last, and how many.';

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261124000800' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

revoke all on all functions in schema rollcall from public, anon, authenticated;
grant execute on function rollcall.recent_repairs(integer) to rollcall_monitor;
