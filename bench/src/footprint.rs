//! What a signup leaves in the server beside its rows: write-ahead log and transaction ids.

use anyhow::Result;
use rollcall_sandbox::Database;
use tokio_postgres::Client;

use crate::figure::{self, Figure};
use crate::row::{Goal, Row, Unit};
use crate::scale::Scale;
use crate::signup::{LEAN, OURS, SIGN_UP, enable_only};

pub(crate) async fn measure(database: &Database, scale: &Scale) -> Result<Vec<Row>> {
    let client = rollcall_sandbox::connect(&database.url_as("supabase_admin")).await?;
    let mut ids = 0.0;
    let [ours, lean] = figure::interleave(scale.rounds, [OURS, LEAN], async |trigger| {
        enable_only(&client, trigger).await?;
        let [written, taken] = left_by(&client, scale.signups).await?;
        if trigger == OURS {
            ids = taken;
        }
        Ok(written)
    })
    .await?;
    enable_only(&client, OURS).await?;
    Ok(vec![
        Row::new("signup, stance make: WAL", Unit::Bytes, ours)
            .lower_bound("leanest guarded trigger that writes the same rows", lean)
            .goal(Goal::TimesLowerBound(1.25)),
        Row::new(
            "signup, stance make: transaction ids",
            Unit::Count,
            Figure::of(vec![ids]),
        )
        .goal(Goal::AtMost(2.0)),
    ])
}

/// Bytes of write-ahead log and transaction ids, a signup. Nobody else works in this server.
async fn left_by(client: &Client, signups: u32) -> Result<[f64; 2]> {
    let sign_up = client.prepare(SIGN_UP).await?;
    let before = position(client).await?;
    for _ in 0..signups {
        client.execute(&sign_up, &[]).await?;
    }
    let after = position(client).await?;
    Ok([0, 1].map(|part| (after[part] - before[part]) / f64::from(signups)))
}

/// Where the write-ahead log and the transaction ids stand.
async fn position(client: &Client) -> Result<[f64; 2]> {
    let row = client
        .query_one(
            "select (pg_current_wal_insert_lsn() - '0/0')::float8, pg_snapshot_xmax(pg_current_snapshot())::text::float8",
            &[],
        )
        .await?;
    Ok([row.try_get(0)?, row.try_get(1)?])
}
