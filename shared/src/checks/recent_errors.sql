select e.created_at, e.user_id, e.kind, e.sqlstate, e.constraint_name, e.column_name, e.functions
from rollcall.recent_errors() e
