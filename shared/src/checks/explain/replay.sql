-- Made in a transaction that is rolled back: one user's signup, replayed as a repair replays it, and taken back.

-- Called by the copy of a function that catches errors. It runs as whoever made it, so that it may look names up, and
-- publishes none that is not in the catalog. A notice outlives the rollback of the block in which the error was caught.
create function pg_temp.rollcall_swallowed(p_sqlstate text, p_constraint text, p_column text, p_text text, p_context text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set client_min_messages = notice as $$
declare
  stack text;
begin
  get diagnostics stack = pg_context;
  raise notice 'rollcall: swallowed %', jsonb_build_object(
    'sqlstate', p_sqlstate, 'constraint', rollcall.known_name(p_constraint), 'column', rollcall.known_name(p_column),
    'functions', rollcall.known_functions(p_context), 'reason', rollcall.failure_text(p_sqlstate, null, null),
    'caught_in', (rollcall.known_functions(stack))[2], 'is_raised', p_context ~ '^PL/pgSQL function [^\n]* at RAISE(\n|$)',
    'is_about_profile', (
      select strpos(lower(p_text), lower(c.relname)) > 0
      from rollcall.settings s join pg_class c on c.oid = to_regclass(s.target_table)));
  return p_sqlstate;
end
$$;
grant execute on function pg_temp.rollcall_swallowed(text, text, text, text, text) to public;

create function rollcall.replay_signup(p_user_id uuid, p_bodies jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp set lock_timeout = '500ms' set jit = off as $$
declare
  body record;
  unread text[] := '{}';
  made record;
  failure rollcall.failure;
begin
  begin
    -- No lock on a table: who signs up meanwhile runs the function as it was committed.
    for body in
      select p.oid::regprocedure::text as name, replace(pg_get_functiondef(p.oid), p.prosrc, b.source) as definition
      from jsonb_to_recordset(p_bodies) b (function_id oid, source text) join pg_proc p on p.oid = b.function_id
      order by p.oid
    loop
      begin
        execute body.definition;
      exception when others then
        unread := unread || body.name;
      end;
    end loop;
    perform rollcall.keep_sequences();
    select m.created, m.failures into made from rollcall.create_many(array[p_user_id], '{}', true) m;
    raise exception using errcode = 'RC001', message = 'rollcall: trial over';
  exception when sqlstate 'RC001' then
    null;
  end;
  failure := made.failures[1];
  return jsonb_build_object(
    'outcome', case
      when cardinality(made.created) > 0 then 'created'
      -- made or deleted meanwhile
      when failure.sqlstate is null then 'gone'
      when failure.sqlstate = 'RC002' then 'nothing'
      when rollcall.error_kind(failure.sqlstate) = 'lock' then 'locked'
      else 'failed' end,
    'error', case when failure.sqlstate is not null then jsonb_build_object(
      'sqlstate', failure.sqlstate, 'constraint', failure.constraint_name, 'column', failure.column_name, 'functions', failure.functions,
      'reason', rollcall.failure_text(failure.sqlstate, null, null)) end,
    'unread', unread);
end
$$;
