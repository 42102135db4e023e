-- The statements that compare and change the e-mail addresses of profiles, made from the definition in force, what a
-- trigger of the profile table would send to other servers, and why a change cannot be tried and rolled back. Null statements: the definition has no column email.
-- Written is what the definition says, and only where that is the user's own address.
with profile as (
  select s.target_table, s.query, c.target_type,
    rollcall.key_as_uuid(s.key_column, s.key_is_uuid) as key, rollcall.key_match(s, 'w.user_id') as is_theirs,
    -- of the address as it stands in row t; with the id, so that it can be looked up in no table of hashes
    format('sha256(convert_to(w.user_id || %L || coalesce(t.email::text, %L), %L))', ' ', '', 'UTF8') as receipt
  from rollcall.require_definition() s
  left join rollcall.profile_columns() c on c.column_name = 'email'
)
select
  p.target_table,
  array(
    select b from rollcall.beyond_rollback('profile', true) b
    union
    select format('web hook %I on %s', g.tgname, g.tgrelid::pg_catalog.regclass)
    from pg_catalog.pg_trigger g join pg_catalog.pg_proc f on f.oid = g.tgfoid
    where g.tgrelid = to_regclass(p.target_table) and f.pronamespace = to_regnamespace('supabase_functions')
      and g.tgenabled in ('O', 'A') and g.tgtype::integer & 16 = 16  -- update
    order by 1
  ) as outside_calls,
  case when current_setting('rollcall.stance', true) = 'look' then array['Rollcall is not installed here, and looking tries nothing']
    else array(select b from rollcall.beyond_rollback('profile') b order by 1) end as not_tried_because,
  -- $1 whether to offer addresses that are not known to have been the user's, $2 how many at most
  case when p.target_type is not null then format(
    $list$
      with drift as materialized (
        select e._user_id as user_id, e.email::text as wanted, t.email::text as found, u.email is null as has_no_address,
          lower(e.email::text) is distinct from lower(u.email::text) as is_made_up
        from (%s) e join auth.users u on u.id = e._user_id join %s t on %s = e._user_id
        where lower(e.email::text) is distinct from lower(t.email::text)
      ),
      known as materialized (
        select l.user_id, lower(l.email) as email from rollcall.audit_events() l
        where not $1 and l.email is not null and exists (select from drift)
        union
        select i.user_id, lower(i.identity_data ->> 'email') from auth.identities i where i.user_id in (select d.user_id from drift d)
      ),
      judged as materialized (
        select d.user_id, d.wanted, d.found, case
            when d.has_no_address then 'without_address'
            when d.is_made_up then 'made_up'
            when $1 or (d.user_id, lower(d.found)) in (select k.user_id, k.email from known k) then 'offered'
            else 'unknown' end as state
        from drift d
      ),
      page as (select j.* from judged j where j.state = 'offered' order by j.user_id limit $2)
      select
        (select count(*) from judged) as different,
        (select count(*) from judged j where j.state = 'offered') as offered,
        (select count(*) from judged j where j.state = 'unknown') as unknown,
        (select count(*) from judged j where j.state = 'without_address') as without_address,
        (select count(*) from judged j where j.state = 'made_up') as made_up,
        array(select p.user_id from page p order by p.user_id) as user_ids,
        array(select p.found from page p order by p.user_id) as found,
        array(select p.wanted from page p order by p.user_id) as wanted
    $list$, p.query, p.target_table, p.key) end as list,
  -- $1 run, $2 batch, $3 users, $4 what stood in their profiles, $5 what is to stand there
  format(
    $change$
      with w as (select * from unnest($3, $4, $5) w (user_id, found, wanted)),
      changed as (
        update %1$s t set email = w.wanted
        from w join auth.users u on u.id = w.user_id
        -- whatever changed since the look stays as it is
        where %2$s and t.email::text is not distinct from w.found and lower(u.email::text) = lower(w.wanted)
        returning w.user_id, w.found, lower(t.email::text) is not distinct from lower(w.wanted) as is_written, %3$s as receipt
      ),
      kept as (
        insert into rollcall.receipt (run_id, batch, user_ids, receipts, former_emails)
        select $1, $2, array_agg(c.user_id), array_agg(c.receipt), array_agg(c.found) from changed c having count(*) > 0
      )
      update rollcall.run r
      set
        attempted = r.attempted + cardinality($3), created = r.created + (select count(*) from changed), batches = $2,
        updated_at = clock_timestamp(), leased_until = clock_timestamp() + interval '10 seconds'
      where r.run_id = $1
      returning (select count(*) from changed) as changed, (select count(*) from changed c where not c.is_written) as refused
    $change$, p.target_table, p.is_theirs, p.receipt) as change,
  -- $1 run, $2 the batch before, $3 whether to do it or only to say, $4 these users alone, if not null
  format(
    $undo$
      with made as materialized (
        select b.* from rollcall.receipt b where b.run_id = $1 and b.batch > $2 and b.former_emails is not null order by b.batch limit 1
      ),
      w as materialized (
        select x.* from made b cross join unnest(b.user_ids, b.receipts, b.former_emails) x (user_id, receipt, former)
        where $4 is null or x.user_id = any ($4)
      ),
      there as materialized (select w.user_id, w.receipt = %3$s as is_same from w join %1$s t on %2$s),
      restored as (
        update %1$s t set email = w.former from w where $3 and %2$s and w.receipt = %3$s
        returning w.user_id, t.email::text is not distinct from w.former as is_written
      )
      select b.batch, (select count(*) from w) - (select count(*) from there) as gone,
        array(select x.user_id from there x where x.is_same order by 1) as same,
        array(select x.user_id from there x where not x.is_same order by 1) as changed,
        array(select x.user_id from restored x where x.is_written order by 1) as restored
      from made b
    $undo$, p.target_table, p.is_theirs, p.receipt) as undo
from profile p
