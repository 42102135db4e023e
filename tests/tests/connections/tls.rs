//! TLS to a PostgreSQL whose certificate a private authority signed, as Supabase's is.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use openssl::{
    pkey::PKey,
    ssl::{SslAcceptor, SslMethod},
    x509::X509,
};
use rollcall_sandbox::{Options, Server, Source};
use rollcall_tests::{
    authority::{Authority, EXPIRED, VALID, serve_tls},
    command_line::rollcall,
    lambda::Lambda,
    missing,
    project::Project,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_postgres::types::Type;

/// What the certificates say, and what no name server knows.
const HOST: &str = "db.example";

/// A migrated project on a server of its own, whose log tells of every session.
struct TlsProject {
    project: Project,
    server: Server,
    files: TempDir,
}

impl TlsProject {
    /// None, and a word about it, where only the wheel's PostgreSQL is to be had, which has no TLS.
    async fn start(certificate: Option<(String, String)>) -> Result<Option<Self>> {
        if !missing::has_postgres(&Source::System)? {
            return Ok(None);
        }
        let server = Server::start(&Options {
            source: Source::System,
            settings: vec![("log_connections".to_owned(), "on".to_owned())],
        })?;
        if let Some((certificate, key)) = certificate {
            serve_tls(&server, &certificate, &key).await?;
        }
        Ok(Some(Self {
            project: Project::migrated_on(&server).await?,
            server,
            files: tempfile::tempdir()?,
        }))
    }

    /// Settings as libpq's users write them, for a host that looks remote and is not.
    fn pairs(&self, host: &str, more: &str) -> String {
        format!(
            "host={host} hostaddr=127.0.0.1 port={} user=postgres dbname={} {more}",
            self.server.port(),
            self.project.database.name()
        )
    }

    fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.files.path().join(name);
        fs::write(&path, text)?;
        Ok(utf8(&path)?.to_owned())
    }

    /// How many sessions `rollcall` was granted so far, over TLS and without.
    fn sessions(&self) -> Result<(usize, usize)> {
        let log = fs::read_to_string(self.server.folder().join("server.log"))?;
        let granted: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("connection authorized") && line.contains("=rollcall"))
            .collect();
        let tls = granted.iter().filter(|line| line.contains("SSL")).count();
        Ok((tls, granted.len() - tls))
    }

    /// `rollcall health` with these settings is `consistent`, over TLS.
    async fn succeeds(&self, url: &str, ca: &str) -> Result<()> {
        let (tls, plain) = self.sessions()?;
        let env = [("DATABASE_URL", url), ("DATABASE_CA_CERT", ca)];
        let finished = rollcall(&env, &["health", "--format", "json"]).await?;
        assert_eq!(finished.status, Some(0), "{url}: {finished}");
        assert_eq!(self.sessions()?, (tls + 1, plain), "{url}");
        Ok(())
    }

    /// `rollcall health` with these settings is `unknown` for this reason, and nothing was sent.
    async fn is_refused(&self, url: &str, ca: &str, finding: &str) -> Result<()> {
        let before = self.sessions()?;
        let env = [("DATABASE_URL", url), ("DATABASE_CA_CERT", ca)];
        let finished = rollcall(&env, &["health", "--format", "json"]).await?;
        assert_eq!(finished.status, Some(2), "{url}: {finished}");
        let report = finished.json()?;
        assert_eq!(report["verdict"], "unknown", "{url}");
        assert_eq!(report["findings"][0]["id"], finding, "{url}: {finished}");
        assert_eq!(self.sessions()?, before, "{url}: a session was granted");
        Ok(())
    }
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

