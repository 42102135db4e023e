-- What people were told, and what they have yet to be told.
--
--   incident       a check found something wrong (or could not look), from then until all is well again
--   alert_message  one message about an incident, kept until a topic has taken it
--   alert_state    a row for each check: whoever decides about its incidents holds that row
--
-- The decisions are the program's (shared/src/alert). Here is only what makes them hold: one invocation decides at a
-- time, a decision and its message commit together, and a message is leased to the one that publishes it.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

create table if not exists rollcall.alert_state (
  check_name text primary key check (check_name in ('health', 'recent')),
  checked_at timestamptz
);
alter table rollcall.alert_state enable row level security;
comment on table rollcall.alert_state is
  'One row for each scheduled check. Its lock makes overlapping invocations decide one after the other.';
comment on column rollcall.alert_state.check_name is 'health or recent.';
comment on column rollcall.alert_state.checked_at is
  'The moment that the newest report speaks of; an older one that arrives later decides nothing.';

create table if not exists rollcall.incident (
  id uuid primary key,
  check_name text not null references rollcall.alert_state,
  severity text not null check (severity in ('alert', 'critical')),
  opened_at timestamptz not null,
  seen_at timestamptz not null,
  good_since timestamptz,
  resolved_at timestamptz,
  told_at timestamptz not null,
  finding_ids text[] not null,
  missing bigint not null,
  told_missing bigint not null,
  user_ids uuid[] not null
);
alter table rollcall.incident enable row level security;
create unique index if not exists incident_open_idx on rollcall.incident (check_name) where resolved_at is null;
create index if not exists incident_opened_at_idx on rollcall.incident (check_name, opened_at);
comment on index rollcall.incident_open_idx is 'A check has one open incident at most.';
comment on index rollcall.incident_opened_at_idx is 'Finds the incidents of the last hour, and old ones.';
comment on table rollcall.incident is
  'Incidents: from the first report that something is wrong to the one that all is well. Ids, times and counts only; resolved ones are kept for 90 days.';
comment on column rollcall.incident.id is 'Stable from the first message to the last: what a pager or a chat groups them by.';
comment on column rollcall.incident.check_name is 'health or recent.';
comment on column rollcall.incident.severity is 'critical: signups fail right now; alert: everything else. It chooses the topic.';
comment on column rollcall.incident.opened_at is 'When the first message was decided on.';
comment on column rollcall.incident.seen_at is 'When a report last found something wrong.';
comment on column rollcall.incident.good_since is 'Since when reports find nothing wrong, where that has yet to last.';
comment on column rollcall.incident.resolved_at is 'When all was well again. Null: it is open.';
comment on column rollcall.incident.told_at is 'When the newest message was decided on.';
comment on column rollcall.incident.finding_ids is 'Every finding that people were told of.';
comment on column rollcall.incident.missing is 'Users without a profile, by the newest report that could count.';
comment on column rollcall.incident.told_missing is 'The number in the newest message.';
comment on column rollcall.incident.user_ids is 'Some of the users whom the messages named: at most ten.';

create table if not exists rollcall.alert_message (
  id bigint generated always as identity primary key,
  check_name text not null references rollcall.alert_state,
  incident_id uuid not null references rollcall.incident on delete cascade,
  notice jsonb not null check (length(notice::text) <= 65536),
  created_at timestamptz not null default now(),
  attempts integer not null default 0,
  claimed_by uuid,
  claimed_until timestamptz,
  sent_at timestamptz
);
alter table rollcall.alert_message enable row level security;
create index if not exists alert_message_unsent_idx on rollcall.alert_message (check_name, id) where sent_at is null;
create index if not exists alert_message_incident_idx on rollcall.alert_message (incident_id);
comment on index rollcall.alert_message_unsent_idx is 'Finds the next message to send.';
comment on index rollcall.alert_message_incident_idx is 'Finds the messages of an incident.';
comment on table rollcall.alert_message is
  'Messages about incidents. One that no topic has taken is offered to every next invocation, for a week.';
