-- What people were notified of, and what they have yet to be. The decisions are the program's (shared/src/alert). Here is
-- only what makes them hold: one invocation decides at a time, a decision and its messages commit together, and a message
-- is leased to the one that publishes it. The role that calls these functions is a reader: what it records is bounded by
-- the server's clock and by what is there, so that it can delay a message by one reminder at most.

create or replace function rollcall.incident_begin(p_check text)
returns table (
  decided_at timestamptz, fresh_id uuid, incident jsonb, checked_at timestamptz,
  recently_opened bigint, still_missing bigint, has_unsent boolean
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  open_incident rollcall.incident;
  unresolved bigint := 0;
begin
  perform rollcall.refuse_api_roles(), pg_advisory_xact_lock(hashtextextended('rollcall.incident:' || p_check, 0));
  select i.* into open_incident from rollcall.incident i where i.check_name = p_check and i.resolved_at is null;
  if cardinality(open_incident.user_ids) > 0 then
    begin
      select count(*) into unresolved from rollcall.missing_among(open_incident.user_ids);
    exception when others then
      -- users who cannot be looked at count as they were
      unresolved := cardinality(open_incident.user_ids);
    end;
  end if;
  return query select
    clock_timestamp(),
    gen_random_uuid(),
    case when open_incident.id is not null then to_jsonb(open_incident) end,
    -- a clock that was ahead once keeps no report back
    (
      select case when (s.decided_at ->> p_check)::timestamptz > clock_timestamp() then clock_timestamp() else (s.decided_at ->> p_check)::timestamptz end
      from rollcall.settings s
    ),
    (
      select count(*) from rollcall.incident i
      where i.check_name = p_check and i.resolved_at is not null and i.opened_at > now() - interval '1 hour'
    ),
    unresolved,
    exists (
      select from rollcall.message m join rollcall.incident i on i.id = m.incident_id
      where i.check_name = p_check and m.sent_at is null
    );
end
$$;
comment on function rollcall.incident_begin(text) is
  'Locks the incidents of a check until the transaction ends, and says how things are: the open incident, when the newest report was taken, how many incidents of the last hour are over, how many of the users that the open one named still have no profile, and whether a message waits.';

create or replace function rollcall.incident_record(p_check text, p_checked_at timestamptz, p_incident jsonb, p_notices jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  present constant timestamptz := clock_timestamp();
  -- an infinite time could be read by nobody
  earliest constant timestamptz := present - interval '1 year';
  -- where nobody takes them, more are not kept
  max_unsent constant integer := 100;
  i rollcall.incident;
begin
  perform rollcall.refuse_api_roles();
  update rollcall.settings s
  set decided_at = s.decided_at || jsonb_build_object(p_check, least(p_checked_at, present))
  where p_check in ('health', 'recent') and p_checked_at is not null
    and not coalesce((s.decided_at ->> p_check)::timestamptz between p_checked_at and present, false);
  if p_incident is not null then
    i := jsonb_populate_record(null::rollcall.incident, p_incident);
    insert into rollcall.incident as o (
      id, check_name, severity, opened_at, seen_at, good_since, resolved_at, told_at, finding_ids, missing, told_missing, user_ids)
    values (
      i.id, p_check, i.severity, greatest(least(i.opened_at, present), earliest), greatest(least(i.seen_at, present), earliest),
      case when i.good_since is not null then greatest(least(i.good_since, present), earliest) end,
      case when i.resolved_at is not null then present end,
      -- nobody has heard what there is no message about
      case when jsonb_array_length(p_notices) > 0 then greatest(least(i.told_at, present), earliest) else earliest end,
      array(select left(f, 100) from unnest(i.finding_ids) f where f is not null limit 100), i.missing, i.told_missing,
      array(select u from unnest(i.user_ids) u where u is not null limit 10))
    on conflict (id) do update set
      severity = excluded.severity, seen_at = excluded.seen_at, good_since = excluded.good_since, resolved_at = excluded.resolved_at,
      told_at = greatest(o.told_at, excluded.told_at), finding_ids = excluded.finding_ids, missing = excluded.missing,
      told_missing = excluded.told_missing, user_ids = excluded.user_ids
    where o.check_name = p_check and o.resolved_at is null;
    insert into rollcall.message (incident_id, notice)
    select i.id, n.notice
    from jsonb_array_elements(p_notices) with ordinality n (notice, position)
    where n.position <= 10 and max_unsent > (
      select count(*) from rollcall.message m join rollcall.incident x on x.id = m.incident_id
      where x.check_name = p_check and m.sent_at is null)
    order by n.position;
  end if;
  delete from rollcall.message m where m.sent_at is null and m.created_at < now() - interval '7 days';
end
$$;
comment on function rollcall.incident_record(text, timestamptz, jsonb, jsonb) is
  'Keeps a decision together with its messages; called in the transaction of rollcall.incident_begin(). Times are not later than the server''s, and only a message moves the time of the newest one.';

create or replace function rollcall.lease_message(p_check text, p_lease_owner uuid, p_lease interval)
returns table (message_id bigint, notice jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform rollcall.refuse_api_roles(), pg_advisory_xact_lock(hashtextextended('rollcall.incident:' || p_check, 0));
  return query
    update rollcall.message m
    set lease_owner = p_lease_owner, leased_until = clock_timestamp() + least(p_lease, interval '5 minutes'), attempts = m.attempts + 1
    -- only the oldest: nobody hears of an end before the beginning
    where m.id = (
        select f.id
        from rollcall.message f join rollcall.incident i on i.id = f.incident_id
        where i.check_name = p_check and f.sent_at is null
        order by f.id
        limit 1
      )
      and (m.leased_until is null or m.leased_until < clock_timestamp() or m.lease_owner = p_lease_owner
        -- a clock that was ahead once
        or m.leased_until > clock_timestamp() + interval '5 minutes')
    returning m.id, m.notice;
end
$$;
comment on function rollcall.lease_message(text, uuid, interval) is
  'Leases the oldest message of a check that no topic has taken yet to one invocation, for 5 minutes at most. No row: there is none, or another invocation has it.';

create or replace function rollcall.acknowledge_message(p_message_id bigint, p_lease_owner uuid, p_sent boolean) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  update rollcall.message m
  set leased_until = null, sent_at = case when p_sent then clock_timestamp() end
  where m.id = p_message_id and m.lease_owner = p_lease_owner and m.sent_at is null
$$;
comment on function rollcall.acknowledge_message(bigint, uuid, boolean) is
  'Ends a lease: the topic took the message, or the next invocation is to try.';

create or replace function rollcall.incidents(p_since timestamptz)
returns table (
  id uuid, check_name text, severity text, opened_at timestamptz, seen_at timestamptz, resolved_at timestamptz,
  finding_ids text[], missing bigint, unsent_messages bigint
)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select
    i.id, i.check_name, i.severity, i.opened_at, i.seen_at, i.resolved_at, i.finding_ids, i.missing,
    (select count(*) from rollcall.message m where m.incident_id = i.id and m.sent_at is null)
  from rollcall.refuse_api_roles(), rollcall.incident i
  where i.resolved_at is null or i.opened_at >= p_since
  order by i.opened_at desc
  limit 1000
$$;
comment on function rollcall.incidents(timestamptz) is 'Open incidents, and those opened since a moment, newest first, at most 1,000.';