#[tokio::test]
async fn a_private_authority_is_verified_wherever_its_certificate_is_given() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let Some(tls) = TlsProject::start(Some(authority.issue(HOST, VALID)?)).await? else {
        return Ok(());
    };
    let pem = authority.pem()?;
    let path = tls.file("ca.pem", &pem)?;
    let bundle = other.pem()? + &pem;
    let bundle_path = tls.file("bundle.pem", &bundle)?;
    let port = tls.server.port();
    let database = tls.project.database.name();

    for url in [
        tls.pairs(HOST, &format!("sslmode=verify-full sslrootcert={path}")),
        tls.pairs(
            HOST,
            &format!("sslmode=verify-full sslrootcert='{bundle_path}'"),
        ),
        tls.pairs(HOST, &format!("sslmode=require sslrootcert={path}")),
        tls.pairs(HOST, &format!("sslrootcert={path}")),
        tls.pairs(
            "127.0.0.1",
            &format!("sslmode=verify-ca sslrootcert={path}"),
        ),
        format!(
            "postgresql://postgres@127.0.0.1:{port}/{database}?sslmode=verify-full&sslrootcert={path}"
        ),
        format!(
            "postgresql://postgres@127.0.0.1:{port}/{database}?sslrootcert={}&sslmode=verify-full&pgbouncer=true",
            path.replace('/', "%2F")
        ),
    ] {
        tls.succeeds(&url, "").await?;
        // What the string says comes before what is given beside it.
        tls.succeeds(&url, &other.pem()?).await?;
    }
    for ca in [&pem, &path, &bundle, &bundle_path] {
        tls.succeeds(&tls.pairs(HOST, ""), ca).await?;
        tls.succeeds(&tls.pairs(HOST, "sslmode=verify-full"), ca)
            .await?;
        tls.succeeds(&tls.pairs(HOST, "sslmode=prefer"), ca).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_authority_that_did_not_sign_is_refused_without_a_fallback() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let Some(tls) = TlsProject::start(Some(authority.issue(HOST, VALID)?)).await? else {
        return Ok(());
    };
    let wrong = other.pem()?;
    let path = tls.file("wrong.pem", &wrong)?;
    for mode in [
        "",
        "sslmode=require",
        "sslmode=prefer",
        "sslmode=allow",
        "sslmode=verify-ca",
        "sslmode=verify-full",
    ] {
        tls.is_refused(&tls.pairs(HOST, mode), &wrong, "tls_refused")
            .await?;
        // The system's authorities know nothing of ours.
        tls.is_refused(&tls.pairs(HOST, mode), "", "tls_refused")
            .await?;
        let system = format!("{mode} sslrootcert=system");
        tls.is_refused(&tls.pairs(HOST, &system), &authority.pem()?, "tls_refused")
            .await?;
    }
    let in_string = format!("sslmode=verify-full sslrootcert={path}");
    tls.is_refused(
        &tls.pairs(HOST, &in_string),
        &authority.pem()?,
        "tls_refused",
    )
    .await?;
    tls.is_refused(
        &tls.pairs(HOST, ""),
        "-----BEGIN CERTIFICATE-----",
        "ca_certificate_unusable",
    )
    .await?;
    tls.is_refused(&tls.pairs(HOST, "sslmode=disable"), "", "settings_unusable")
        .await?;
    Ok(())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_systems_authorities_count_unless_a_private_one_is_given() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let Some(tls) = TlsProject::start(Some(authority.issue(HOST, VALID)?)).await? else {
        return Ok(());
    };
    let url = tls.pairs(HOST, "");
    let system = tls.file("system.pem", &authority.pem()?)?;
    let other = other.pem()?;
    for (ca, url, status) in [
        ("", url.as_str(), 0),
        (
            other.as_str(),
            &tls.pairs(HOST, "sslmode=verify-full sslrootcert=system"),
            0,
        ),
        (&other, &url, 2),
    ] {
        let env = [
            ("DATABASE_URL", url),
            ("DATABASE_CA_CERT", ca),
            ("SSL_CERT_FILE", &system),
        ];
        let finished = rollcall(&env, &["health", "--format", "json"]).await?;
        assert_eq!(finished.status, Some(status), "{url} {ca}: {finished}");
        if status == 2 {
            assert_eq!(finished.json()?["findings"][0]["id"], "tls_refused");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() -> Result<()> {
    let authority = Authority::new()?;
    let Some(tls) = TlsProject::start(Some(authority.issue(HOST, VALID)?)).await? else {
        return Ok(());
    };
    let pem = authority.pem()?;
    for host in ["db.example.org", "example", "a.db.example", "10.0.0.1"] {
        for mode in ["", "sslmode=require", "sslmode=verify-full"] {
            tls.is_refused(&tls.pairs(host, mode), &pem, "tls_refused")
                .await?;
        }
    }
    tls.succeeds(&tls.pairs(HOST, ""), &pem).await
}

#[tokio::test]
async fn an_expired_certificate_is_refused() -> Result<()> {
    let authority = Authority::new()?;
    let Some(tls) = TlsProject::start(Some(authority.issue(HOST, EXPIRED)?)).await? else {
        return Ok(());
    };
    let pem = authority.pem()?;
    for mode in ["", "sslmode=require", "sslmode=verify-full"] {
        tls.is_refused(&tls.pairs(HOST, mode), &pem, "tls_refused")
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_is_refused_wherever_it_could_be_another_machine() -> Result<()> {
    let Some(tls) = TlsProject::start(None).await? else {
        return Ok(());
    };
    for mode in [
        "",
        "sslmode=require",
        "sslmode=prefer",
        "sslmode=allow",
        "sslmode=verify-full",
    ] {
        tls.is_refused(&tls.pairs(HOST, mode), "", "tls_refused")
            .await?;
    }
    tls.is_refused(&tls.pairs(HOST, "sslmode=disable"), "", "settings_unusable")
        .await?;
    tls.is_refused(
        &tls.pairs("127.0.0.1", "sslmode=verify-full"),
        "",
        "tls_refused",
    )
    .await?;

    let plain = tls.pairs("127.0.0.1", "");
    let finished = rollcall(&[("DATABASE_URL", &plain)], &["health"]).await?;
    assert_eq!(finished.status, Some(0), "{finished}");
    // The other is the one that applied the migrations.
    assert_eq!(tls.sessions()?, (0, 2));
    Ok(())
}

#[tokio::test]
async fn a_function_reads_the_authority_from_its_variable_and_keeps_the_session() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let Some(tls) = TlsProject::start(Some(authority.issue(HOST, VALID)?)).await? else {
        return Ok(());
    };
    let url = tls.pairs(HOST, "");
    let path: PathBuf = tls.file("ca.pem", &authority.pem()?)?.into();
    for ca in [authority.pem()?, utf8(&path)?.to_owned()] {
        for binary in ["health-check", "recent-issues", "backfill", "dashboard"] {
            let env = [("DATABASE_URL", url.as_str()), ("DATABASE_CA_CERT", &ca)];
            let lambda = Lambda::start(binary, &env).await?;
            for _ in 0..2 {
                let answer = lambda.invoke(json!({})).await?;
                assert_eq!(answer["verdict"], "consistent", "{binary}: {answer}");
            }
            let admin = tls.project.connect_as_superuser().await?;
            let encrypted = admin
                .query_typed(
                    "select s.ssl from pg_stat_ssl s join pg_stat_activity a using (pid)
                     where a.application_name = $1 and a.datname = current_database()",
                    &[(&"rollcall", Type::TEXT)],
                )
                .await?;
            // A killed predecessor's session may not have ended yet.
            ensure!(
                !encrypted.is_empty() && encrypted.iter().all(|row| row.get(0)),
                "{binary}"
            );
        }
    }
    let wrong = other.pem()?;
    let env = [("DATABASE_URL", url.as_str()), ("DATABASE_CA_CERT", &wrong)];
    let lambda = Lambda::start("health-check", &env).await?;
    let answer = lambda.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "unknown");
    assert_eq!(answer["findings"][0]["id"], "tls_refused");
    assert_eq!(answer["alert"], "left_to_alarm");
    Ok(())
}

/// Answers with `body` to whoever posts JSON over TLS; the address is for 127.0.0.1.
fn serve_https((certificate, key): (String, String), body: &Value) -> Result<String> {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    acceptor.set_certificate(X509::from_pem(certificate.as_bytes())?.as_ref())?;
    acceptor.set_private_key(PKey::private_key_from_pem(key.as_bytes())?.as_ref())?;
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("https://{}", listener.local_addr()?);
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // whoever does not trust the certificate goes away here
            let Ok(mut connection) = acceptor.accept(connection) else {
                continue;
            };
            let mut request = Vec::new();
            let mut part = [0; 4096];
            // the request ends with a JSON object without another in it
            while !request.ends_with(b"}") {
                match connection.read(&mut part) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => request.extend_from_slice(&part[..length]),
                }
            }
            let _ = connection.write_all(answer.as_bytes());
            let _ = connection.shutdown();
        }
    });
    Ok(address)
}

