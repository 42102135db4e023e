// The function health-check as one would write it for Node.js: the same statements to the same database in the same order, a
// connection kept between invocations, a line for the log and one of metrics, and the topic told what is left to tell.
// What makes an incident of a fault is left out: a consistent project is measured, and measure.py holds the statements of
// both against each other.
import { randomUUID } from "node:crypto";
import { PublishCommand, SNSClient } from "@aws-sdk/client-sns";
import pg from "pg";
import signupHealth from "../../shared/src/checks/signup_health.sql";
import userCounts from "../../shared/src/checks/user_counts.sql";

const CHECK = "health";
const READ = "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
const WRITE = "START TRANSACTION READ WRITE";
const LIMITS = `select set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
  set_config('search_path', '', true)`;

const sns = new SNSClient({});
let client;

async function connect() {
  client = new pg.Client({ connectionString: process.env.DATABASE_URL });
  client.on("error", () => (client = undefined));
  await client.connect();
  const version = await transaction(READ, 10_000, () => row("select rollcall.schema_version() as version"));
  if (!version.version) throw new Error("the migrations are missing");
}

async function rows(sql, parameters = []) {
  return (await client.query({ text: sql, values: parameters, queryMode: "extended" })).rows;
}

async function row(sql, parameters) {
  return (await rows(sql, parameters))[0];
}

async function transaction(begin, limit, work) {
  await client.query(begin);
  try {
    await rows(LIMITS, [String(limit), "1000"]);
    const outcome = await work();
    await client.query("COMMIT");
    return outcome;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  }
}

async function takeReport() {
  const footing = await transaction(READ, 40_000, () =>
    row(`select f.is_cheap, case when not f.is_cheap then rollcall.ledger_doubt() end as doubt
      from (select rollcall.full_proof_is_cheap() as is_cheap) f`),
  );
  if (!footing.is_cheap) throw new Error("this handler compares all users with all profiles");
  return transaction(READ, 40_000, async () => {
    const health = await row(signupHealth);
    const counts = await row(userCounts);
    const auditLog = await row("select rollcall.audit_log_state() as state");
    const found = await rows(
      "select d.id, d.severity, d.summary, d.meaning, d.evidence, d.next_step, d.fix from rollcall.doctor($1) d",
      [false],
    );
    const trigger = await row("select rollcall.signup_trigger_state() as state");
    const findings = found.filter((finding) => finding.severity !== "warning");
    const users = Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, Number(count)]));
    return {
      verdict: users.missing || users.orphaned || findings.length ? "inconsistent" : "consistent",
      findings,
      check_time: health.check_time,
      recent_signups_count: Number(health.recent_signups_count),
      signups_missing_profiles: Number(health.signups_missing_profiles),
      health_percentage: health.health_percentage,
      users,
      audit_log: auditLog.state,
      signup_trigger: trigger.state,
      basis: "full",
      ledger_doubt: null,
      last_full_proof: health.check_time,
    };
  });
}

async function claim(claimant) {
  return row("select c.message_id, c.notice from rollcall.alert_claim($1, $2, make_interval(secs => $3)) c", [
    CHECK,
    claimant,
    20,
  ]);
}

async function tell(report) {
  const claimant = randomUUID();
  let message = await transaction(WRITE, 5_000, async () => {
    const previous = await row(
      `select b.decided_at, b.fresh_id, b.incident, b.checked_at, b.recently_opened, b.still_missing, b.has_unsent
             from rollcall.incident_begin($1) b`,
      [CHECK],
    );
    if (previous.incident || report.verdict !== "consistent") throw new Error("a consistent project is measured");
    await rows("select rollcall.incident_record($1, $2, $3, $4)", [CHECK, report.check_time, null, "[]"]);
    return claim(claimant);
  });
  const alerts = [];
  while (message) {
    const { subject, text, kind, severity } = message.notice;
    await sns.send(new PublishCommand({ TopicArn: process.env.ALERT_TOPIC_ARN, Subject: subject, Message: text }));
    alerts.push({ kind, severity, outcome: "sent" });
    const id = message.message_id;
    message = await transaction(WRITE, 5_000, async () => {
      await rows("select rollcall.alert_settle($1, $2, $3)", [id, claimant, true]);
      return claim(claimant);
    });
  }
  return { alert: alerts.length ? "sent" : "not_needed", alerts };
}

async function record(report) {
  const counts = {
    recent_signups_count: report.recent_signups_count,
    signups_missing_profiles: report.signups_missing_profiles,
    health_percentage: report.health_percentage,
    expected: report.users.expected,
    missing: report.users.missing,
    basis: report.basis,
  };
  await transaction(WRITE, 5_000, () =>
    rows("select rollcall.record_check($1, $2, $3, $4, $5)", [
      CHECK,
      report.check_time,
      report.verdict,
      report.findings.map((finding) => finding.id),
      counts,
    ]),
  );
}

function printMetrics(report, started) {
  const values = {
    Verdict: [report.verdict === "consistent" ? 0 : 1, "None"],
    Missing: [report.users.missing, "Count"],
    RecentSignups: [report.recent_signups_count, "Count"],
    RecentMissing: [report.signups_missing_profiles, "Count"],
    HealthPercentage: [report.health_percentage, "Percent"],
    Duration: [performance.now() - started, "Milliseconds"],
  };
  const line = {
    _aws: {
      Timestamp: Date.now(),
      CloudWatchMetrics: [
        {
          Namespace: "Rollcall",
          Dimensions: [["FunctionName"]],
          Metrics: Object.entries(values).map(([Name, [, Unit]]) => ({ Name, Unit })),
        },
      ],
    },
    FunctionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    verdict: report.verdict,
  };
  for (const [name, [value]] of Object.entries(values)) line[name] = value;
  console.log(JSON.stringify(line));
}

export async function handler(event, context) {
  const started = performance.now();
  if (!client) await connect();
  const report = await takeReport();
  const line = { timestamp: new Date(), level: "INFO", message: "checked", requestId: context.awsRequestId };
  console.log(JSON.stringify({ ...line, verdict: report.verdict, report: JSON.stringify(report) }));
  const told = await tell(report);
  await record(report);
  printMetrics(report, started);
  return { ...report, ...told };
}
