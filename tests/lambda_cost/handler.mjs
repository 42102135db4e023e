// The health check as one would write it for Node.js: the same questions to the database, the same alert, a connection
// kept between invocations. Beside it the loop that Lambda's own Node.js runtime runs.
import pg from "pg";
import { PublishCommand, SNSClient } from "@aws-sdk/client-sns";

const sns = new SNSClient({ endpoint: process.env.AWS_ENDPOINT_URL_SNS });
let client;

async function handler() {
  if (!client) {
    client = new pg.Client({ connectionString: process.env.DATABASE_URL });
    await client.connect();
  }
  await client.query("begin isolation level repeatable read read only");
  const row = async (sql) => (await client.query(sql)).rows[0];
  const health = await row("select * from public.monitor_signup_health()");
  const users = await row("select * from rollcall.census()");
  const log = await row("select rollcall.audit_log_state() as state");
  const pipeline = await row(
    "select rollcall.signup_trigger_state() as trigger, rollcall.profile_fault() as fault, array(select c::text from rollcall.unfilled_columns() c) as unfilled",
  );
  await client.query("commit");
  const verdict = users.missing > 0 || pipeline.trigger !== "in_place" || pipeline.fault ? "inconsistent" : "consistent";
  const report = { verdict, ...health, users, audit_log: log.state, signup_trigger: pipeline.trigger };
  console.log(JSON.stringify({ level: "INFO", report }));
  if (verdict !== "consistent") {
    await sns.send(
      new PublishCommand({ TopicArn: process.env.ALERT_TOPIC_ARN, Subject: "users without a profile", Message: JSON.stringify(report) }),
    );
  }
  return report;
}

const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
for (;;) {
  const next = await fetch(`${api}/next`);
  await next.text();
  const id = next.headers.get("lambda-runtime-aws-request-id");
  const answer = JSON.stringify(await handler());
  await (await fetch(`${api}/${id}/response`, { method: "POST", body: answer })).text();
}