#[tokio::test]
async fn a_secret_is_taken_only_from_a_server_that_the_system_trusts() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let files = tempfile::tempdir()?;
    let project = Project::migrated().await?;
    // as Secrets Manager does
    let secret = json!({"Name": "database", "SecretString": project.url()});
    let endpoint = serve_https(authority.issue("localhost", VALID)?, &secret)?;
    for (trusted, verdict) in [(&authority, "consistent"), (&other, "unknown")] {
        let path = files.path().join(verdict);
        fs::write(&path, trusted.pem()?)?;
        let env = [
            (
                "DATABASE_SECRET_ARN",
                "arn:aws:secretsmanager:us-east-1:123456789012:secret:database-abcdef",
            ),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &endpoint),
            ("SSL_CERT_FILE", utf8(&path)?),
        ];
        let lambda = Lambda::start("health-check", &env).await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], verdict, "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_webhook_gets_its_message_only_where_the_system_trusts_it() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let files = tempfile::tempdir()?;
    let project = Project::migrated().await?;
    project.add_users_without_profile(1).await?;
    let url = project.url();
    let webhook = serve_https(authority.issue("localhost", VALID)?, &json!({}))?;
    for (trusted, words) in [
        (&other, "not published opened (no connection)"),
        (&authority, ": published opened"),
    ] {
        let path = files.path().join("ca.pem");
        fs::write(&path, trusted.pem()?)?;
        let env = [
            ("DATABASE_URL", url.as_str()),
            ("WEBHOOK_URL", &webhook),
            ("SSL_CERT_FILE", utf8(&path)?),
        ];
        let finished = rollcall(&env, &["check"]).await?;
        ensure!(finished.stdout.contains(words), "{finished}");
    }
    Ok(())
}
