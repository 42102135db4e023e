//! Requests to web addresses that somebody gave. Such an address is a secret: nobody ever sees more of it than its host.

use std::fmt;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

/// For a request with its answer, connecting included.
const LIMIT: Duration = Duration::from_secs(10);

/// To open a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// An address that may be asked: `https://`, or `http://` on this machine.
#[derive(Clone)]
pub(crate) struct WebAddress {
    uri: Uri,
    host: String,
}

impl fmt::Debug for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebAddress({})", self.host)
    }
}

impl WebAddress {
    /// Checks the form, and connects to nothing. `name` stands for the address in errors.
    ///
    /// # Errors
    /// What is wrong with it, without a word of it.
    pub(crate) fn parse(name: &str, text: &SecretString) -> anyhow::Result<Self> {
        let uri: Uri = text.expose_secret().trim().parse().map_err(|_| {
            anyhow!("{name} is not a web address, such as https://example.com/hook")
        })?;
        let host = uri.host().unwrap_or_default().to_owned();
        let has_user = uri.authority().is_some_and(|a| a.as_str().contains('@'));
        ensure!(
            !has_user,
            "{name} holds a user or a password, which is not sent; give the address without them"
        );
        let is_here = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        match uri.scheme_str() {
            Some("https") if !host.is_empty() => {
                ensure!(
                    cfg!(feature = "tls"),
                    "this program was built without TLS, so it reaches http:// on this machine only; build it with TLS: cargo install --locked --path cli --features tls"
                );
            }
            Some("http") if is_here => {}
            Some("http") => {
                return Err(anyhow!(
                    "{name} is http://, which anybody on the way can read; give an https:// address"
                ));
            }
            _ => {
                return Err(anyhow!(
                    "{name} is not a web address, such as https://example.com/hook"
                ));
            }
        }
        Ok(Self { uri, host })
    }

    /// The part that may be shown.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Sends `body` and answers with the status; redirections are not followed.
    ///
    /// # Errors
    /// What went wrong on the way.
    pub(crate) async fn post(
        &self,
        headers: &[(&str, String)],
        body: String,
    ) -> anyhow::Result<StatusCode> {
        let mut request = Request::post(&self.uri).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.send(request.body(Full::from(body))?).await
    }

    /// Asks for it and answers with the status.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub(crate) async fn get(&self) -> anyhow::Result<StatusCode> {
        self.send(Request::get(&self.uri).body(Full::default())?)
            .await
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> anyhow::Result<StatusCode> {
        const AGENT: &str = concat!("rollcall/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(
            hyper::header::USER_AGENT,
            hyper::header::HeaderValue::from_static(AGENT),
        );
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector()?);
        let answer = timeout(LIMIT, client.request(request))
            .await
            .map_err(|_| anyhow!("no answer within {LIMIT:?}"))?
            // hyper's words hold no address
            .map_err(|error| match error.is_connect() {
                true => anyhow!("no connection"),
                false => anyhow!("the connection was lost"),
            })?;
        Ok(answer.status())
    }
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_LIMIT));
    tcp
}

#[cfg(feature = "tls")]
fn connector() -> anyhow::Result<hyper_tls::HttpsConnector<HttpConnector>> {
    let tls = native_tls::TlsConnector::builder()
        .min_protocol_version(Some(native_tls::Protocol::Tlsv12))
        .build()
        .map_err(|_| {
            anyhow!(
                "TLS could not be set up; check that the system's CA certificates are installed"
            )
        })?;
    Ok((tcp(), tls.into()).into())
}

#[cfg(not(feature = "tls"))]
fn connector() -> anyhow::Result<HttpConnector> {
    Ok(tcp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_reached_without_tls_and_no_address_is_repeated() {
        for address in [
            "http://127.0.0.1:8080/x",
            "http://localhost/",
            "http://[::1]:1/",
        ] {
            let parsed = WebAddress::parse("--to", &SecretString::from(address));
            assert!(parsed.is_ok(), "{address}");
        }
        for address in [
            "http://example.com/s3cret",
            "http://127.0.0.1.example.com/s3cret",
            "ftp://example.com/s3cret",
            "https:///s3cret",
            "https://user:s3cret@example.com/",
            "s3cret",
            "",
        ] {
            let error = WebAddress::parse("--to", &SecretString::from(address))
                .expect_err(address)
                .to_string();
            assert!(
                error.starts_with("--to") && !error.contains("s3cret"),
                "{error}"
            );
        }
        let hidden = WebAddress::parse("--to", &SecretString::from("http://127.0.0.1/s3cret"));
        assert_eq!(
            format!("{:?}", hidden.expect("valid")),
            "WebAddress(127.0.0.1)"
        );
    }
}
