-- auth.uid() is null during a signup: nobody is signed in yet. A guard that is meant for the browser refuses the signup,
-- too.
select
  min(e.severity),
  format('the function %s refuses users who are not signed in, and during a signup nobody is, %s', e.function_name, min(e.consequence)),
  min(e.meaning) || ' The error is the function''s own.',
  array[format('%s raises an error where auth.uid() or the request has no user', e.function_name)] || min(e.way),
  'Let the guard pass where there is no request: if auth.uid() is not null and … then raise.',
  null
from examined e
where e.text ~* '\mif\s+\(?\s*(select\s+)?auth\s*\.\s*(uid|role|jwt)\s*\(\s*\)\s*\)?\s+is\s+(null|distinct\s+from\s+(new\s*\.\s*\w+|''''))\s+then\s+raise\s+(?!(warning|notice|info|log|debug)\M)'
  or e.text ~* '\mif\s+new\s*\.\s*\w+\s+is\s+distinct\s+from\s+\(?\s*(select\s+)?auth\s*\.\s*uid\s*\(\s*\)\s*\)?\s+then\s+raise\s+(?!(warning|notice|info|log|debug)\M)'
  or e.text ~* '\m(\w+)\s+(?:uuid\s*)?(?::=|=|default\M)\s*\(?\s*(?:select\s+)?auth\s*\.\s*uid\s*\(\s*\).*\mif\s+\1\s+is\s+null\s+then\s+raise\s+(?!(?:warning|notice|info|log|debug)\M)'
  -- without a second argument it fails where nothing was set
  or e.source ~* '\mcurrent_setting\s*\(\s*''request\.[^'']*''\s*\)'
group by e.function_id, e.function_name
