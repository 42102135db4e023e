//! The SDK's HTTP client: hyper over native-tls.
//!
//! The SDK's own one brings a second TLS library whose start-up costs a Lambda's first invocation
//! some 40 ms of CPU; native-tls uses the one that is linked for PostgreSQL anyway. Every request has a connection
//! of its own: Lambda freezes the process between invocations, and a connection that slept through
//! that is more often dead than alive.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper_tls::HttpsConnector;
use hyper_util::client::legacy::{self, Client, connect};
use hyper_util::rt::TokioExecutor;
use native_tls::{Protocol, TlsConnector};

/// Opens connections for the SDK: TLS 1.2 or newer, certificate and host name verified against the
/// system's roots (`SSL_CERT_FILE` works). These are read once, for the first request: reading them is most of what a
/// function's start would cost, and a check that has nothing to tell needs none.
#[derive(Clone, Debug, Default)]
pub struct NativeTlsHttpClient {
    tls: Tls,
    scheme: Scheme,
}

/// The roots, once they were read.
#[derive(Clone, Debug, Default)]
struct Tls(Arc<OnceLock<TlsConnector>>);

impl Tls {
    fn connector(&self) -> Result<TlsConnector, TlsSetupError> {
        if let Some(connector) = self.0.get() {
            return Ok(connector.clone());
        }
        let connector = TlsConnector::builder()
            .min_protocol_version(Some(Protocol::Tlsv12))
            .build()
            .map_err(TlsSetupError)?;
        Ok(self.0.get_or_init(|| connector).clone())
    }
}

/// The TLS library could not be set up, so nothing can be sent to AWS.
#[derive(Debug, thiserror::Error)]
#[error(
    "TLS could not be set up, so nothing can be sent to AWS; check that the system's CA \
     certificates are installed and that SSL_CERT_FILE, if set, names a readable file"
)]
struct TlsSetupError(#[source] native_tls::Error);

/// Which addresses a client may talk to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// `https://` only; a plain request fails before anything is sent.
    #[default]
    HttpsOnly,
    /// `http://` only, for a local emulator.
    PlainHttp,
}

impl NativeTlsHttpClient {
    /// Reads the roots now, where the first request is known to come.
    pub fn prepare(&self) {
        if self.scheme == Scheme::HttpsOnly {
            // the request says what is wrong
            let _ = self.tls.connector();
        }
    }

    /// The same client, with the same roots, for other addresses.
    #[must_use]
    pub fn with_scheme(&self, scheme: Scheme) -> Self {
        Self {
            scheme,
            ..self.clone()
        }
    }
}

impl HttpClient for NativeTlsHttpClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(NativeTlsConnector {
            http: self.clone(),
            connect_timeout: settings.connect_timeout(),
            read_timeout: settings.read_timeout(),
        })
    }
}

/// One set of time limits over the shared TLS settings.
#[derive(Clone, Debug)]
struct NativeTlsConnector {
    http: NativeTlsHttpClient,
    connect_timeout: Option<Duration>,
    /// From the request's start, connecting included, to the response's head. The body is bounded
    /// by the SDK's attempt timeout.
    read_timeout: Option<Duration>,
}

impl NativeTlsConnector {
    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request
            .try_into_http1x()
            .map_err(|error| ConnectorError::user(error.into()))?;
        let mut tcp = connect::HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(self.connect_timeout);
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_max_idle_per_host(0);
        let response = match self.http.scheme {
            // no roots are read for an emulator
            Scheme::PlainHttp => client.build(tcp).request(request),
            Scheme::HttpsOnly => {
                tcp.enforce_http(false);
                let tls = self.http.tls.connector();
                let tls = tls.map_err(|error| ConnectorError::user(error.into()))?;
                let mut https = HttpsConnector::from((tcp, tls.into()));
                https.https_only(true);
                client.build(https).request(request)
            }
        };
        let response = match self.read_timeout {
            None => response.await,
            Some(limit) => tokio::time::timeout(limit, response)
                .await
                .map_err(|elapsed| ConnectorError::timeout(elapsed.into()))?,
        };
        let response = response
            .map_err(connector_error)?
            .map(SdkBody::from_body_1_x);
        HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
    }
}

impl HttpConnector for NativeTlsConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

fn connector_error(error: legacy::Error) -> ConnectorError {
    let connected = !error.is_connect();
    let error = ConnectorError::io(error.into());
    if connected {
        error
    } else {
        error.never_connected()
    }
}
