-- What only the owner may read: one row.
facts as materialized (
  select f.*, case when f.missing > 0 then ' Then repair who was missed; a dry run first: rollcall backfill.' else '' end as then_repair
  from jsonb_to_record(rollcall.row_facts()) f (
    application_path name[], has_definition boolean, target oid, target_name text, key_column name, columns name[], guarded text[], has_made_profiles boolean,
    failures jsonb, fault text, unreadable text, reason text, hint text,
    users bigint, soft_deleted bigint, expected bigint, profiles bigint, healthy bigint, missing bigint, missing_anonymous bigint,
    missing_phone bigint, missing_sso bigint, missing_unconfirmed bigint, orphaned bigint, newest_missing uuid[],
    of_last_hour bigint, missing_of_last_hour bigint, minutes bigint, days bigint, newest_minute timestamptz, longest_pause float8, stopped_below float8,
    newest_is_missing boolean, has_profiles boolean, has_profiles_of_signup boolean, has_anonymous boolean, expects_anonymous boolean, has_no_email boolean,
    has_no_phone boolean, null_tokens bigint, loaded bigint, email_taken bigint
  )
)
