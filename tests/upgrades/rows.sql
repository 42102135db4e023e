-- Rows in every table of Rollcall's, for the versions that are kept here as starting points of upgrades.
update rollcall.settings set keep_days = 30, grace_period = '1 minute';
insert into rollcall.event (user_id, kind, payload, created_at) values
  ('11111111-1111-4111-8111-111111111111', 'profile_backfilled', '{"source": "backfill"}', '2026-11-01 10:00:00+00'),
  ('22222222-2222-4222-8222-222222222222', 'profile_backfill_error', '{"sqlstate": "23505"}', '2026-11-01 10:00:01+00');
insert into rollcall.check_run (check_name, checked_at, verdict, finding_ids, counts) values
  ('health', '2026-11-01 09:00:00+00', 'inconsistent', '{missing_profiles}', '{"missing": 2}'),
  ('recent', '2026-11-01 09:05:00+00', 'consistent', '{}', '{}');
insert into rollcall.incident (
  id, check_name, severity, opened_at, seen_at, told_at, finding_ids, missing, told_missing, user_ids
) values (
  '33333333-3333-4333-8333-333333333333', 'health', 'critical', '2026-11-01 09:00:00+00', '2026-11-01 09:00:00+00',
  '2026-11-01 09:00:00+00', '{missing_profiles}', 2, 2, '{11111111-1111-4111-8111-111111111111}');
insert into rollcall.message (incident_id, notice, created_at) values
  ('33333333-3333-4333-8333-333333333333', '{"kind": "opened"}', '2026-11-01 09:00:00+00');
insert into rollcall.run (
  run_id, started_by, source, state, stop_reason, signed_up_before, total_missing, attempted, created, failed, batches, batch_size,
  created_at, updated_at, finished_at
) values (
  '44444444-4444-4444-8444-444444444444', 'postgres', 'cli', 'done', 'complete', '2026-11-01 10:00:00+00', 2, 2, 1, 1, 1, 500,
  '2026-11-01 10:00:00+00', '2026-11-01 10:00:02+00', '2026-11-01 10:00:02+00');
insert into rollcall.receipt (run_id, batch, user_ids, receipts, created_at) values
  ('44444444-4444-4444-8444-444444444444', 1, '{11111111-1111-4111-8111-111111111111}', '{"\\x00"}', '2026-11-01 10:00:01+00');
insert into rollcall.failure (user_id, run_id, sqlstate, constraint_name, first_failed_at, last_failed_at) values
  ('22222222-2222-4222-8222-222222222222', '44444444-4444-4444-8444-444444444444', '23505', 'profiles_email_key',
   '2026-11-01 10:00:01+00', '2026-11-01 10:00:01+00');
