-- Supabase Auth makes one user in a transaction. Users without a profile who were written in one go came by SQL, past the
-- triggers: a restore sets session_replication_role to replica, as Supabase's guide says.
select
  'warning',
  format('%s users without a profile were written together, not one by one as they sign up', f.loaded),
  'They came by a restore, an import or a script, past the trigger; so will the next ones who come that way.',
  array[format('users: %s', f.loaded)],
  'Repair them; a dry run first: rollcall backfill. After the next restore or import, do so again.',
  null
from facts f
where f.loaded > 0
