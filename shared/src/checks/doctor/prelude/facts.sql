-- What only the owner may read: one row.
facts as materialized (
  select f.*, case when f.missing > 0 then ' Then repair who was missed; a dry run first: rollcall backfill.' else '' end as then_repair
  from jsonb_to_record(rollcall.row_facts()) f (
    application_path name[], has_definition boolean, target oid, target_name text, key_column name, columns name[], guarded text[], has_made_profiles boolean,
    failures jsonb, fault text, unreadable text, reason text, hint text, missing bigint, missing_unconfirmed bigint,
    newest_is_missing boolean, has_profiles boolean, has_profiles_of_signup boolean, has_anonymous boolean, expects_anonymous boolean, has_no_email boolean,
    has_no_phone boolean, null_tokens bigint, loaded bigint, email_taken bigint
  )
)
