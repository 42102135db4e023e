//! What a row of the audit log costs that is no signup, with and without what Rollcall has put on that table.

use std::time::Instant;

use anyhow::Result;
use rollcall_sandbox::Database;
use tokio_postgres::Client;

use crate::goals::Goal;
use crate::operation::Operation;
use crate::timing::Timing;

/// Half of them logins, half of them refreshed tokens, one statement each, as Supabase Auth writes them.
const ROWS: &str = "do $$
  declare
    person constant uuid := gen_random_uuid();
    entries constant json[] := array(
      select json_build_object(
        'action', action, 'actor_id', person, 'actor_username', 'person@example.com', 'actor_via_sso', false,
        'log_type', log_type, 'traits', json_build_object('provider', 'email'))
      from (values ('login', 'account'), ('token_refreshed', 'token')) kind (action, log_type)
    );
  begin
    for number in 1..1000 loop
      insert into auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
      values ('00000000-0000-0000-0000-000000000000', gen_random_uuid(), entries[1 + number % 2], now(), '');
    end loop;
  end
  $$";

const TRIGGERS_OF_OURS: &str = "select quote_ident(tgname) from pg_trigger
  where tgrelid = 'auth.audit_log_entries'::regclass and not tgisinternal and tgname like 'rollcall%'";

pub(crate) async fn measure(database: &Database, rounds: u32) -> Result<Operation> {
    let client = rollcall_sandbox::connect(&database.url_as("supabase_admin")).await?;
    let mut without_ours = String::new();
    for trigger in client.query(TRIGGERS_OF_OURS, &[]).await? {
        let trigger: String = trigger.get(0);
        without_ours.push_str(&format!(
            "alter table auth.audit_log_entries disable trigger {trigger};"
        ));
    }
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let taken = [
            time(&client, "").await?,
            time(&client, &without_ours).await?,
        ];
        if round > 0 {
            ours.push(taken[0]);
            floor.push(taken[1]);
        }
    }
    Ok(Operation {
        name: "1,000 log rows that are no signup",
        floor_is: "without a trigger of Rollcall",
        ours: Timing::of(ours),
        seed: None,
        floor: Timing::of(floor),
        goals: vec![Goal::AddedMilliseconds(2.5)],
    })
}

/// Milliseconds, after a preparation that is taken back with the rows.
async fn time(client: &Client, preparation: &str) -> Result<f64> {
    client
        .batch_execute(&format!("begin; {preparation}"))
        .await?;
    let start = Instant::now();
    client.batch_execute(ROWS).await?;
    let taken = start.elapsed().as_secs_f64() * 1000.0;
    client.batch_execute("rollback").await?;
    Ok(taken)
}