comment on column rollcall.alert_message.id is 'The order in which they are sent, for each check.';
comment on column rollcall.alert_message.check_name is 'health or recent.';
comment on column rollcall.alert_message.incident_id is 'What it is about.';
comment on column rollcall.alert_message.notice is 'What it says: ids and counts only.';
comment on column rollcall.alert_message.created_at is 'When it was decided on.';
comment on column rollcall.alert_message.attempts is 'How often an invocation set out to publish it.';
comment on column rollcall.alert_message.claimed_by is 'The invocation that publishes it now.';
comment on column rollcall.alert_message.claimed_until is
  'When that invocation has ended for certain, and another may publish it.';
comment on column rollcall.alert_message.sent_at is 'When a topic took it.';

create or replace function rollcall.incident_begin(p_check text)
returns table (
  decided_at timestamptz, fresh_id uuid, incident jsonb, checked_at timestamptz,
  recently_opened bigint, still_missing bigint, has_unsent boolean
)
language plpgsql security definer set search_path = '' set row_security = off as $$
declare
  state rollcall.alert_state;
  open_incident rollcall.incident;
  unmended bigint := 0;
begin
  insert into rollcall.alert_state (check_name) values (p_check) on conflict do nothing;
  select s.* into state from rollcall.alert_state s where s.check_name = p_check for update;
  select i.* into open_incident from rollcall.incident i where i.check_name = p_check and i.resolved_at is null;
  if cardinality(open_incident.user_ids) > 0 then
    begin
      select count(*) into unmended from rollcall.missing_among(open_incident.user_ids);
    exception when others then
      -- who cannot be looked at counts as he was
      unmended := cardinality(open_incident.user_ids);
    end;
  end if;
  return query select
    clock_timestamp(),
    gen_random_uuid(),
    case when open_incident.id is not null then to_jsonb(open_incident) end,
    state.checked_at,
    (
      select count(*) from rollcall.incident i
      where i.check_name = p_check and i.resolved_at is not null and i.opened_at > now() - interval '1 hour'
    ),
    unmended,
    exists (select from rollcall.alert_message m where m.check_name = p_check and m.sent_at is null);
end
$$;
comment on function rollcall.incident_begin(text) is
  'Locks the incidents of a check until the transaction ends, and says how things are: the open incident, when the newest report was taken, how many incidents of the last hour are over, how many of the users whom the open one named still miss their profile, and whether a message waits.';

create or replace function rollcall.incident_record(p_check text, p_checked_at timestamptz, p_incident jsonb, p_notices jsonb)
returns void
language plpgsql security definer set search_path = '' set row_security = off as $$
declare
  changed rollcall.incident;
begin
  update rollcall.alert_state s set checked_at = greatest(s.checked_at, least(p_checked_at, clock_timestamp()))
  where s.check_name = p_check;
  if p_incident is not null then
    changed := jsonb_populate_record(null::rollcall.incident, p_incident);
    changed.check_name := p_check;
    insert into rollcall.incident select changed.*
    on conflict (id) do update set
      seen_at = excluded.seen_at, good_since = excluded.good_since, resolved_at = excluded.resolved_at,
      told_at = excluded.told_at, finding_ids = excluded.finding_ids, missing = excluded.missing,
      told_missing = excluded.told_missing, user_ids = excluded.user_ids;
    insert into rollcall.alert_message (check_name, incident_id, notice)
    select p_check, changed.id, n.notice from jsonb_array_elements(p_notices) with ordinality n (notice, place)
    order by n.place;
  end if;
  delete from rollcall.incident i
  where i.id in (
    select old.id from rollcall.incident old
    where old.check_name = p_check and old.resolved_at < now() - interval '90 days'
    limit 100
  );
  delete from rollcall.alert_message m
  where m.check_name = p_check and m.sent_at is null and m.created_at < now() - interval '7 days';
