-- The definition in force. Names are cast to text: the driver need not know their types.
select
  s.target_table, s.key_column::text as key_column, s.columns::text[] as columns, s.query, s.is_draft, s.defined_at,
  s.defined_by::text as defined_by
from rollcall.settings s
where s.target_table is not null
