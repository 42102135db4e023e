-- The definition gives users without a value all the same one (an empty text), into a column that must be unique: the
-- first of them gets a profile, and nobody after.
create or replace function rollcall.doctor_definition_repeats_unique_value() returns setof rollcall.doctor_finding
language sql volatile set search_path = '' as $$
  select
    case when rollcall.signup_trigger_state() = 'foreign' then 'warning' else 'critical' end,
    format('users of some kinds get no profile: rollcall.expected_profile gives several of them the same value for %s, which must be unique', i.attname),
    'Of these kinds only the first user gets a profile: ' || string_agg(distinct s.kind, ', ') || '.',
    array_agg(distinct format('unique index %s', i.index)),
    'Give null where there is no value, which is never the same: nullif(..., '''') in the view. Or drop the unique index.',
    format(
      case when bool_or(i.is_constraint) then 'alter table %2$s drop constraint %3$I;' else 'drop index %1$s;' end,
      min(i.index::text), rollcall.profile_table(), min(i.name)
    )
  from (
    select x.indexrelid::regclass as index, c.relname as name, a.attname,
      exists (select from pg_catalog.pg_constraint k where k.conindid = x.indexrelid and k.contype in ('p', 'u')) as is_constraint
    from pg_catalog.pg_index x
    join pg_catalog.pg_class c on c.oid = x.indexrelid
    join pg_catalog.pg_attribute a on a.attrelid = x.indrelid and a.attnum = x.indkey[0]
    where x.indrelid = rollcall.profile_table() and x.indisunique and x.indnkeyatts = 1 and x.indpred is null and x.indexprs is null
      and a.attname is distinct from rollcall.profile_key()
  ) i
  join (
    select p.kind, v.key, v.value, count(*) over (partition by v.key, v.value) as times
    from (select s.kind, s.profile from rollcall.sample_profiles() s where s.profile is not null and s.kind <> 'odd_metadata') p
    cross join lateral jsonb_each(p.profile) v
    where v.value <> 'null'
  ) s on s.key = i.attname and s.times > 1
  group by i.attname
$$;
comment on function rollcall.doctor_definition_repeats_unique_value() is
  'Check definition_repeats_unique_value: the definition gives several kinds of users the same value for a unique column.';