end
$$;
comment on function rollcall.incident_record(text, timestamptz, jsonb, jsonb) is
  'Keeps a decision together with its messages; called in the transaction of rollcall.incident_begin(). Forgets what is long over.';

create or replace function rollcall.alert_claim(p_check text, p_claim uuid, p_lease interval)
returns table (message_id bigint, notice jsonb)
language plpgsql security definer set search_path = '' set row_security = off as $$
begin
  perform from rollcall.alert_state s where s.check_name = p_check for update;
  return query
    update rollcall.alert_message m
    set claimed_by = p_claim, claimed_until = clock_timestamp() + least(p_lease, interval '5 minutes'), attempts = m.attempts + 1
    -- only the oldest: nobody hears of an end before the beginning
    where m.id = (
        select f.id from rollcall.alert_message f
        where f.check_name = p_check and f.sent_at is null
        order by f.id
        limit 1
      )
      and (m.claimed_until is null or m.claimed_until < clock_timestamp() or m.claimed_by = p_claim)
    returning m.id, m.notice;
end
$$;
comment on function rollcall.alert_claim(text, uuid, interval) is
  'Leases the oldest message of a check that no topic has taken yet to one invocation. No row: there is none, or another invocation has it.';

create or replace function rollcall.alert_settle(p_message_id bigint, p_claim uuid, p_sent boolean) returns void
language sql security definer set search_path = '' set row_security = off as $$
  update rollcall.alert_message m
  set claimed_until = null, sent_at = case when p_sent then clock_timestamp() end
  where m.id = p_message_id and m.claimed_by = p_claim and m.sent_at is null
$$;
comment on function rollcall.alert_settle(bigint, uuid, boolean) is
  'Ends a lease: the topic took the message, or the next invocation is to try.';

create or replace function rollcall.missing_user_ids(p_limit integer) returns setof uuid
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  settled_before timestamptz := 'infinity';
begin
  perform rollcall.require_sight();
  if to_regprocedure('rollcall.settled_before()') is not null then
    settled_before := rollcall.settled_before();
  end if;
  return query
    select e._user_id
    from rollcall.expected_profile e
    where not exists (select from rollcall.actual_profile a where a._user_id = e._user_id)
      and not coalesce(e._signed_up_at between settled_before and now() + interval '5 minutes', false)
    order by e._signed_up_at desc nulls last, e._user_id
    limit least(p_limit, 100);
end
$$;
comment on function rollcall.missing_user_ids(integer) is
  'The newest users without a profile, ids only, at most 100: what an alert lists.';

create or replace function rollcall.incidents(p_since timestamptz)
returns table (
  id uuid, check_name text, severity text, opened_at timestamptz, seen_at timestamptz, resolved_at timestamptz,
  finding_ids text[], missing bigint, unsent_messages bigint
)
language sql stable security definer set search_path = '' set row_security = off as $$
  select
    i.id, i.check_name, i.severity, i.opened_at, i.seen_at, i.resolved_at, i.finding_ids, i.missing,
    (select count(*) from rollcall.alert_message m where m.incident_id = i.id and m.sent_at is null)
  from rollcall.incident i
  where i.resolved_at is null or i.opened_at >= p_since
  order by i.opened_at desc
  limit 1000
$$;
comment on function rollcall.incidents(timestamptz) is
  'Open incidents, and those opened since a moment, newest first, at most 1000.';

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261124000500' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

revoke all on all tables in schema rollcall from public, anon, authenticated;
revoke all on all functions in schema rollcall from public, anon, authenticated;
grant execute on function
  rollcall.incident_begin(text),
  rollcall.incident_record(text, timestamptz, jsonb, jsonb),
  rollcall.alert_claim(text, uuid, interval),
  rollcall.alert_settle(bigint, uuid, boolean),
  rollcall.missing_user_ids(integer),
  rollcall.incidents(timestamptz),
  -- how large a share of the recent signups failed
  rollcall.recent_health(interval)
to rollcall_monitor;
