// The function health-check as one would write it for Node.js with the usual packages: it reads the database's secret, keeps a
// connection, sends the statements that the function sends (measure.py takes them from the server's log), writes a line for
// the log, and has the client ready by which it would tell people.
import { readFileSync } from "node:fs";
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { SNSClient } from "@aws-sdk/client-sns";
import pg from "pg";

const statements = JSON.parse(readFileSync(process.env.STATEMENTS, "utf8"));
new SNSClient({});
let client;

async function connect() {
  const secrets = new SecretsManagerClient({});
  const secret = await secrets.send(new GetSecretValueCommand({ SecretId: process.env.DATABASE_SECRET_ARN }));
  const [connectionString] = JSON.parse(secret.SecretString).DATABASE_URL.split("?");
  client = new pg.Client({ connectionString, ssl: { ca: process.env.DATABASE_CA_CERT } });
  client.on("error", () => (client = undefined));
  await client.connect();
}

export async function handler(event, context) {
  if (!client) await connect();
  let rows = 0;
  for (const { sql, values } of statements) {
    const query = values ? { text: sql, values, queryMode: "extended" } : sql;
    const results = [await client.query(query)].flat();
    rows += results.reduce((sum, result) => sum + result.rows.length, 0);
  }
  console.log(JSON.stringify({ timestamp: new Date(), level: "INFO", message: "checked", requestId: context.awsRequestId, rows }));
  return { rows };
}
