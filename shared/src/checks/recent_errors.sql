select e.created_at, e.user_id, e.kind, e.sqlstate, e.constraint_name, e.column_name
from rollcall.recent_errors() e
