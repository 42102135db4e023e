-- Takes the lock of installations and looks where it is free. The catalog is asked past the transaction's snapshot.
select
  pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtext('rollcall.install')) as is_free,
  pg_catalog.to_regprocedure('rollcall.schema_version()') is not null as is_installed
