-- The definition casts what a user wrote: it fails on what does not fit the type (an old label of an enum, a text that is
-- no uuid or is too long).
create or replace function rollcall.doctor_definition_cannot_be_computed() returns setof rollcall.doctor_finding
language plpgsql volatile set search_path = '' as $$
declare
  target constant regclass := rollcall.profile_table();
  select_list text;
  sample record;
  codes text[] := '{}';
  kinds text[] := '{}';
  fitting record;
begin
  select string_agg(format('(($1 ->> %L)::%s)', c.column_name, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ')
    into select_list
  from rollcall.profile_columns() c
  join pg_catalog.pg_attribute a on a.attrelid = target and a.attname = c.column_name and not a.attisdropped
  join pg_catalog.pg_type t on t.oid = a.atttypid
  -- of other types the text in JSON is not the text of PostgreSQL
  where t.typcategory in ('S', 'E', 'U', 'N', 'B') and t.typtype <> 'd' and t.typelem = 0;
  for sample in select * from rollcall.sample_profiles() loop
    if sample.failed_with is null and sample.profile is not null and select_list is not null then
      begin
        execute format('select row(%s)', select_list) into fitting using sample.profile;
        -- a cast cuts what is too long; the insert refuses it
        if exists (
          select
          from rollcall.profile_columns() c
          join pg_catalog.pg_attribute a on a.attrelid = target and a.attname = c.column_name and not a.attisdropped
          where a.atttypid in ('varchar'::regtype, 'bpchar'::regtype) and a.atttypmod > 4
            and length(rtrim(sample.profile ->> c.column_name)) > a.atttypmod - 4
        ) then
          sample.failed_with := '22001';
        end if;
      exception when others then
        sample.failed_with := sqlstate;
      end;
    end if;
    if sample.failed_with is not null then
      codes := codes || sample.failed_with;
      kinds := kinds || sample.kind;
    end if;
  end loop;
  if cardinality(kinds) > 0 then
    return next row(
      case when rollcall.signup_trigger_state() = 'foreign' or kinds = array['odd_metadata'] then 'warning' else 'critical' end,
      'users of some kinds get no profile: rollcall.expected_profile cannot be computed for them',
      'Without a profile stay: ' || array_to_string(kinds, ', ') || '. Of odd_metadata: whoever''s app sends what the definition does not expect.',
      array(select distinct format('SQLSTATE %s', c) from unnest(codes) c),
      'Compare what the user wrote with a list of allowed values, or cut it (left), before it is cast in the view.',
      null
    )::rollcall.doctor_finding;
  end if;
end
$$;
comment on function rollcall.doctor_definition_cannot_be_computed() is
  'Check definition_cannot_be_computed: the definition fails, or gives what its column cannot take, for some kind of user.';
