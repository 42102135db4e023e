-- The entry of one migration in the history: $1 version, $2 name, $3 checksum.
insert into rollcall.migration as m (version, name, checksum) values ($1, $2, $3)
on conflict (version) do update
  set name = excluded.name, checksum = excluded.checksum, applied_at = now(), applied_by = session_user
  where (m.name, m.checksum) is distinct from (excluded.name, excluded.checksum)
