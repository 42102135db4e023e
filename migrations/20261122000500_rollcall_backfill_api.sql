-- The repair functions that people and supabase.rpc() call, under the names and with the results they have always
-- had. Each is a thin face of the schema rollcall.
--
-- For service_role and the owner only. Runs as the role `postgres` of hosted Supabase. Safe to run twice.

create or replace function public.backfill_user_profile(p_user_id uuid, p_email text default null, p_account_type text default null)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  wishes constant jsonb := jsonb_strip_nulls(
    jsonb_build_object('email', nullif(btrim(p_email), ''), 'account_type', nullif(btrim(p_account_type), '')));
  result rollcall.repair_result;
  profile jsonb;
begin
  if p_user_id is null then
    return jsonb_build_object('success', false, 'user_id', null, 'error', 'p_user_id must not be null', 'sqlstate', '22004');
  end if;
  if not rollcall.is_expected(p_user_id) then
    return jsonb_build_object('success', false, 'user_id', p_user_id, 'sqlstate', 'P0002',
      'error', 'no such user in auth.users, or no profile is expected for this user');
  end if;

  select * into result from rollcall.repair_users(array[p_user_id], 'backfill_user_profile', wishes);
  if result.outcome in ('failed', 'busy') then
    return jsonb_build_object('success', false, 'user_id', p_user_id, 'sqlstate', result.code,
      'error', rollcall.failure_text(result.code, result.constraint_name, result.column_name));
  end if;

  execute format('select to_jsonb(p) from %s p where %s', rollcall.profile_table(), rollcall.key_match_sql('p', '$1'))
    into profile using p_user_id;
  return jsonb_build_object(
    'success', true, 'user_id', p_user_id, 'email', profile -> 'email', 'account_type', profile -> 'account_type',
    'action', case when result.outcome = 'created' then 'backfilled' else 'already_exists' end);
exception when others or assert_failure then
  -- our own messages hold no value of a row; another's may
  return jsonb_build_object('success', false, 'user_id', p_user_id, 'sqlstate', sqlstate,
    'error', case when sqlerrm like 'rollcall: %' then sqlerrm else rollcall.failure_text(sqlstate, null, null) end);
end
$$;
comment on function public.backfill_user_profile(uuid, text, text) is
  'Rollcall: creates one user''s profile if it is expected and missing; an existing profile is left as it is (action already_exists). A failure is returned, not raised: {success: false, user_id, error, sqlstate}.';

create or replace function public.backfill_all_missing_profiles(p_batch_size integer default 100, p_dry_run boolean default true)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  -- with the longest names of constraint and column, these fit into 256 KiB
  max_results constant integer := 700;
  batch_size constant integer := coalesce(p_batch_size, 100);
  total bigint;
  users uuid[];
  processed bigint;
  successful bigint;
  failed bigint;
  results jsonb;
begin
  if batch_size not between 1 and 10000 then
    raise exception 'rollcall: p_batch_size must be between 1 and 10000'
      using errcode = 'invalid_parameter_value', hint = 'Call again for the users who are left.';
  end if;
  -- two at once would attempt the same users
  perform pg_advisory_xact_lock(hashtextextended('rollcall.backfill_all_missing_profiles', 0));
  if not coalesce(p_dry_run, true) then
    perform rollcall.forget_settled_failures();
  end if;
  total := rollcall.count_missing();

  -- Users whose repair failed before come last, so that they keep nobody else waiting.
  select array_agg(next.user_id) into users
  from (
    select m.user_id
    from rollcall.missing_users(null, null) m (user_id)
    left join rollcall.repair_failure f on f.user_id = m.user_id
    order by f.last_failed_at nulls first, m.user_id
    limit batch_size
  ) next;

  if coalesce(p_dry_run, true) then
    select
      count(*) filter (where r.outcome = 'created'),
      count(*) filter (where r.outcome = 'failed')
      into successful, failed
    from rollcall.preview_users(users) r;
    return jsonb_build_object(
      'dry_run', true, 'total_missing', total, 'message', format('Would backfill %s profiles', total),
      'batch_size', batch_size, 'would_succeed', successful, 'would_fail', failed);
  end if;

  select
    count(*),
    count(*) filter (where r.outcome = 'created'),
    count(*) filter (where r.outcome <> 'created'),
    coalesce(
      jsonb_agg(
        case r.outcome
          when 'created' then jsonb_build_object('user_id', r.user_id, 'success', true, 'action', 'backfilled')
          else jsonb_build_object('user_id', r.user_id, 'success', false, 'sqlstate', r.code,
            'error', rollcall.failure_text(r.code, r.constraint_name, r.column_name))
        end
        order by r.outcome desc, r.user_id
      ) filter (where r.position <= max_results),
      '[]')
    into processed, successful, failed, results
  from (
    select repaired.*, row_number() over (order by repaired.outcome desc, repaired.user_id) as position
    from rollcall.repair_users(users, 'backfill_all_missing_profiles') repaired
  ) r;
  return jsonb_build_object(
    'dry_run', false, 'total_missing', total, 'processed', processed, 'successful', successful, 'failed', failed,
    'remaining', rollcall.count_missing(), 'results', results);
exception when others or assert_failure then
  -- another's message may quote a row
  if sqlerrm like 'rollcall: %' then
    raise;
  end if;
  raise exception '%', rollcall.failure_text(sqlstate, null, null) using errcode = sqlstate;
end
$$;
comment on function public.backfill_all_missing_profiles(integer, boolean) is
  'Rollcall: creates the profiles of up to p_batch_size users (1 to 10000) who have none, those whose repair failed before last. A dry run, the default, tries them and takes them back. Results list at most 700 users, failures first.';

revoke all on function public.backfill_user_profile(uuid, text, text) from public, anon, authenticated;
grant execute on function public.backfill_user_profile(uuid, text, text) to service_role;
revoke all on function public.backfill_all_missing_profiles(integer, boolean) from public, anon, authenticated;
grant execute on function public.backfill_all_missing_profiles(integer, boolean) to service_role;
